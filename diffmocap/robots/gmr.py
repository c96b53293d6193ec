"""A robot's motion for GMR (General Motion Retargeting, github.com/YanjieZe/GMR), and for what reads its files.

GMR writes a pickled dictionary: ``fps``, ``root_pos`` [T, 3] m, ``root_rot`` [T, 4] as x, y, z, w, ``dof_pos`` [T, N]
in the order of the joints of GMR's MuJoCo model, ``local_body_pos`` [T, B, 3] m, the origins of the links in the root
link's axes, and ``link_body_list``, the names of the links. The same keys stand here in an ``.npz`` without pickle;
``docs/robots.md`` has the lines that make GMR's file of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import mujoco
import numpy as np

from diffmocap.errors import RobotError
from diffmocap.files.whole_file import whole_file
from diffmocap.robots.description import RobotDescription
from diffmocap.robots.frames import RobotCommand
from diffmocap.robots.model import RobotModel


class GmrOrder:
    """Where a robot's commanded joints are among those of GMR's model.

    Attributes:
        joints: names, in GMR's order.
        added: joints of GMR's that are not commanded; they stay at 0.
        left_out: commanded joints that GMR's model has not.

    Raises:
        RobotError: the description names no robot of GMR's.
    """

    def __init__(self, description: RobotDescription, joint_names: Sequence[str]) -> None:
        if description.gmr is None:
            raise RobotError(
                f"GMR has no {description.name}; for a robot of your own say `gmr: {{robot: NAME}}` in its YAML file "
                "(docs/robots.md), or choose --format npz"
            )
        self.joints = description.gmr.joints or tuple(joint_names)
        self.added = [joint for joint in self.joints if joint not in joint_names]
        self.left_out = [joint for joint in joint_names if joint not in self.joints]
        if len(self.left_out) == len(joint_names):
            raise RobotError(f"{description.name}: none of the commanded joints is among those of `gmr.joints`")
        self._theirs = [i for i, joint in enumerate(self.joints) if joint in joint_names]
        self._ours = [joint_names.index(self.joints[i]) for i in self._theirs]

    def ordered(self, positions: np.ndarray) -> np.ndarray:
        """Joint positions [T, N] of the commands as [T, M] of GMR's joints."""
        made = np.zeros((len(positions), len(self.joints)))
        made[:, self._theirs] = positions[:, self._ours]
        return made


def gmr_arrays(commands: Sequence[RobotCommand], fps: float, robot: RobotModel) -> dict[str, np.ndarray]:
    """The content of a file of GMR's; names are an array of text.

    Raises:
        RobotError: GMR has no such robot, or there is no command.
    """
    order = GmrOrder(robot.description, robot.joint_names)
    if not commands:
        raise RobotError("there is no command to write")
    positions = np.array([command.positions for command in commands])
    places, links = _link_places(positions, robot)
    return {
        "fps": np.array(float(fps)),
        "root_pos": np.array([command.base_position for command in commands]),
        "root_rot": np.array([command.base_rotation for command in commands]),
        "dof_pos": order.ordered(positions),
        "local_body_pos": places,
        "link_body_list": np.array(links),
    }


def write_gmr(path: str | Path, commands: Sequence[RobotCommand], fps: float, robot: RobotModel) -> None:
    """Writes commands at an even rate; what stood there before stays until the new file is whole.

    Raises:
        RobotError: as of :func:`gmr_arrays`, or the path does not end in ``.npz``.
        OSError: it cannot be written.
    """
    if Path(path).suffix != ".npz":
        raise RobotError(f"GMR's content is written to .npz, got {str(path)!r}")
    arrays = gmr_arrays(commands, fps, robot)
    with whole_file(Path(path)) as partial, open(partial, "wb") as f:
        np.savez_compressed(f, **arrays)


def _link_places(positions: np.ndarray, robot: RobotModel) -> tuple[np.ndarray, list[str]]:
    """Origins [T, B, 3] of the links with the root link at the origin and not turned, as float32, and their names."""
    model, data = robot.model, mujoco.MjData(robot.model)
    links = {model.body(i).name: i for i in range(1, model.nbody)}
    more = robot.description.gmr.links
    for name, point in more.items():
        if point.link not in links:
            raise RobotError(f"{robot.description.name}: gmr.links.{name}: the model has no link {point.link!r}")
    on = [links[point.link] for point in more.values()]
    at = np.array([point.at for point in more.values()]).reshape(-1, 3)
    places = np.empty((len(positions), len(links) + len(more), 3), np.float32)
    if robot.first:
        data.qpos[:7] = 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0
    for joints, place in zip(positions, places, strict=True):
        data.qpos[robot.first :] = joints
        mujoco.mj_kinematics(model, data)
        place[: len(links)] = data.xpos[1:]
        place[len(links) :] = data.xpos[on] + np.einsum("bij,bj->bi", data.xmat[on].reshape(-1, 3, 3), at)
    return places, [*links, *more]
