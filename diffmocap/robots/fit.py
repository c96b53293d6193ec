"""Whether a description fits the model that it names: limbs in their order, left on the left, joints to move them.

What does not fit would still be followed, by a robot that moves its right arm as the person moves the left one, or an
elbow of the other arm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from diffmocap.errors import RobotError
from diffmocap.robots.frames import SIDES

if TYPE_CHECKING:
    from diffmocap.robots.model import RobotModel

#: The points of each limb from the link that it hangs on.
_LIMBS = {"arms": ("chest", ("shoulder", "elbow", "wrist")), "legs": ("pelvis", ("hip", "knee", "ankle"))}
#: A part of a limb that is shorter is none [m].
SHORTEST_PART = 0.02
#: Left points are so far to the left of the right ones, as a share of the way between them along the floor.
_LEFT = 0.5
#: Rounding in a range [rad or m].
_ROUNDING = 1e-6


def check_fit(robot: RobotModel) -> None:
    """Raises a :class:`RobotError` that says what does not fit, and what was expected."""
    data = mujoco.MjData(robot.model)
    data.qpos = robot.t_pose
    mujoco.mj_kinematics(robot.model, data)
    for limb, (root, points) in _LIMBS.items():
        if not getattr(robot.description, limb):
            continue
        for side in SIDES:
            _check_order(robot, limb, root, side, points)
            _check_parts(robot, data, limb, side, points)
        _check_sides(robot, data, limb, points[-1])
    _check_rest(robot)


def _check_order(robot: RobotModel, limb: str, root: str, side: str, points: tuple[str, ...]) -> None:
    """Each point is in the link of the one before, or in one that hangs on it; and joints move the last of them."""
    model, name = robot.model, robot.description.name
    last = {"arms": "hand", "legs": "sole"}[limb]
    above, above_key = int(model.site_bodyid[robot.sites[root]]), f"links.{root}"
    for point in (*points, *([last] if f"{side}_{last}" in robot.sites else [])):
        body = int(model.site_bodyid[robot.sites[f"{side}_{point}"]])
        if above not in _upwards(model, body):
            raise RobotError(
                f"{limb}.{point} of {name}: the {side} one is in the link {model.body(body).name!r}, which does not "
                f"hang on {model.body(above).name!r} of {above_key}; expected links in the order in which they hang on "
                f"each other, from the {root} to the {last}, left before right"
            )
        above, above_key = body, f"{limb}.{point}"
    links = _upwards(model, int(model.site_bodyid[robot.sites[f"{side}_{points[-1]}"]]))
    if not model.body_dofnum[links[: links.index(int(model.site_bodyid[robot.sites[root]]))]].any():
        raise RobotError(
            f"{limb} of {name}: no joint that is commanded moves the {side} {points[-1]} against the {root}; see "
            f"`held` and links.{root}"
        )


def _check_parts(robot: RobotModel, data: mujoco.MjData, limb: str, side: str, points: tuple[str, ...]) -> None:
    at = [data.site_xpos[robot.sites[f"{side}_{point}"]] for point in points]
    for first, second, a, b in zip(points, points[1:], at, at[1:], strict=False):
        if (length := float(np.linalg.norm(b - a))) < SHORTEST_PART:
            raise RobotError(
                f"{limb} of {robot.description.name}: {side} {first} and {second} are {1e3 * length:.0f} mm apart; "
                f"expected at least {1e3 * SHORTEST_PART:.0f} mm: name other links, or points of them as "
                "{link: NAME, at: [x, y, z]}"
            )


def _check_sides(robot: RobotModel, data: mujoco.MjData, limb: str, point: str) -> None:
    way = data.site_xpos[robot.sites[f"left_{point}"]] - data.site_xpos[robot.sites[f"right_{point}"]]
    if way[1] <= _LEFT * np.hypot(way[0], way[1]):
        raise RobotError(
            f"{limb} of {robot.description.name}: in the t_pose the left {point} is {way[0]:.2f} m before and "
            f"{way[1]:.2f} m to the left of the right one; expected left before right in each list, and a root link "
            "with x forward, y to the left and z up"
        )


def _check_rest(robot: RobotModel) -> None:
    margin = robot.description.range_margin
    for name, value in robot.description.rest.items():
        i = robot.joint_names.index(name)
        low, high = robot.low[i] - margin, robot.high[i] + margin
        if not low - _ROUNDING <= value <= high + _ROUNDING:
            raise RobotError(
                f"rest.{name} of {robot.description.name} is {value:g}; expected a position in the joint's range, "
                f"{low:.2f} to {high:.2f}"
            )


def _upwards(model: mujoco.MjModel, body: int) -> list[int]:
    """A link and all that it hangs on."""
    links = [body]
    while links[-1]:
        links.append(int(model.body_parentid[links[-1]]))
    return links
