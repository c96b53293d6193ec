"""The result of the live refinement for one frame: pose, velocities, contacts, forces and torques."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.joint_angles import angles_from_rotations
from diffmocap.body.rotations import rotation_vector
from diffmocap.physics.revolute_torques import revolute_torques
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.stream.task import LiveTask, WindowSolution
from diffmocap.refinement.window.body_points import BodyPoints


@dataclass(frozen=True)
class LiveResult:
    """The pose to publish, in the camera's optical frame.

    Attributes:
        age: how many frames have come since the one that it belongs to; 0 without a lag.
        rotations: [24, 3, 3] local. pelvis: [3] m.
        angles: [69] rad of the URDF's joints, continuous from result to result.
        angular_velocity: [24, 3] rad/s of each local rotation, in the joint's own axes. pelvis_velocity: [3] m/s. Both
            by central differences, at the newest frame by backward ones; zero without a neighbour.
        torques: [69] N m of the URDF's joints, None without a ground, with fewer than 3 frames or where refinement did
            not help. Forces need a frame on either side: without lag they are those of the previous frame.
        contacts: names of the touching contact points. contact_points: [C, 3] m, where they are, and contact_forces:
            [C, 3] N on the body there, a row for each of them; None where ``torques`` is.
        loss_before, loss_after: of the whole window, unrefined and as published: the second is never the larger. The
            first may be a few frames old while the second is far below it.
        loss_of_window: of the motion that the steps came to, before it continues what was published.
        iterations: steps taken for this frame. step_ms: what one took lately.
        refined: False where refinement did not help: this is the heaviest hypothesis, or on the way to it over some
            frames where that is better by the loss than a jump.
        restarted: the track began anew with the newest frame.
        ground_source: where the ground comes from.
        milliseconds: what the newest frame took.
    """

    age: int
    rotations: torch.Tensor
    pelvis: torch.Tensor
    angles: torch.Tensor
    angular_velocity: torch.Tensor
    pelvis_velocity: torch.Tensor
    torques: torch.Tensor | None
    contacts: tuple[str, ...]
    contact_points: torch.Tensor | None
    contact_forces: torch.Tensor | None
    loss_before: float
    loss_after: float
    loss_of_window: float
    iterations: int
    step_ms: float
    refined: bool
    restarted: bool
    ground_source: str
    milliseconds: float


def pose_of(
    task: LiveTask, published: WindowSolution, solution: WindowSolution, index: int, points: BodyPoints,
    last_angles: torch.Tensor | None,
) -> dict:  # fmt: skip
    """Those fields of :class:`LiveResult` that frame ``index`` of a window has; angles continue ``last_angles``.

    Args:
        published: whose poses, velocities and contacts go out. solution: whose forces do; it is the smoother one.
    """
    rotations, pelvis = published.motion
    first, last = max(index - 1, 0), min(index + 1, len(pelvis) - 1)
    span_s = max(last - first, 1) * task.window.dt_s
    angles = angles_from_rotations(rotations[index], last_angles)
    torques = contact_points = contact_forces = None
    touching = published.touching[index]
    if solution.torques is not None:
        inner = min(max(index - 1, 0), len(pelvis) - 3)  # of the frames with a neighbour on either side
        at = inner + 1
        local, place = solution.motion
        on_child = torch.cat([torch.zeros(1, 3), solution.torques[inner].T])
        turned, _ = global_poses(local[at], place[at], points.bones)
        torques = revolute_torques(on_child, turned, angles_from_rotations(local[at], angles))
        turned, _ = global_poses(rotations[index], pelvis[index], points.bones)
        centres = points.positions(turned).split(points.sizes, -1)[2].T + pelvis[index]
        contact_points = (centres - points.radius[:, None] * task.window.ground.up)[touching]
        contact_forces = solution.forces[inner][touching]
    return {
        "rotations": rotations[index], "pelvis": pelvis[index], "angles": angles,
        "angular_velocity": rotation_vector(rotations[first].transpose(-1, -2) @ rotations[last]) / span_s,
        "pelvis_velocity": (pelvis[last] - pelvis[first]) / span_s, "torques": torques,
        "contacts": tuple(n for n, on in zip(points.contact_names, touching.tolist()) if on),
        "contact_points": contact_points, "contact_forces": contact_forces,
    }  # fmt: skip
