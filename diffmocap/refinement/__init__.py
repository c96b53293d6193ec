"""From lifted poses to a physically plausible motion.

`refiner` is the interface, `physics_refiner` the stage that runs live. `window` states the optimization problem over a
short stretch of frames, `stream` solves it frame by frame with a fixed lag, `filter` is the causal filter without
physics, `diffphy` optimizes controls of a simulated body, `kernels` holds compiled arithmetic. May import `lifting`,
`optim`, `physics` and what stands before them. A *window* is the frames that are optimized together; *lag* is how far
the published frame stands behind the newest.
"""
