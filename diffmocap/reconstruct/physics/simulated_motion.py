"""A refined motion, simulated: joint torques and contact forces that bring it about, where a body can do it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.compiler import array
from diffmocap.errors import DiffmocapError, MotionFileError
from diffmocap.files.array_archive import ArrayArchive
from diffmocap.files.whole_file import whole_file
from diffmocap.motion.dynamics import MotionDynamics
from diffmocap.optim.optimizer import Optimizer
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground
from diffmocap.physics.ground_contact import GroundContact
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.self_contact import SelfContact
from diffmocap.physics.simulation import Simulator
from diffmocap.refinement.diffphy.control_metric import InControlMetric
from diffmocap.refinement.diffphy.horizon import HorizonSimulator, Progress, SimulatedStretch
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.window.body_points import BodyPoints

#: Stiffer than the simulation's default, and creeping less: on two validation clips soles sink in by 5 and 7 mm at
#: most, and by 10 and 12 where a standing foot sinks in by 2 mm instead of 1; the motion is followed as well.
FLOOR = GroundContact(sink_m=0.001, softening_m=0.001, slip_m_s=0.01)
#: Progress of an unfinished simulation is written this often [s].
_KEPT_EVERY_S = 5.0
#: A point that bears less than this does not touch [N].
TOUCH_N = 5.0


def controls_solver(name: str) -> Optimizer:
    """The optimizer that a setting names, see :data:`~diffmocap.refinement.diffphy.settings.SOLVERS`; each begins with
    the inverse of the controls' metric."""
    from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
    from diffmocap.optim.weights import load_shipped

    return InControlMetric({"optimus": lambda: load_shipped("optimus_controls"), "lbfgs": Lbfgs, "bfgs": Bfgs}[name]())


@dataclass(frozen=True)
class SimulatedBody:
    """What a simulation takes of a body, float64 on the CPU: its rigid segments, the points that are looked at, and the
    capsules that must not overlap."""

    articulated: ArticulatedBody
    points: BodyPoints
    self_contact: SelfContact

    @classmethod
    def of(cls, body: BodyModel, betas: torch.Tensor) -> SimulatedBody:
        """Of a body of a shape [10]; takes a second, and for shapes other than the mean some."""
        shape = betas[None] if bool(betas.any()) else None
        segments = BodySegments.of(body, betas).to("cpu", torch.float64)
        contacts = ContactPoints.from_body(body, shape).to("cpu", torch.float64)
        points = BodyPoints.from_body(body, segments, contacts, shape).to("cpu", torch.float64)
        return cls(ArticulatedBody(segments, contacts), points, SelfContact.of_body(body, shape))


def simulated_motion(
    rotations: torch.Tensor, pelvis: torch.Tensor, contacts: torch.Tensor, dt_s: float, ground: Ground,
    body: SimulatedBody, settings: SimulationSettings, seen: SeenKeypoints | None = None, kept: Path | None = None,
    told: Callable[[float], None] = lambda share: None,
) -> SimulatedStretch:  # fmt: skip
    """A motion [T, 24, 3, 3] (local), [T, 3] m of a body on its ground, simulated.

    Args:
        contacts: [T, P] bool, the body's contact points that touch.
        seen: keypoints of the T frames, where the motion is in their camera's frame; None: none are known.
        kept: file of the progress; a simulation of the same motion that was interrupted goes on from there, and it is
            removed at the end. None: nothing is kept. told: hears which share is done.
    """
    simulator = HorizonSimulator(
        Simulator(body.articulated, ground, contact=FLOOR), controls_solver(settings.solver), settings,
        points=body.points, self_contact=body.self_contact,
    )  # fmt: skip
    keeper = None
    if kept is not None:
        known = [] if seen is None else [seen.points_px, seen.confidence, seen.K]
        arrays = (rotations, pelvis, contacts, ground.up, ground.height, body.articulated.moment,
                  body.articulated.inertia, *known)  # fmt: skip
        keeper = _Keeper(kept, _fingerprint((dt_s, ground.gravity_m_s2, settings, simulator.weights), arrays))
    frames = len(pelvis)

    def window_done(progress: Progress) -> None:
        told(int(progress.frame) / (frames - 1))
        if keeper is not None:
            keeper.window_done(progress)

    begun = None if keeper is None else keeper.progress()
    try:
        stretch = simulator.simulate(rotations, pelvis, contacts, dt_s, begun, window_done, seen)
    except KeyboardInterrupt:
        if keeper is not None:
            keeper.write()
        raise
    if kept is not None:
        kept.unlink(missing_ok=True)
    return stretch


def dynamics_of(stretch: SimulatedStretch) -> MotionDynamics:
    """What is kept of a simulation beside its poses."""
    return MotionDynamics(
        stretch.simulated, stretch.torques.float(), stretch.contact_points.float(), stretch.contact_forces.float()
    )


def contacts_of(stretch: SimulatedStretch, before: torch.Tensor, ground: Ground) -> torch.Tensor:
    """[T, P] bool: what the ground pushes in simulated frames, as it was ``before`` in others."""
    pushed = stretch.contact_forces @ ground.up.double() > TOUCH_N
    return torch.where(stretch.simulated[:, None], pushed, before)


class _Keeper:
    """Keeps the progress of one simulation in a file, so that an interrupted run goes on with it.

    Args:
        path: of the file. fingerprint: of what is simulated; a file of anything else is not used.
    """

    def __init__(self, path: Path, fingerprint: str) -> None:
        self._path, self._fingerprint = path, fingerprint
        self._latest: Progress | None = None
        self._written_s = time.monotonic()

    def progress(self) -> Progress | None:
        """What was kept; None where there is nothing that can be used."""
        if not self._path.is_file():
            return None
        try:
            with ArrayArchive(self._path, MotionFileError, "delete it, and the simulation begins anew") as data:
                if data.text("fingerprint") != self._fingerprint:
                    return None
                like = Progress.begin(1, 1).tensors()
                return Progress(**{
                    name: torch.from_numpy(np.array(data.array(name))).to(tensor.dtype) for name, tensor in like.items()
                })  # fmt: skip
        except DiffmocapError:
            return None

    def window_done(self, progress: Progress) -> None:
        # The next window writes to its own frames alone, and puts new tensors in the place of all others.
        self._latest = replace(progress)
        if time.monotonic() - self._written_s >= _KEPT_EVERY_S:
            self.write()

    def write(self) -> None:
        if self._latest is None:
            return
        arrays = {name: tensor.numpy() for name, tensor in self._latest.tensors().items()}
        with whole_file(self._path) as partial, open(partial, "wb") as file:
            np.savez(file, **arrays, fingerprint=np.array(self._fingerprint))
        self._written_s = time.monotonic()


def _fingerprint(settings: tuple[object, ...], arrays: Iterable[torch.Tensor]) -> str:
    """Of everything that a simulation follows from."""
    digest = hashlib.sha256(repr(settings).encode())
    for tensor in arrays:
        digest.update(array(tensor).tobytes())
    return digest.hexdigest()
