"""How each way of fitting is run on the same images, and what is measured of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from benchmarks.protocols.exact_input import limb_errors
from benchmarks.protocols.exact_views import CAMERA, ExactViews, InputCase, exact_views
from benchmarks.protocols.inverse_kinematics import least_squares_fit
from diffmocap.body.model import BodyModel
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.fitting.keypoint_fit import KeypointFit
from diffmocap.fitting.pose_prior import PosePrior
from diffmocap.lifting.lifter import Lifter
from diffmocap.lifting.network.condition import make_condition
from diffmocap.lifting.settings import POSTERIOR_MEAN
from diffmocap.optim.optimizer import Optimizer, StepOptimizer
from diffmocap.optim.stopping import Budget

#: Evaluations of loss and gradient after which fits are looked at, the start's counted.
EVALUATIONS = (4, 10, 50)
#: Images on which a time is measured, each alone.
TIMED = 4


@dataclass(frozen=True)
class Images:
    """Bodies before the camera, and their fits as one task."""

    views: ExactViews
    task: KeypointFit

    @classmethod
    def of(cls, body: BodyModel, prior: PosePrior, frames: PoseFrames, case: InputCase) -> Images:
        """Frames as the case shows them; the noise is told."""
        views = exact_views(body, frames, case)
        points = torch.stack([torch.from_numpy(k.points_px) for k in views.keypoints])
        confidence = torch.stack([torch.from_numpy(k.confidence) for k in views.keypoints])
        K = torch.tensor(CAMERA.matrix, dtype=torch.float32)[None]
        return cls(views, KeypointFit(body, prior, make_condition(points, confidence, K, case.noise)))

    def figures(self, rotations: torch.Tensor, pelvis: torch.Tensor) -> dict[str, float]:
        """Of poses in the optical frame: errors [mm], and the median of the objective."""
        joints = self.task.body.forward_kinematics(rotations, pelvis)[1]
        errors = limb_errors(joints, self.views.joints, self.views.looks_down)
        with torch.no_grad():
            losses = self.task.loss(self.task.unknowns(rotations, pelvis))
        kept = ("pa_mpjpe_mm", "standard_error_mm", "mpjpe_mm")
        return {"loss": float(losses.median())} | {name: errors[name] for name in kept}

    def figures_at(self, x: torch.Tensor) -> dict[str, float]:
        """The same of unknowns [B, 78]."""
        with torch.no_grad():
            return self.figures(*self.task.pose(x))


def nothing(images: Images) -> list[dict]:
    """The start."""
    return [images.figures_at(images.task.init(len(images.views))) | {"evaluations": 0}]


def stepped(optimizer: StepOptimizer, images: Images, last: bool = False) -> list[dict]:
    """The best points so far by the objective, or the ``last`` ones, and the time of an image by itself."""
    x, found = images.task.init(len(images.views)), []
    for count in EVALUATIONS:
        result = optimizer.minimize(images.task, x, Budget(evaluations=count))
        figures = images.figures_at(result.last if last else result.x)
        found.append(figures | {"evaluations": count, "ms": alone_ms(optimizer, images, count)})
    return found


def alone_ms(optimizer: Optimizer, images: Images, count: int) -> float:
    """Processor milliseconds of one image's run, the median over the first :data:`TIMED`."""
    taken = []
    for b in range(min(TIMED, len(images.views))):
        task = images.task.row(b)
        start = task.init(1)
        if not b:
            optimizer.minimize(task, start, Budget(evaluations=2))  # what is made at the first call
        taken.append(timed(lambda t=task, s=start: optimizer.minimize(t, s, Budget(evaluations=count)))[1])
    return float(torch.tensor(taken).median())


def searched(optimizer: Optimizer, images: Images) -> list[dict]:
    """Of a solver with a line search, which takes problems one by one."""
    x, found = images.task.init(len(images.views)), []
    for count in EVALUATIONS:
        result, ms = timed(lambda n=count: optimizer.minimize(images.task, x, Budget(evaluations=n)))
        found.append(images.figures_at(result.x.float()) | {"evaluations": count, "ms": ms / len(x)})
    return found


def squared(images: Images, starts: torch.Tensor, counts: Sequence[int], before: float = 0.0) -> list[dict]:
    """Least squares from starts [B, S, 78], the best of an image's S fits.

    ``before``: evaluations that led there, which are counted; their time is not.
    """
    found, task = [], images.task
    for count in counts:
        fits, ms = timed(lambda n=count: [least_squares_fit(task.row(b), s, n) for b, s in enumerate(starts)])
        evaluations = before + sum(fit.evaluations for fit in fits) / len(fits)
        x = torch.stack([fit.x for fit in fits])
        found.append(images.figures_at(x) | {"evaluations": evaluations, "ms": ms / len(fits)})
    return found


def lifted(
    lifter: Lifter, images: Images, noise: float, correction: bool
) -> tuple[torch.Tensor, torch.Tensor, list[dict]]:
    """The posterior mean, an image at a time: rotations and pelvis in the optical frame, and the row."""
    settings = replace(POSTERIOR_MEAN, keypoint_noise=noise, correction=correction)
    lifter.lift(images.views.keypoints[0], CAMERA, settings)
    poses, ms = timed(lambda: [lifter.lift(k, CAMERA, settings) for k in images.views.keypoints])
    rotations, pelvis = (torch.stack([getattr(p, name)[p.best] for p in poses]) for name in ("rotations", "pelvis"))
    steps = settings.correction_steps if correction else 0
    return rotations, pelvis, [images.figures(rotations, pelvis) | {"evaluations": steps, "ms": ms / len(poses)}]


def timed(run: Callable) -> tuple:
    """What a call returns, and its processor milliseconds of this thread."""
    begun = time.thread_time()
    result = run()
    return result, 1e3 * (time.thread_time() - begun)
