"""Seconds of motions from video as problems to train on: DiffPhy's whole loss, with the initial state unknown.

    clip -> camera, noisy keypoints -> ``diffmocap reconstruct`` -> windows, as a run of the simulation begins with them

So the motion that the loss follows is off by what a user's would be, and its keypoints say by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.errors import SettingsError
from diffmocap.optim.in_metric import InMetric
from diffmocap.optim.optimizer import Optimizer
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.simulation import Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.control_metric import in_control_metric
from diffmocap.refinement.diffphy.feedforward import leading_turns
from diffmocap.refinement.diffphy.first_windows import first_windows
from diffmocap.refinement.diffphy.horizon import window_frames
from diffmocap.refinement.diffphy.observation import SeenKeypoints
from diffmocap.refinement.diffphy.observed_motion import ObservedMotion
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.refinement.stream.known_ground import KnownGround
from training.held_out import HELD_OUT_CLIPS, HELD_OUT_SUBJECT, UNEVEN_SUBJECTS, require_clips
from training.lifting.noisy_keypoints import CAMERA, FRAME_S, observe
from training.motions.kept_records import load_records, save_records
from training.motions.lifted_windows import UP, view_of
from training.optim.problems import AboveMinima, Problems

#: Frames of a clip that are reconstructed at most.
FRAMES = 120
#: Stretches that are reconstructed, to train on and to validate on, and windows of each whose minima are looked for.
STRETCHES, WINDOWS = (50, 4), 2
#: A window's known minimum is where a run of 60 evaluations ends, less this share: the least of many runs is lower.
MARGIN = 0.15


@dataclass(frozen=True)
class VideoMotion:
    """T frames of a motion that was reconstructed from video, in the optical frame of a level camera.

    Attributes:
        rotations: [T, 24, 3, 3] local. pelvis: [T, 3] m. contacts: [T, P] bool of the body's contact points.
        points_px: [T, 25, 2]. confidence: [T, 25]. K: [3, 3] px. height: [] m of the ground along :data:`UP`.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    contacts: torch.Tensor
    points_px: torch.Tensor
    confidence: torch.Tensor
    K: torch.Tensor
    height: torch.Tensor

    @property
    def ground(self) -> Ground:
        return Ground(torch.tensor(UP, dtype=torch.float64), self.height.double())


def clips_of(path: str | Path, held_out: bool = False) -> list[MotionClip]:
    """Clips of a split on flat ground, without those of the held-out subject, or those alone."""
    clips = [clip for clip in load_split(path, HELD_OUT_CLIPS) if clip.subject not in UNEVEN_SUBJECTS]
    return [clip for clip in clips if (clip.subject == HELD_OUT_SUBJECT) == held_out]


def reconstructed_clips(clips: Sequence[MotionClip], count: int, seed: int, least_frames: int) -> list[VideoMotion]:
    """``count`` stretches of clips, each from a random side with random noise, whatever is made of them; a progress
    bar, as each takes one or two seconds. The ground is given.

    Subjects are as likely as one another, so that the few with hours of one action do not outweigh the others.
    Stretches in which the person is lost are left out. ``least_frames``: of a stretch.
    """
    from diffmocap.lifting.lifter import Lifter
    from diffmocap.reconstruct.footage import Footage
    from diffmocap.reconstruct.reconstruction import reconstruct
    from diffmocap.reconstruct.settings import ReconstructSettings
    from diffmocap.refinement.physics_refiner import points_of

    body, generator = BodyModel.load(), torch.Generator().manual_seed(seed)
    lifter, points = Lifter.load(None, body), points_of(body).to(dtype=torch.float32)
    of_subject: dict[str, list[MotionClip]] = {}
    for clip in clips:
        if len(clip) >= least_frames:
            of_subject.setdefault(clip.subject, []).append(clip)
    if not of_subject:
        raise SettingsError(f"needs clips of at least {least_frames} frames")
    subjects, found = sorted(of_subject), []
    for _ in tqdm(range(count), desc="reconstructing", unit="stretch"):
        pick = torch.rand(3, generator=generator).tolist()
        own = of_subject[subjects[int(pick[0] * len(subjects))]]
        clip = own[int(pick[1] * len(own))]
        first = int(pick[2] * max(len(clip) - FRAMES, 0))
        seen = observe(retarget(clip.frames(first, min(first + FRAMES, len(clip))), body), body=body, frames=FRAMES,
                       **view_of(generator))  # fmt: skip
        turned, _ = global_poses(seen.rotations, seen.pelvis, points.bones)
        height = find_ground(points.soles(turned, seen.pelvis), FRAME_S, torch.tensor(UP)).height.float()
        settings = ReconstructSettings(ground=KnownGround(UP, float(height), "the true one"))
        for motion in reconstruct(Footage.even(seen.keypoints, CAMERA), lifter, body, settings):
            if len(motion.pelvis) >= least_frames:
                found.append(VideoMotion(
                    motion.rotations, motion.pelvis, motion.contacts, motion.seen.points_px[0],
                    motion.seen.confidence[0], motion.seen.K[0], height,
                ))  # fmt: skip
    return found


