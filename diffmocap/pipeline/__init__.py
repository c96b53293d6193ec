"""From keypoints to a pose that may be published: the stages in their order, without ROS.

`pose_pipeline` takes an image's keypoints through lifting, gate, refinement and the published motion, `settings` are
those of all stages, `result` is what one step gives. The pose node converts messages and calls it; the command line
calls the same on files.
"""
