"""A person for SONIC, a whole-body controller of the Unitree G1, as it streams SMPL: no ROS and no ZMQ here.

`pose` is what it observes of a person, `stream` makes frames at its rate, `messages` writes them, and `session` says
when they go out.
"""
