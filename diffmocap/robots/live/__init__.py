"""When a robot follows somebody live, and the commands it then gets: no ROS, and a clock that the caller reads.

`engagement` is the state machine, `person_watch`, `robot_watch` and `stand` say what holds, `pursuit` makes commands
with `blend` and `braking`, and `teleoperation` puts them together.
"""
