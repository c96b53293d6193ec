"""Images and cameras: sources, times, lenses, projection.

`opening` finds the reader for a source, `containers` reads what a video file says of its frames, `calibration` makes
and reads camera calibrations, `projection` and `lens` map between metres and pixels. No detector and no ROS. The
*optical frame* has x to the right, y down and z forward.
"""
