"""The optimization problem over a window of frames: unknowns, loss terms, gradient, metric.

`parameters` maps unknowns to poses (B-splines over time), `loss` evaluates the law of `kernels.terms` for
tensors, `task` is what an optimizer sees of it. May import `body`, `camera`, `optim`, `physics` and `kernels`, never
`stream`. *Knots* are the B-spline coefficients that are optimized; the
*reference* is the lifted motion; the *metric* is a Gauss-Newton approximation of the Hessian.
"""
