"""A robot's motion in files: a table for people and scripts, arrays for programs.

``.csv`` has a header, and a row for each command: ``time`` [s], ``root_x`` to ``root_z`` [m], the quaternion
``root_qx`` to ``root_qw``, and each joint by its name [rad, or m of a slide]. ``.npz`` has ``fps``, ``root_pos`` [T,
3], ``root_rot`` [T, 4] as x, y, z, w, ``dof_pos`` [T, N] (the keys of GMR's files), ``dof_vel``, ``dof_acc``,
``joint_names`` and ``robot``; it holds no pickle.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffmocap.errors import RobotError
from diffmocap.files.whole_file import whole_file
from diffmocap.robots.frames import RobotCommand

FORMATS = (".csv", ".npz")
_ROOT = ("root_x", "root_y", "root_z", "root_qx", "root_qy", "root_qz", "root_qw")


def write_commands(path: str | Path, commands: Sequence[RobotCommand], fps: float, robot: str) -> None:
    """Writes commands at an even rate; what stood there before stays until the new file is whole.

    Raises:
        RobotError: the path ends in neither ``.csv`` nor ``.npz``, or there is no command.
        OSError: it cannot be written.
    """
    path = Path(path)
    if path.suffix not in FORMATS:
        raise RobotError(f"a robot's motion is written to {' or '.join(FORMATS)}, got {str(path)!r}")
    if not commands:
        raise RobotError("there is no command to write")
    with whole_file(path) as partial:
        if path.suffix == ".csv":
            _write_table(partial, commands, fps)
        else:
            with open(partial, "wb") as f:
                np.savez_compressed(f, **_arrays(commands, fps, robot))


def _arrays(commands: Sequence[RobotCommand], fps: float, robot: str) -> dict[str, np.ndarray]:
    return {
        "fps": np.array(float(fps)),
        "root_pos": np.array([c.base_position for c in commands]),
        "root_rot": np.array([c.base_rotation for c in commands]),
        "dof_pos": np.array([c.positions for c in commands]),
        "dof_vel": np.array([c.velocities for c in commands]),
        "dof_acc": np.array([c.accelerations for c in commands]),
        "joint_names": np.array(commands[0].joint_names),
        "robot": np.array(robot),
    }


def _write_table(path: Path, commands: Sequence[RobotCommand], fps: float) -> None:
    with open(path, "w", newline="", encoding="utf-8") as f:
        rows = csv.writer(f)
        rows.writerow(["time", *_ROOT, *commands[0].joint_names])
        for i, command in enumerate(commands):
            values = (*command.base_position, *command.base_rotation, *command.positions)
            rows.writerow([f"{i / fps:.6f}", *(f"{value:.6f}" for value in values)])
