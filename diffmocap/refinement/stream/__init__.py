"""The window problem solved while frames arrive, in a bounded time each.

`fixed_lag` slides the window, `descent` takes optimizer steps within a `time_budget`: those of `metric_descent`, or of
the learned optimizer in `optimus`. `published_motion` is what leaves, `ground_watch` and `known_ground` say where the
floor is. May import `window`, `kernels`, `optim`, `physics` and `body`. A *budget* is the time one frame may take.
"""
