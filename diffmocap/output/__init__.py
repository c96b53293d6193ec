"""What goes out: whether a pose is published, and the motion that it is published as.

`gate_settings` holds the thresholds, `camera_check` says which calibrations no camera has, `pose_limits` which poses
and moves no person makes, `person_evidence` what speaks for a person; `gate` decides, `tracking_state` says what
became of the track, and `person_track` is both for the pipeline. A track ends by the time since its last pose
(`timing.track_clock`), by the gate's evidence, where another person is followed, or where no keypoints come at all
(`nodes.pose.track_watch`). `observed` says which joints an image shows.

`profiles` holds the limits of the motion, `inside_limits` finds the nearest pose inside the joints' limits,
`outlier_gate` says what is waited for, `joint_motion` and `root_motion` are the laws that move joints and root, and
`motion` puts them together.
"""