def save_video_motions(motions: Sequence[VideoMotion], path: Path) -> None:
    """Writes motions as safetensors."""
    save_records(motions, path)


def load_video_motions(path: Path) -> list[VideoMotion]:
    """Reads what :func:`save_video_motions` wrote.

    Raises:
        MotionFileError: the file is missing or holds something else.
    """
    return load_records(VideoMotion, path, "motions from video")


@dataclass
class VideoProblems:
    """Random windows, ``batch`` of one motion a problem, from the first guess of the simulation, in the coordinates
    that the simulation's optimizers see (:func:`~diffmocap.refinement.diffphy.control_metric.in_control_metric`).

    The loss of a motion that is off, beside keypoints that are off, ends far above 0, and late steps gain hundredths of
    it, so training wants the excess over the minimum: :meth:`find_minima` looks for some once, and only windows whose
    minimum is known are drawn then.

    Attributes:
        motions: at least a window long. least: [W] minima of ``windows`` [W, 2], numbers of a motion and of the frame
            that a window begins with; empty: none is known, all windows are drawn, and their loss is the whole one.
    """

    motions: list[VideoMotion]
    batch: int = 4
    settings: SimulationSettings = field(default_factory=SimulationSettings)
    windows: torch.Tensor = field(default_factory=lambda: torch.zeros(0, 2, dtype=torch.int64))
    least: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    #: A simulation is differentiable once.
    differentiable_once = True

    def __post_init__(self) -> None:
        from diffmocap.reconstruct.physics.simulated_motion import FLOOR, SimulatedBody

        if not self.motions or self.batch < 1:
            raise SettingsError(f"needs motions and a batch of at least 1, got {len(self.motions)} and {self.batch}")
        model = BodyModel.load()
        self._body, self._floor = SimulatedBody.of(model, torch.zeros(model.shape_dirs.shape[-1])), FLOOR
        self._length = window_frames(self.settings, FRAME_S)[2]
        self._prepared: dict[int, tuple[Simulator, ObservedMotion]] = {}

    def task(self, motion: int, starts: Sequence[int]) -> tuple[DiffphyTask, torch.Tensor]:
        """Windows of a motion by number, from frames ``starts`` [B] on, and the first guess [B, N]."""
        if motion not in self._prepared:
            self._prepared[motion] = self._observed(self.motions[motion])
        simulator, observed = self._prepared[motion]
        return first_windows(
            simulator, observed, starts, FRAME_S, self.settings, self._body.points, self._body.self_contact
        )  # fmt: skip

    def _observed(self, motion: VideoMotion) -> tuple[Simulator, ObservedMotion]:
        simulator = Simulator(self._body.articulated, motion.ground, contact=self._floor)
        rotations, pelvis = motion.rotations.double(), motion.pelvis.double()
        leading = leading_turns(
            rotations, pelvis, FRAME_S, motion.ground, motion.contacts, self._body.points, simulator.drives
        )  # fmt: skip
        seen = SeenKeypoints.of_one(motion.points_px, motion.confidence, motion.K)
        return simulator, ObservedMotion(rotations, pelvis, motion.contacts, leading, seen)

    def find_minima(self, optimizer: Optimizer, a_motion: int, seed: int = 0, evaluations: int = 60) -> None:
        """Draws windows, so many of each motion, and sets ``least`` to what a run of an optimizer comes to, less
        :data:`MARGIN`; a quarter of a minute of one core for ten windows."""
        generator, windows, least = torch.Generator().manual_seed(seed), [], []
        for number in tqdm(range(len(self.motions)), desc="minima", unit="motion"):
            starts = self.starts(number, a_motion, generator)
            task = in_control_metric(*self.task(number, starts))
            found = optimizer.minimize(task, task.init(a_motion), Budget(evaluations=evaluations)).loss
            least.append((1 - MARGIN) * found)
            windows += [[number, start] for start in starts]
        self.windows, self.least = torch.tensor(windows), torch.cat(least).float()

    def starts(self, motion: int, count: int, generator: torch.Generator) -> list[int]:
        """Random first frames of so many windows of a motion."""
        room = len(self.motions[motion].pelvis) - self._length + 1
        return torch.randint(room, (count,), generator=generator).tolist()

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        number = int(torch.randint(len(self.motions), (), generator=generator))
        if not len(self.least):
            return _from_zero(*self.task(number, self.starts(number, self.batch, generator)))
        own = (self.windows[:, 0] == number).nonzero()[:, 0]
        own = own[torch.randperm(len(own), generator=generator)[: self.batch]]
        task, start = _from_zero(*self.task(number, self.windows[own, 1].tolist()))
        return AboveMinima(task, self.least[own]), start


