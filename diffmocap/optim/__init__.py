"""Optimizers over batches of problems: Optimus, learned and classical ones, and the test functions.

A *task* gives loss and gradient for a batch of unknowns [B, N]; a *step optimizer* has `init` and `step` and takes one
evaluation per step; a *learned* one computes its steps by a network with weights *theta*. May import `errors`, `files`,
`resources`; knows nothing of bodies.
"""
