"""The motion of one person: what a video becomes, what is kept in files and given to other tools."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.body.motion_files import MOTION_FRAMES
from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.body.smpl_data import NUM_BETAS
from diffmocap.errors import MotionFileError
from diffmocap.motion.dynamics import MotionDynamics


@dataclass(frozen=True)
class Motion:
    """One person's motion at an even rate. All tensors lie on the CPU.

    Attributes:
        fps: frames a second.
        rotations: [T, 24, 3, 3] float32 local joint rotations in SMPL's order; entry 0 turns the body into ``frame``.
        pelvis: [T, 3] float32 position of the pelvis joint in ``frame`` [m].
        betas: [10] float32 shape of the body model that the motion belongs to; zeros are its mean shape.
        frame: what ``rotations`` and ``pelvis`` are given in: ``optical`` (the camera's: x right, y down, z forward),
            ``world`` (z up, floor at z = 0) or ``y_up`` (y up, floor at y = 0).
        keypoints: [T, 25, 3] BODY_25 keypoints: x and y [px], and confidence from 0 to 1.
        tracked: [T] bool, whether the person was seen; elsewhere the motion is bridged.
        contacts: [T, P] bool, which contact points of the body touch the floor.
        name, subject: labels, empty where there are none.
        start_s: when its first frame is, in the video that it is of [s].
        K: [3, 3] float32 matrix of the pinhole camera that the keypoints are of [px], in whose frame the motion is.
        recipe: what the settings that it was made with are known by; empty where that is not known.
        video: name and size of the video that it is of; empty where that is not known.
        dynamics: torques and forces of a simulation, None where the motion was not simulated.

    Raises:
        MotionFileError: a tensor has another shape or values that are not finite, or the frame is unknown.
    """

    fps: float
    rotations: torch.Tensor
    pelvis: torch.Tensor
    betas: torch.Tensor
    frame: str = "optical"
    keypoints: torch.Tensor | None = None
    tracked: torch.Tensor | None = None
    contacts: torch.Tensor | None = None
    name: str = ""
    subject: str = ""
    start_s: float = 0.0
    K: torch.Tensor | None = None
    recipe: str = ""
    video: str = ""
    dynamics: MotionDynamics | None = None

    def __post_init__(self) -> None:
        if not 1.0 <= self.fps <= 1000.0:
            raise MotionFileError(f"a motion of {self.fps} frames a second; expected 1 to 1000")
        if self.frame not in MOTION_FRAMES:
            raise MotionFileError(f"the frame {self.frame!r} is unknown; expected one of {sorted(MOTION_FRAMES)}")
        if self.rotations.ndim != 4 or not len(self.rotations):
            raise MotionFileError(
                f"a motion's rotations are {list(self.rotations.shape)}; expected [T, {NUM_JOINTS}, 3, 3] with T >= 1"
            )
        frames = len(self.rotations)
        contact_points = None if self.contacts is None else self.contacts.shape[-1]
        for name, shape in {
            "rotations": (frames, NUM_JOINTS, 3, 3), "pelvis": (frames, 3), "betas": (NUM_BETAS,),
            "keypoints": (frames, NUM_KEYPOINTS, 3), "K": (3, 3), "tracked": (frames,),
            "contacts": (frames, contact_points),
        }.items():  # fmt: skip
            value = getattr(self, name)
            if value is None and name in ("keypoints", "K", "tracked", "contacts"):
                continue
            if tuple(value.shape) != shape:
                raise MotionFileError(f"a motion's {name} is {list(value.shape)}; expected {list(shape)}")
            if not bool(torch.isfinite(value).all()):
                raise MotionFileError(f"a motion's {name} holds values that are not finite")
        if self.dynamics is not None and len(self.dynamics.simulated) != frames:
            raise MotionFileError(
                f"a motion of {frames} frames with a simulation of {len(self.dynamics.simulated)}; expected as many"
            )

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def duration_s(self) -> float:
        """Time from the first frame to the last [s]."""
        return (len(self) - 1) / self.fps

    def joints(self, body: BodyModel) -> torch.Tensor:
        """The joints [T, 24, 3] in ``frame`` [m], of the body in the motion's shape."""
        return body.forward_kinematics(self.rotations, self.pelvis, self.betas[None])[1]

    def clip(self, body: BodyModel) -> MotionClip:
        """The motion with y up as the functions of :mod:`diffmocap.body` take it, with the body's skeleton."""
        upright = self.in_frame("y_up")
        offsets = bone_offsets(body.rest_joints(self.betas[None])[0])
        return MotionClip(self.name, self.subject, "", self.fps, upright.rotations, upright.pelvis, offsets)

    def in_frame(self, frame: str) -> Motion:
        """The same motion in another frame; exact, since axes are exchanged and their signs turned alone.

        ``optical`` is taken to be the frame of a level camera, whose height above the floor is not known here: a motion
        that comes from there has its axes right, but its floor where it happens to be.

        Raises:
            MotionFileError: the frame is unknown.
        """
        if frame not in MOTION_FRAMES:
            raise MotionFileError(f"the frame {frame!r} is unknown; expected one of {sorted(MOTION_FRAMES)}")
        if frame == self.frame:
            return self
        turn = torch.tensor(MOTION_FRAMES[frame]).T @ torch.tensor(MOTION_FRAMES[self.frame])
        rotations = self.rotations.clone()
        rotations[:, 0] = turn @ rotations[:, 0]
        dynamics = None if self.dynamics is None else self.dynamics.moved(turn, torch.zeros(3))
        # The camera's matrix is worth something in the camera's frame alone.
        return replace(
            self, rotations=rotations, pelvis=self.pelvis @ turn.T, frame=frame, dynamics=dynamics, K=None
        )  # fmt: skip
