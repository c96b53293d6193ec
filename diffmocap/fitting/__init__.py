"""The body fitted to the keypoints of one image by minimisation, as SMPLify does: objective, and prior of poses.

A *fit* is one image's problem; its unknowns are the root's orientation, the rotations below it and the place. What
minimises it, solvers of `optim` and least squares alike, is the caller's choice. May import `body`, `camera`,
`lifting`, `optim` and what stands before them.
"""
