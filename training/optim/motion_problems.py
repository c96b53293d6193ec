"""Problems of the motion refinement to train on: windows of lifted walks, and clips for DiffPhy's simulated body.

"In domain" are walks of the training split: those of :data:`~training.held_out.HELD_OUT_SUBJECT` are kept for choosing
hyperparameters, and subjects on uneven ground are left out, whose feet rest where the flat floor is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip, resample
from diffmocap.body.urdf import read_urdf
from diffmocap.errors import SettingsError
from diffmocap.optim.first_order import Adam
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground, find_ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.simulation import BodyMotionState, Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.task import WindowTask
from training.held_out import HELD_OUT_SUBJECT, UNEVEN_SUBJECTS, require_clips
from training.motions.lifted_windows import (
    LiftedMotion,
    MotionLifter,
    cut,
    load_motions,
    save_motions,
    view_of,
    window_of,
)
from training.optim.problems import AboveMinima, Problems, TwoKinds
from training.optim.video_problems import InControlMetricProblems, video_problems

#: Windows' known minima are those of long runs, less this share: a loss is then never quite there.
MARGIN = 0.05
#: In units of a window's unknowns; the best of 0.03, 0.1 and 0.2 after 200 evaluations.
ADAM_RATE = 0.2


def walks(path: str | Path, held_out: bool = False) -> list[MotionClip]:
    """Walks of a split on flat ground, without those of the held-out subject, or those alone."""
    clips = [clip for clip in load_split(path) if "walk" in clip.action.lower() and clip.subject not in UNEVEN_SUBJECTS]
    return [clip for clip in clips if (clip.subject == HELD_OUT_SUBJECT) == held_out]


def lifted_walks(
    clips: list[MotionClip], views: int, seed: int, lifter: MotionLifter | None = None, frames: int = 112
) -> list[LiftedMotion]:
    """Every clip from ``views`` random sides with random noise; a progress bar, as it takes 26 ms per frame."""
    lifter, generator = lifter or MotionLifter(), torch.Generator().manual_seed(seed)
    fitting = [retarget(clip, lifter.body) for clip in clips]
    jobs = [clip for _ in range(views) for clip in fitting]
    return [lifter.lift(clip, frames=frames, **view_of(generator)) for clip in tqdm(jobs, desc="lifting", unit="clip")]


def kept_walks(
    folder: Path, data: Sequence[Path], held_out: bool, views: int, lifter: MotionLifter | None = None
) -> list[LiftedMotion]:
    """Lifted walks of splits, to train on or of the held-out subject; made once, then read from ``folder``."""
    path = folder / f"lifted_{'held_out' if held_out else 'train'}.safetensors"
    if not path.is_file():
        parts = [[clip for file in data for clip in walks(file, apart)] for apart in (False, True)]
        require_clips(*parts, data)
        clips = parts[held_out]
        save_motions(lifted_walks(clips, 1 if held_out else views, int(held_out), lifter), path)
    return load_motions(path)


@dataclass
class WindowProblems:
    """Random windows, ``batch`` a problem, from the smoothed followed hypothesis.

    Late steps gain hundredths of a loss whose floor is in the hundreds of them, so training wants the excess over the
    minimum: :meth:`find_minima` looks for them once.

    Attributes:
        windows: of equal length. points: the body, float32. least: [W] of each window, 0 where none was looked for.
    """

    windows: list[LiftedMotion]
    points: BodyPoints
    batch: int = 8
    least: torch.Tensor = field(default_factory=lambda: torch.zeros(0))

    def __post_init__(self) -> None:
        if not self.windows or self.batch < 1:
            raise SettingsError(f"needs windows and a batch of at least 1, got {len(self.windows)} and {self.batch}")
        if not len(self.least):
            self.least = torch.zeros(len(self.windows))

    def find_minima(self, evaluations: int = 100, chunk: int = 32) -> torch.Tensor:
        """Sets ``least`` to what a long run of Adam comes to, less :data:`MARGIN`."""
        self.least = torch.zeros(len(self.windows))
        for start in tqdm(range(0, len(self.windows), chunk), desc="minima", unit="batch"):
            index = torch.arange(start, min(start + chunk, len(self.windows)))
            task = self.task(index)
            found = Adam(ADAM_RATE).minimize(task, task.init(len(index)), Budget(evaluations=evaluations))
            self.least[index] = (1 - MARGIN) * found.loss.to(self.least)
        return self.least

    def task(self, index: torch.Tensor) -> AboveMinima:
        """Windows by number [B]."""
        window = window_of([self.windows[i] for i in index.tolist()])
        return AboveMinima(WindowTask(window, self.points, reference_motion(window, 0)), self.least[index])

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        index = torch.randperm(len(self.windows), generator=generator)[: self.batch]
        task = self.task(index)
        return task, task.init(len(index))


def simulated_body(body: BodyModel | None = None) -> ArticulatedBody:
    """DiffPhy's body with the shipped shape, float32."""
    body = body or BodyModel.load()
    return ArticulatedBody(BodySegments.from_urdf(read_urdf()), ContactPoints.from_body(body))


def on_the_floor(clip: MotionClip, body: ArticulatedBody) -> MotionClip:
    """The clip moved up or down so that its soles rest at height 0: one ground then serves a batch of clips."""
    turned, joints = global_poses(clip.rotations, clip.pelvis, body.segments.offsets.to(clip.pelvis))
    points = body.points.to(dtype=clip.pelvis.dtype)
    up = torch.tensor([0.0, 1.0, 0.0])
    height = find_ground(points.centres(turned, joints)[:, points.feet], 1 / clip.fps, up).height
    return MotionClip(
        clip.name, clip.subject, clip.action, clip.fps, clip.rotations, clip.pelvis - height.to(up) * up, clip.offsets
    )  # fmt: skip


