"""The parts of pose_node: its settings, and conversion of poses into messages and frames.

`pose_settings` and `physics_parameters` declare the parameters, `ground_frame` listens for a known floor,
`pose_messages`, `link_frames` and `pose_markers` write what is published, `step_budget` splits the frame's time,
`track_watch` says LOST where nothing comes, and `track_report` why no pose is published.
"""
