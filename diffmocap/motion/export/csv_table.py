"""CSV: one row per frame, for spreadsheets and scripts.

Columns: ``frame``, ``time_s``, ``tracked`` (1 where the person was seen, 0 where the motion is bridged); then for every
joint its place ``<joint>_x_m``, ``_y_m``, ``_z_m`` (or the other unit) in the file's axes, and its turn relative to its
parent as a quaternion ``<joint>_qw``, ``_qx``, ``_qy``, ``_qz``. The first joint's is relative to the file's axes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffmocap.motion.export.animated_skeleton import AnimatedSkeleton
from diffmocap.motion.export.gltf import continuous_quaternions


def write_csv(path: Path, skeleton: AnimatedSkeleton, tracked: np.ndarray | None, unit: str) -> None:
    """Writes the file; ``tracked`` [T] bool, None where everything was seen; ``unit`` is that of ``skeleton``."""
    frames = len(skeleton)
    seen = np.ones(frames) if tracked is None else tracked
    wxyz = continuous_quaternions(skeleton.rotations)[..., [3, 0, 1, 2]]
    values = np.concatenate([skeleton.joints(), wxyz], -1).reshape(frames, -1)
    header = ["frame", "time_s", "tracked"]
    for name in skeleton.names:
        header += [f"{name}_{axis}_{unit}" for axis in "xyz"] + [f"{name}_q{part}" for part in "wxyz"]
    table = np.column_stack([np.arange(frames), np.arange(frames) / skeleton.fps, seen, values])
    formats = ["%d", "%.6f", "%d"] + ["%.7f"] * values.shape[1]
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        np.savetxt(f, table, fmt=formats, delimiter=",", header=",".join(header), comments="")