def diffphy_task(parts: list[MotionClip], body: ArticulatedBody) -> DiffphyTask:
    """Clips of equal length and rate, on the floor, side by side."""
    ground = Ground(torch.tensor([0.0, 1.0, 0.0]), torch.tensor(0.0))
    rotations = torch.stack([part.rotations for part in parts])
    pelvis = torch.stack([part.pelvis for part in parts])
    return DiffphyTask(Simulator(body, ground), rotations, pelvis, 1 / parts[0].fps)


@dataclass
class DiffphyProblems:
    """Random stretches of clips, ``batch`` a problem, that start with the observed poses as the drives' targets.

    Attributes:
        clips: on the floor (:func:`on_the_floor`), of one rate, at least ``frames`` long. frames: of a stretch.
    """

    clips: list[MotionClip]
    body: ArticulatedBody
    frames: int = 31
    batch: int = 8

    #: As a simulation is.
    differentiable_once = True

    def __post_init__(self) -> None:
        self.clips = [clip for clip in self.clips if len(clip) >= self.frames]
        if not self.clips or self.batch < 1 or self.frames < 4:
            raise SettingsError(f"needs clips of at least {self.frames} frames (4 or more) and a batch of at least 1")

    def __call__(self, generator: torch.Generator) -> tuple[Task, torch.Tensor]:
        # A stretch is as likely as any other, so long clips have more of them.
        choices = torch.tensor([len(clip) - self.frames + 1.0 for clip in self.clips])
        index = torch.multinomial(choices, self.batch, replacement=True, generator=generator).tolist()
        shares = torch.rand(self.batch, generator=generator).tolist()
        starts = [int(share * float(choices[i])) for share, i in zip(shares, index)]
        parts = [self.clips[i].frames(start, start + self.frames) for i, start in zip(index, starts)]
        task = diffphy_task(parts, self.body)
        return task, task.init(self.batch)

    @staticmethod
    def together(tasks: Sequence[DiffphyTask]) -> DiffphyTask:
        """One task of several drawn here."""
        if len({task.dt_s for task in tasks}) > 1:
            raise SettingsError("clips of different rates do not fit into one simulation: resample them")
        one, starts = tasks[0], zip(*(vars(task.start).values() for task in tasks))
        rotations, pelvis = (torch.cat([getattr(task, name) for task in tasks]) for name in ("rotations", "pelvis"))
        start = BodyMotionState(*(torch.cat(parts) for parts in starts))
        return DiffphyTask(one.simulator, rotations, pelvis, one.dt_s, one.controls, one.weights, start)


#: Kinds of problems, and how many frames one has where nothing else is asked for.
MOTION_PROBLEMS = {"windows": 32, "diffphy": 31}


def played(clip: MotionClip, speed: float) -> MotionClip:
    """The clip so many times as fast, at its own rate of frames."""
    if not speed > 0:
        raise SettingsError(f"clips are played at a positive speed, got {speed:g}")
    return resample(replace(clip, fps=clip.fps * speed), clip.fps)


def motion_problems(
    kind: str, data: Path, batch: int, views: int, folder: Path, frames: int = 0, speeds: Sequence[float] = (1.0,),
    video_share: float = 0.0,
) -> tuple[Problems, Problems]:  # fmt: skip
    """Problems to train on, and those of the held-out subject's motions to validate on.

    ``frames``: of a window or a stretch, 0 for :data:`MOTION_PROBLEMS`. Windows to train on overlap by half.
    ``speeds``: at which clips to train on are played, for DiffPhy. ``video_share``: of DiffPhy's problems that are
    motions from video, see :mod:`training.optim.video_problems`; above 0 all of them are in the metric of the controls.

    Lifted walks, motions from video and the windows' minima take minutes to make; they are kept in ``folder``.
    """
    if kind not in MOTION_PROBLEMS:
        raise SettingsError(f"unknown problems {kind!r}; one of {', '.join(MOTION_PROBLEMS)}")
    frames = frames or MOTION_PROBLEMS[kind]
    if kind == "diffphy":
        model = BodyModel.load()
        body = simulated_body(model)
        clips = [walks(data, held_out) for held_out in (False, True)]
        require_clips(*clips, [data])
        parts = [[on_the_floor(retarget(c, model), body) for c in part] for part in clips]
        parts[0] = [played(clip, speed) for speed in speeds for clip in parts[0]]
        made = [DiffphyProblems(part, body, frames, batch) for part in parts]
        if video_share:
            from_video = video_problems(data, batch, folder)
            made = [TwoKinds(InControlMetricProblems(poses), video, video_share)
                    for poses, video in zip(made, from_video, strict=True)]  # fmt: skip
        return made[0], made[1]
    lifter, made = MotionLifter(), []
    for name, held_out in (("train", False), ("held_out", True)):
        stride = frames if held_out else frames // 2
        motions = kept_walks(folder, [data], held_out, views, lifter)
        windows = [part for motion in motions for part in cut(motion, frames, stride)]
        problems, minima = WindowProblems(windows, lifter.points, batch), folder / f"minima_{name}.safetensors"
        if minima.is_file():
            problems.least = load_file(minima)["least"]
        else:
            save_file({"least": problems.find_minima()}, minima)
        made.append(problems)
    return made[0], made[1]
