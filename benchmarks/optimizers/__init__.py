"""Optimus and its rivals on test functions: curves, costs, and the paper's table beside ours."""
