"""What goes out: whether a pose is published, and the motion that it is published as.

`profiles` holds the limits of the output, `inside_limits` the nearest pose inside the joints' limits, `outlier_gate` what
is waited for, `joint_motion` and `root_motion` the laws that move joints and root, `motion` puts them together.
"""
