"""DiffPhy as a task: find the controls whose simulation looks like an observed motion (Gärtner et al. 2022).

    parameters -> targets of the drives -> simulation on the ground -> compare with the observation

Every optimizer of :mod:`diffmocap.optim` takes it. Parameters are rotation vectors at knots
(:mod:`diffmocap.refinement.diffphy.controls`); zero drives the joints towards the observed poses themselves, which
makes a person stumble and fall within a second.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.optim.task import Task
from diffmocap.physics.joint_drives import chord
from diffmocap.physics.simulation import BodyMotionState, SimulatedMotion, Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.controls import ControlTrajectory


@dataclass(frozen=True)
class DiffphyWeights:
    """What a unit of the loss is worth; each term is a mean over frames and joints.

    Attributes:
        position_m: error of a joint that costs 1 while small; errors above ``saturation_m`` cost in proportion instead
            of squared, so that what happens after a fall does not outweigh how to avoid it.
        root_m: the same for the pelvis. rotation_rad: for the segments' global rotations.
        velocity_m_s: for the joints' velocities; ``saturation_m_s`` is as above.
        control_rad: for the turns of the targets.
        control_change_rad_s: for how fast they change.
        stance_m: for a contact point that touches in the observed motion, as that has it; ``saturation_m`` holds here,
            too. Nothing where it is not said what touches.
    """

    position_m: float = 0.05
    root_m: float = 0.05
    rotation_rad: float = 0.35
    velocity_m_s: float = 1.0
    control_rad: float = 1.0
    control_change_rad_s: float = 10.0
    stance_m: float = 0.03
    saturation_m: float = 0.15
    saturation_m_s: float = 2.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value > 0:
                raise SettingsError(f"{name} must be positive (infinity leaves a term out), got {value}")


class DiffphyTask(Task):
    """B motions, each with its own controls.

    Args:
        simulator: the body on its ground. rotations: [B, T, 24, 3, 3] observed local ones, entry 0 turns the body into
            the motion's frame. pelvis: [B, T, 3] m. dt_s: between frames. controls: what the parameters turn.
        weights: of the loss. start: state to begin with; None takes the first frame's, with the observed velocity.
        touching: [B, T, P] bool, the body's contact points that touch the ground; None: it is not known.

    The simulation runs in the simulator's dtype, whatever that of the parameters is.
    """

    minimum = 0.0
    scale = 0.1

    def __init__(
        self, simulator: Simulator, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float,
        controls: ControlTrajectory | None = None, weights: DiffphyWeights | None = None,
        start: BodyMotionState | None = None, touching: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        body = simulator.body
        rotations, pelvis = (x.to(device=body.device, dtype=body.dtype) for x in (rotations, pelvis))
        if rotations.dim() != 5 or pelvis.shape != (*rotations.shape[:2], 3) or rotations.shape[1] < 2:
            raise SettingsError(
                f"motions must be [B, T, 24, 3, 3] and [B, T, 3] with T > 1, got {list(rotations.shape)} and "
                f"{list(pelvis.shape)}"
            )
        self.simulator, self.dt_s, self.weights = simulator, dt_s, weights or DiffphyWeights()
        self.controls = controls or ControlTrajectory.over(rotations.shape[1], dt_s)
        self.shape = self.controls.shape
        self.rotations, self.pelvis = rotations, pelvis
        self.start = start or BodyMotionState.of_motion(rotations, pelvis, dt_s, body)
        self.turned, self.joints = global_poses(rotations, pelvis, body.segments.offsets)
        self.touching = touching
        self._standing = None if touching is None else body.points.centres(self.turned, self.joints)

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Starts [B, K * D]: the observed poses as targets. The number of problems is that of the motions."""
        if count != len(self.pelvis):
            raise SettingsError(f"this task holds {len(self.pelvis)} motions, and as many starts; asked for {count}")
        return torch.zeros(count, self.dimension, device=self.pelvis.device)

    def row(self, index: int) -> DiffphyTask:
        """The task of one motion."""
        one = slice(index, index + 1)
        start = BodyMotionState(self.start.rotations[one], self.start.pelvis[one], self.start.velocity[one])
        return DiffphyTask(
            self.simulator, self.rotations[one], self.pelvis[one], self.dt_s, self.controls, self.weights, start,
            None if self.touching is None else self.touching[one],
        )  # fmt: skip

    def beginning(self, frames: int) -> DiffphyTask:
        """The task of the first ``frames`` frames, with the same parameters: those of later knots have no effect.

        Long motions are found from their beginning on: the gradient of a fall tells nothing of what comes after it.
        """
        controls = replace(self.controls, weights=self.controls.weights[:frames])
        return DiffphyTask(
            self.simulator, self.rotations[:, :frames], self.pelvis[:, :frames], self.dt_s, controls, self.weights,
            self.start, None if self.touching is None else self.touching[:, :frames],
        )  # fmt: skip

    def simulate(self, x: torch.Tensor) -> SimulatedMotion:
        """Motion of parameters [B, K * D]."""
        x = x.to(self.pelvis)
        return self.simulator.simulate(self.start, self.controls.targets(self.rotations[:, :, 1:], x), self.dt_s)

    def terms(self, x: torch.Tensor, motion: SimulatedMotion | None = None) -> dict[str, torch.Tensor]:
        """The loss's terms [B] by name, weighted; ``motion`` where it was simulated already."""
        w, motion = self.weights, motion or self.simulate(x)
        off = (motion.joints - self.joints)[:, 1:]
        rates = (motion.joints - self.joints).diff(dim=1) / self.dt_s
        turns = self.controls.turns(x.to(self.pelvis))
        terms = {
            "position": _saturated(off.square().sum(-1), w.saturation_m).mean((1, 2)) / w.position_m**2,
            "root": _saturated(off[:, :, 0].square().sum(-1), w.saturation_m).mean(1) / w.root_m**2,
            "rotation": self._turned_by(motion).square().sum(-1).mean((1, 2)) / w.rotation_rad**2,
            "velocity": _saturated(rates.square().sum(-1), w.saturation_m_s).mean((1, 2)) / w.velocity_m_s**2,
            "control": turns.square().sum(-1).mean((1, 2)) / w.control_rad**2,
            "control_change": (turns.diff(dim=1) / (self.dt_s * w.control_change_rad_s)).square().sum(-1).mean((1, 2)),
        }
        if self._standing is not None:
            slipped = (motion.positions[:, :, NUM_JOINTS:] - self._standing)[:, 1:].square().sum(-1)
            held = _saturated(slipped, w.saturation_m) * self.touching[:, 1:]
            terms["stance"] = held.mean((1, 2)) / w.stance_m**2
        return terms

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return sum(self.terms(x).values()).to(x)

    def _turned_by(self, motion: SimulatedMotion) -> torch.Tensor:
        return chord(motion.rotations[:, 1:] @ self.turned[:, 1:].transpose(-1, -2))


def _saturated(square: torch.Tensor, saturation: float) -> torch.Tensor:
    """``square`` while small, twice ``saturation`` times its root beyond (pseudo-Huber)."""
    return 2 * saturation**2 * ((1 + square / saturation**2).sqrt() - 1)
