"""The body: skeleton, rotations, kinematics, mass, meshes, URDF, and motion files.

Follows SMPL's 24 joints (23 local rotations and the root). May import `errors`, `files`, `types`, `resources`.
Rotations are matrices [..., 24, 3, 3] local to the parent; positions are metres; `T_a_b` maps points of frame b into
frame a.
"""
