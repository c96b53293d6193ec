"""The optimization problem over a window of frames: unknowns, loss terms, gradient, metric.

`parameters` maps unknowns to poses (B-splines over time), `loss` is the law, `task` what an optimizer sees of it. May
import `body`, `physics` and `kernels`, never `stream`. *Knots* are the B-spline coefficients that are optimized; the
*reference* is the lifted motion; the *metric* is a Gauss-Newton approximation of the Hessian.
"""
