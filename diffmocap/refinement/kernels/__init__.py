"""Compiled arithmetic of the window problem, as functions of arrays.

Compiled by Numba on the first call and cached on disk; `python -m diffmocap.refinement` does it ahead. They take and
return NumPy arrays and numbers, single-threaded, without allocation in their inner loops where that is measurable. The
*adjoint* of a function is its vector-Jacobian product.
"""
