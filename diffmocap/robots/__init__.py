"""A robot that follows a person: joint positions inside the robot's limits, one per frame.

`frames` holds what goes in and comes out, `description` reads what a robot is from its YAML file and its model,
`limits` keeps commands inside the robot's limits, and `retargeting` finds the robot's pose.
"""
