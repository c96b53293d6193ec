"""Machine code for the CPU: contact forces in friction cones, and the simulation with its gradient.

`friction_cone` and `contact_solver` solve the problem of :mod:`diffmocap.physics.contact_forces`; `contact_state` says
what touches; `vectors` and `cholesky` hold the arithmetic that these share with the simulation and the window loss. The
simulation has the same equations as :mod:`diffmocap.physics.simulation` and what it is made of, whose torch code is the
reference and runs on other devices. There a step is some hundred small operations and dense 75 x 75 matrices; here it
follows the tree, and the matrix is factorised without filling in its zeros. All numbers are float64.

Gradients with respect to rotations are those of turns: a vector [3] for each segment, in the motion's axes.
"""
