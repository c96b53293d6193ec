"""Rigid-body dynamics of the body, contact with the ground, and simulation.

Generalised coordinates hold the root's pose and the joints' rotations; contact forces live in friction cones
(`compiled.friction_cone`) and solve a regularised complementarity problem (`contact_forces`). May import `body`. SI
units.
"""
