"""Measurements of the product, a room for each subject; pages go to `results/`.

`lifting` (accuracy of poses from keypoints), `protocols` (exact, made-up and real input to it), `optimizers` (Optimus
and its rivals on test functions), `meta_training` (what training does to them), `fits` (ways to fit the body to
keypoints), `refinement` (what physics brings to motion), `detector` (MediaPipe), `synthetic` (rendered films), `field`
(inputs as users have them), `launch_files` (the graph on ROS 2 installs), `page` (what every page has in common),
`field_inputs` and `soak`.
"""

from pathlib import Path

#: `python -m benchmarks.tracking` finds `benchmarks/lifting/tracking.py`: commands are the same in whichever room they
#: live. Code names the room.
__path__ += [str(Path(__file__).with_name(room)) for room in ("lifting", "protocols", "refinement", "optimizers",
                                                              "fits", "meta_training", "detector",
                                                              "synthetic")]  # fmt: skip
