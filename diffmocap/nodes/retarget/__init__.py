"""The parts of retarget_node: what it hears of the person, the camera and the joystick, and what it says to the robot.

`person_reading` makes sightings of `body_pose`, `camera_knowledge` says whether the field of view is known, `joystick`
reads buttons, `command_messages` and `engagement_report` write what is published, `retarget_settings` declares the
parameters. What is decided is decided in `diffmocap.robots.live`.
"""
