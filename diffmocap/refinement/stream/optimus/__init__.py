"""Optimus for streams: the learned optimizer of the live refinement. The paper's own is `diffmocap.optim.optimus`.

`network` shapes a step, `kernel` computes its per-parameter part as machine code, and `weights` reads and writes it.
`step` is what it remembers of a stream and one step, the same for batches in training and for one live; `descent` takes
such steps frame by frame. May import what its parent may.
"""
