"""Compiled arithmetic of the window problem, as functions of arrays.

Compiled by Numba on the first call and cached on disk; `python -m diffmocap.pipeline` does it ahead. They take and
return NumPy arrays and numbers, single-threaded, without allocation in their inner loops where that is measurable. The
*adjoint* of a value is the gradient of the loss by it; `x_vjp` is the vector-Jacobian product of the function `x`.
"""
