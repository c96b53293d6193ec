"""What optimizers compute on a CPU where nothing is trained: the same numbers, sooner."""
