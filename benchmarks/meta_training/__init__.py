"""What training does to learned optimizers, read from the folders of runs of ``python -m training.optim``."""
