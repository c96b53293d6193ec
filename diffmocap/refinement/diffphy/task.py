"""DiffPhy as a task: find the controls whose simulation looks like an observed motion (Gärtner et al. 2022).

    parameters -> initial state, targets of the drives -> simulation on the ground -> compare with the observation

Every optimizer of :mod:`diffmocap.optim` takes it. Parameters are rotation vectors at knots
(:mod:`diffmocap.refinement.diffphy.controls`); zero drives the joints towards the observed poses themselves, which
makes a person stumble and fall within a second. Where the initial state is free, too, rows below the knots are how it
differs from the observed one (:mod:`diffmocap.refinement.diffphy.initial_state`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import SettingsError
from diffmocap.optim.task import Task
from diffmocap.physics.ground import Ground
from diffmocap.physics.joint_drives import chord
from diffmocap.physics.self_contact import SelfContact
from diffmocap.physics.simulation import BodyMotionState, SimulatedMotion, Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.controls import ControlTrajectory
from diffmocap.refinement.diffphy.initial_state import SIZE, StateChange, rows_of
from diffmocap.refinement.diffphy.observation import Observation, SeenKeypoints
from diffmocap.refinement.window.body_points import BodyPoints


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
        reprojection_m: for a keypoint's distance from where it was seen, at the person's distance, weighed by its
            confidence; Cauchy's robust square beyond ``keypoint_saturation_m``.
        slip_m_s: for the speed along the ground of contact points that touch in the observed motion, which is what foot
            skate is; ``saturation_m_s`` holds for its root mean square over all such.
        penetration_m: for the depth of contact points below the ground, summed over them; that of the first frame
            counts once more, undivided by the number of frames, where the initial state is free: no floor pushes
            before the simulation begins, which else could begin with feet deep in the ground and be thrown out of it.
        self_contact_m: for how far capsules of the body overlap, summed over pairs.
        start_turn_rad, start_rate_rad_s: for how far a joint's rotation and rate differ at the first frame from the
            observed ones; start_pelvis_m, start_velocity_m_s: for the pelvis. All count where they are free.
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
    reprojection_m: float = 0.02
    keypoint_saturation_m: float = 0.1
    slip_m_s: float = 0.5
    penetration_m: float = 0.02
    self_contact_m: float = 0.03
    start_turn_rad: float = 0.1
    start_rate_rad_s: float = 1.0
    start_pelvis_m: float = 0.02
    start_velocity_m_s: float = 0.1

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
        points: of the body: with them slip and penetration count where it is known what touches, and keypoints that
            were ``seen``. self_contact: the body's capsules, whose overlaps count; None: they do not.
        free_start: the initial state is unknown, and ``start`` is the observed one.

    The simulation runs in the simulator's dtype, whatever that of the parameters is.
    """

    minimum = 0.0
    scale = 0.1

    def __init__(
        self, simulator: Simulator, rotations: torch.Tensor, pelvis: torch.Tensor, dt_s: float,
        controls: ControlTrajectory | None = None, weights: DiffphyWeights | None = None,
        start: BodyMotionState | None = None, touching: torch.Tensor | None = None, points: BodyPoints | None = None,
        seen: SeenKeypoints | None = None, self_contact: SelfContact | None = None, free_start: bool = False,
    ) -> None:  # fmt: skip
        body = simulator.body
        rotations, pelvis = (x.to(device=body.device, dtype=body.dtype) for x in (rotations, pelvis))
        if rotations.dim() != 5 or pelvis.shape != (*rotations.shape[:2], 3) or rotations.shape[1] < 2:
            raise SettingsError(
                f"motions must be [B, T, 24, 3, 3] and [B, T, 3] with T > 1, got {list(rotations.shape)} and "
                f"{list(pelvis.shape)}"
            )
        if seen is not None and (points is None or touching is None):
            raise SettingsError("keypoints that were seen need the body's points, and what touches the ground")
        self.simulator, self.dt_s, self.weights = simulator, dt_s, weights or DiffphyWeights()
        self.controls = controls or ControlTrajectory.over(rotations.shape[1], dt_s)
        knots, columns = self.controls.shape
        self.shape = (knots + (rows_of(columns) if free_start else 0), columns)
        self.rotations, self.pelvis = rotations, pelvis
        self.start = start or BodyMotionState.of_motion(rotations, pelvis, dt_s, body)
        self.turned, self.joints = global_poses(rotations, pelvis, body.segments.offsets)
        self.touching, self.points, self.seen = touching, points, seen
        self.self_contact, self.free_start = self_contact, free_start
        self._standing = None if touching is None else body.points.centres(self.turned, self.joints)
        self._observation = None
        if points is not None and touching is not None:
            ground = Ground(simulator.up, simulator.height)
            self._observation = Observation(
                points, rotations, pelvis, dt_s, ground, touching, seen, self.weights.keypoint_saturation_m
            )

    def init(self, count: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Starts [B, N]: the observed poses as targets, and the observed state. The number of problems is that of the
        motions."""
        if count != len(self.pelvis):
            raise SettingsError(f"this task holds {len(self.pelvis)} motions, and as many starts; asked for {count}")
        return torch.zeros(count, self.dimension, device=self.pelvis.device)

    def row(self, index: int) -> DiffphyTask:
        """The task of one motion."""
        return self._part(slice(index, index + 1), slice(None), None if self.seen is None else self.seen.row(index))

    def beginning(self, frames: int) -> DiffphyTask:
        """The task of the first ``frames`` frames, with the same parameters: those of later knots have no effect.

        Long motions are found from their beginning on: the gradient of a fall tells nothing of what comes after it.
        """
        first = slice(0, frames)
        return self._part(slice(None), first, None if self.seen is None else self.seen.frames(first))

    def _part(self, rows: slice, frames: slice, seen: SeenKeypoints | None) -> DiffphyTask:
        start = BodyMotionState(self.start.rotations[rows], self.start.pelvis[rows], self.start.velocity[rows])
        return DiffphyTask(
            self.simulator, self.rotations[rows, frames], self.pelvis[rows, frames], self.dt_s,
            replace(self.controls, weights=self.controls.weights[frames]), self.weights, start,
            None if self.touching is None else self.touching[rows, frames], self.points, seen, self.self_contact,
            self.free_start,
        )  # fmt: skip

    def knots(self, x: torch.Tensor) -> torch.Tensor:
        """The controls' part [B, K * D] of parameters [B, N]."""
        knots, columns = self.controls.shape
        return x[:, : knots * columns]

    def change(self, x: torch.Tensor) -> StateChange:
        """What parameters [B, N] say of the initial state, where that is free."""
        first = self.knots(x).shape[1]
        return StateChange.of(x[:, first : first + SIZE])

    def simulate(self, x: torch.Tensor) -> SimulatedMotion:
        """Motion of parameters [B, N]."""
        x = x.to(self.pelvis)
        start = self.change(x).of_state(self.start, self.simulator.body) if self.free_start else self.start
        return self.simulator.simulate(start, self.controls.targets(self.rotations[:, :, 1:], self.knots(x)), self.dt_s)

    def terms(self, x: torch.Tensor, motion: SimulatedMotion | None = None) -> dict[str, torch.Tensor]:
        """The loss's terms [B] by name, weighted; ``motion`` where it was simulated already."""
        w, motion = self.weights, motion or self.simulate(x)
        off = (motion.joints - self.joints)[:, 1:]
        rates = (motion.joints - self.joints).diff(dim=1) / self.dt_s
        x = x.to(self.pelvis)
        turns = self.controls.turns(self.knots(x))
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
        if self._observation is not None:
            local = motion.local_rotations(self.simulator.body)
            squares = self._observation.squares(local, motion.pelvis)
            squares["slip"] = _saturated(squares["slip"], w.saturation_m_s)
            sizes = {"reprojection": w.reprojection_m, "slip": w.slip_m_s, "penetration": w.penetration_m}
            terms |= {name: square / sizes[name] ** 2 for name, square in squares.items()}
        if self.self_contact is not None:
            squares = self.self_contact.squares(motion.rotations, motion.joints)
            terms["self_contact"] = squares / w.self_contact_m**2
        if self.free_start:
            terms |= self._start_terms(self.change(x), motion.positions[:, 0, NUM_JOINTS:])
        return terms

    def _start_terms(self, change: StateChange, placed: torch.Tensor) -> dict[str, torch.Tensor]:
        """What differing from the observed state costs [B], and contact points ``placed`` [B, P, 3] m in the ground."""
        w, simulator = self.weights, self.simulator
        depth = simulator.height + simulator.body.points.radius - placed @ simulator.up
        return {
            "start_penetration": depth.clamp_min(0.0).square().sum(1) / w.penetration_m**2,
            "start_turn": change.turns.square().sum(-1).mean(1) / w.start_turn_rad**2,
            "start_rate": change.rates.square().sum(-1).mean(1) / w.start_rate_rad_s**2,
            "start_pelvis": change.pelvis.square().sum(1) / w.start_pelvis_m**2,
            "start_velocity": change.velocity.square().sum(1) / w.start_velocity_m_s**2,
        }

    def loss(self, x: torch.Tensor) -> torch.Tensor:
        return sum(self.terms(x).values()).to(x)

    def _turned_by(self, motion: SimulatedMotion) -> torch.Tensor:
        return chord(motion.rotations[:, 1:] @ self.turned[:, 1:].transpose(-1, -2))


def _saturated(square: torch.Tensor, saturation: float) -> torch.Tensor:
    """``square`` while small, twice ``saturation`` times its root beyond (pseudo-Huber)."""
    return 2 * saturation**2 * ((1 + square / saturation**2).sqrt() - 1)