@dataclass(frozen=True)
class InControlMetricProblems:
    """Problems of controls in the coordinates that those of :class:`VideoProblems` are in, to train on both."""

    problems: Problems

    #: As those of :class:`VideoProblems`.
    differentiable_once = True

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        return _from_zero(*self.problems(generator))


def _from_zero(task: DiffphyTask, x: torch.Tensor) -> tuple[InMetric, torch.Tensor]:
    scaled = in_control_metric(task, x)
    return scaled, scaled.init(len(x)).float()


def kept_video_motions(data: Path, folder: Path, held_out: bool = False) -> list[VideoMotion]:
    """Motions of a split, made where ``folder`` does not hold them yet, which takes a minute or two."""
    path = folder / f"video_{'held_out' if held_out else 'train'}.safetensors"
    if not path.is_file():
        parts = [clips_of(data, apart) for apart in (False, True)]
        require_clips(*parts, [data], "clip")
        least_frames = window_frames(SimulationSettings(), FRAME_S)[2]
        made = reconstructed_clips(parts[held_out], STRETCHES[held_out], int(held_out), least_frames)
        save_video_motions(made, path)
    return load_video_motions(path)


def video_problems(data: Path, batch: int, folder: Path) -> tuple[Problems, Problems]:
    """Problems of a split's motions to train on, and of the held-out subject's to validate on.

    Motions and minima, which L-BFGS looks for, take some minutes to make, and are kept in ``folder``.
    """
    settings, made = SimulationSettings(), []
    for name, held_out in (("train", False), ("held_out", True)):
        minima = folder / f"video_minima_{name}.safetensors"
        problems = VideoProblems(kept_video_motions(data, folder, held_out), batch, settings)
        if minima.is_file():
            kept = load_file(minima)
            problems.windows, problems.least = kept["windows"], kept["least"]
        else:
            problems.find_minima(Lbfgs(), WINDOWS)
            save_file({"windows": problems.windows, "least": problems.least}, minima)
        made.append(problems)
    return made[0], made[1]
