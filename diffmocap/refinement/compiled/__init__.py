"""The window loss and its gradient as machine code, for single windows on the CPU.

The same equations as :mod:`diffmocap.refinement.window_loss`, whose torch code is the reference and does batches,
other devices and everything that is to be differentiated by autograd. A window is so small that some 1,700 operations
take ten times longer to dispatch than to compute; here they are loops that Numba compiles once and keeps on disk. All
numbers are float64.
"""
