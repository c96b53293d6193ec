"""Meta-training of Optimus: episodes on problems, gradients by persistent evolution strategies, shipping.

`python -m training.optim` trains. *theta* are the learned optimizer's weights; an *episode* is a run of it on one batch
of problems; *PES* is persistent evolution strategies.
"""
