"""Optimizers over batches of problems: Optimus, learned and classical ones, and the test functions.

A *task* gives loss and gradient for a batch of unknowns [B, n]; an optimizer has `init` and `update`; a learned one is
made from weights *theta*. May import `errors`, `files`, `device`; knows nothing of bodies.
"""
