"""What a simulation says of a motion beside its poses: joint torques, and where and how the ground pushes."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import MotionFileError


@dataclass(frozen=True)
class MotionDynamics:
    """Of T frames, in the motion's frame; tensors on the CPU. Numbers of frames that are not simulated are zero.

    Attributes:
        simulated: [T] bool, whether the frame's pose is the simulation's.
        torques: [T, 24, 3] float32 N m of the joints on their children; entry 0, the pelvis, is zero: nothing holds it.
        contact_points: [T, P, 3] float32 m, where the body may touch the ground.
        contact_forces: [T, P, 3] float32 N of the ground on the body there.

    Raises:
        MotionFileError: a tensor has another shape or values that are not finite.
    """

    simulated: torch.Tensor
    torques: torch.Tensor
    contact_points: torch.Tensor
    contact_forces: torch.Tensor

    def __post_init__(self) -> None:
        frames, points = len(self.simulated), self.contact_forces.shape[1] if self.contact_forces.ndim == 3 else 0
        for name, shape in {
            "simulated": (frames,), "torques": (frames, NUM_JOINTS, 3), "contact_points": (frames, points, 3),
            "contact_forces": (frames, points, 3),
        }.items():  # fmt: skip
            value = getattr(self, name)
            if tuple(value.shape) != shape:
                raise MotionFileError(f"a simulated motion's {name} is {list(value.shape)}; expected {list(shape)}")
            if not bool(torch.isfinite(value).all()):
                raise MotionFileError(f"a simulated motion's {name} holds values that are not finite")

    @classmethod
    def none(cls, frames: int, points: int) -> MotionDynamics:
        """No frame is simulated."""
        zeros = torch.zeros(frames, points, 3)
        return cls(torch.zeros(frames, dtype=torch.bool), torch.zeros(frames, NUM_JOINTS, 3), zeros, zeros)

    def moved(self, R: torch.Tensor, t: torch.Tensor) -> MotionDynamics:
        """In another frame, into which R [3, 3] turns and t [3] or [T, 3] m moves after it."""
        points = self.contact_points @ R.T + t.expand(len(self.simulated), 3)[:, None]
        points = torch.where(self.simulated[:, None, None], points, 0.0)
        return MotionDynamics(self.simulated, self.torques @ R.T, points, self.contact_forces @ R.T)

    def at(self, frames: torch.Tensor) -> MotionDynamics:
        """Of other frames, by their numbers."""
        return MotionDynamics(*(getattr(self, f.name)[frames] for f in fields(self)))
