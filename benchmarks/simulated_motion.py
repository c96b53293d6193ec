"""What simulating a motion makes of it: ``python -m benchmarks.simulated_motion``.

The bundled clip, a rendered film whose keypoints are MediaPipe's and of which nothing is given, and motion capture that
a level camera of known height sees with a noisy detector (:mod:`training.lifting.noisy_keypoints`): clips of the
validation split, on which window, overlap and evaluations of the simulation were chosen, and of the test split.
*Before* is the likeliest path through the lifted poses, *windows* what ``diffmocap reconstruct`` makes of them with the
quality ``fast``, *poses alone* a simulation that follows only these (no keypoints, slip, penetration or self-contact in
the loss, the initial state given, the observed poses as first targets, and a network that was trained on such
problems), *simulated* what ``--diffphy`` makes of them, *longer* the same with the evaluations of ``best``, and
*L-BFGS* with ``--solver lbfgs`` and as many evaluations as *simulated*; on validation clips, for the choice of
defaults, *all joints* with all 23 joints' targets free, and *given start* with the motion's own initial state.

MPJPE-G, MPJPE and PA-MPJPE [mm] and *TV ratio* as in :mod:`benchmarks.reconstruct`. *2d*: mean distance of the 25
keypoints in the image from the true ones [px]. *Skate*: foot skate of DiffPhy
(percent of frames, four points a foot) less that of the truth. *Slip*: how far toes move while the true ones stand.
*Penetration*: of the soles' deepest point below the floor. *Away*: mean distance of the joints from those of the
windows. *Loss*: of DiffPhy, the mean over windows. *Seam*: acceleration within a frame of where windows of the
simulation meet, over that elsewhere. *CPU minutes* of a minute of motion, of the simulation alone, on one thread.

The second table races solvers on seconds of these motions, as runs of the simulation begin with them. BFGS and L-BFGS
run in the problem's own coordinates, and *in the metric* as ``--solver`` has them, beginning with the inverse of the
loss's mean curvature as Optimus does (:mod:`diffmocap.refinement.diffphy.control_metric`).
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace

import numpy as np
import roma
import torch

from benchmarks.page.command import benchmark_parser, end_with_json, name_option, shared_options
from benchmarks.page.report import Page, mocap_file, page_arguments, provenance
from benchmarks.reconstruct import DEMO, TOES, Source, bundled, figures_of, true_up
from benchmarks.simulated_stretches import race_figures, race_table, raced
from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.model import BodyModel
from diffmocap.camera.projection import project
from diffmocap.evaluation.joint_errors import keypoint_error_px
from diffmocap.evaluation.motion_metrics import excess_foot_skate_percent
from diffmocap.lifting.lifter import Lifter
from diffmocap.optim.weights import load_shipped
from diffmocap.physics.ground import find_ground
from diffmocap.physics.simulation import Simulator
from diffmocap.physics.tree import global_poses
from diffmocap.reconstruct.lifted import combined, lift_frames, likeliest_path
from diffmocap.reconstruct.physics.simulated_motion import FLOOR, SimulatedBody, dynamics_of
from diffmocap.reconstruct.reconstruction import ReconstructedMotion, reconstruct, simulated
from diffmocap.reconstruct.settings import QUALITIES, ReconstructSettings
from diffmocap.reconstruct.stretches import bridged
from diffmocap.refinement.diffphy.horizon import HorizonSimulator, window_frames
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.stream.known_ground import KnownGround
from diffmocap.refinement.window.body_points import BodyPoints
from training.lifting.noisy_keypoints import CAMERA, observe

#: Split, clip and the side that it is seen from [rad].
CLIPS = (
    ("val", "39_01", 0.6), ("val", "135_04", -0.5), ("val", "135_05", 0.3),
    ("test", "27_01", 0.6), ("test", "17_10.0", -0.5), ("test", "94_13", 0.3),
)  # fmt: skip
FRAMES = 240
UP = (0.0, -1.0, 0.0)
#: What is shown, with how it is called.
COLUMNS = {
    "mpjpe_g_mm": "MPJPE-G", "mpjpe_mm": "MPJPE", "pa_mpjpe_mm": "PA", "keypoints_px": "2d",
    "tv_ratio": "TV ratio", "skate_excess": "skate", "stance_slip_mm": "slip",
    "penetration_mm": "penetration", "simulated": "simulated", "away_mm": "away",
    "seam_ratio": "seam", "loss": "loss", "cpu_minutes": "CPU minutes",
}  # fmt: skip


@dataclass(frozen=True)
class Film:
    """A clip with the truth's soles [T, 2, 4, 3] m and keypoints [T, 25, 2] px, and what is given of its ground: the
    product's, and the judge's."""

    source: Source
    soles: np.ndarray
    keypoints_px: np.ndarray
    given: KnownGround
    up: np.ndarray
    height: float


def films(body: BodyModel, points: BodyPoints, quick: bool) -> list[Film]:
    """All clips; the first of each kind where it is to be quick."""
    source = bundled()
    with np.load(DEMO.with_suffix(".npz")) as data:
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(data["poses"]).float().unflatten(1, (24, 3)))
    truth = torch.from_numpy(source.truth).float()
    up = true_up(source.truth, source.footage.fps)
    found = [_film(source, rotations, truth[:, 0], KnownGround(), up, points)]
    for split, name, yaw in CLIPS[:1] if quick else CLIPS:
        clip = next(c for c in load_split(mocap_file(split)) if c.name == name)
        seen = observe(retarget(clip, body), yaw, body, FRAMES, seed=1)
        footage = source.footage.even(seen.keypoints, CAMERA)
        joints = seen.joints.double().numpy()
        walk = Source(f"{split} {name}", footage, np.arange(len(seen)), joints, list(range(24)), TOES)
        found.append(_film(walk, seen.rotations, seen.pelvis, None, np.array(UP), points))
    return found


def _film(
    source: Source, rotations: torch.Tensor, pelvis: torch.Tensor, given: KnownGround | None, up: np.ndarray,
    points: BodyPoints,
) -> Film:  # fmt: skip
    """``given`` None: the true ground is."""
    turned, _ = global_poses(rotations, pelvis, points.bones)
    soles = points.soles(turned, pelvis)
    ground = find_ground(soles, 1.0 / source.footage.fps, torch.from_numpy(up).float())
    given = KnownGround(tuple(up.tolist()), float(ground.height), "the true one") if given is None else given
    soles = soles.unflatten(1, (2, -1)).double().numpy()
    return Film(source, soles, seen_at(source, turned, pelvis, points), given, up, float(ground.height))


def seen_at(source: Source, turned: torch.Tensor, pelvis: torch.Tensor, points: BodyPoints) -> np.ndarray:
    """[T, 25, 2] px of a motion's keypoints, for global rotations [T, 24, 3, 3] and pelvis [T, 3] m."""
    places = points.positions(turned.float()).split(points.sizes, -1)[3].transpose(-1, -2) + pelvis.float()[:, None]
    return project(places, torch.tensor(source.footage.intrinsics.matrix).float()).numpy()


def before(film: Film, lifter: Lifter, body: BodyModel, settings: ReconstructSettings) -> tuple[torch.Tensor, ...]:
    """The likeliest path through the lifted poses, [T, 24, 3, 3] and [T, 3] m; frames without a pose are bridged."""
    footage = film.source.footage
    seen = footage.as_lifted(settings.lifting.min_confidence, settings.sides)
    lifted = lift_frames(lifter, seen, footage.intrinsics, settings.lifting, settings.ground.up)
    found = combined(lifted, likeliest_path(lifted, body, 1.0 / footage.fps), body)
    return bridged(*found, lifted.lifted)


def judged(film: Film, rotations: torch.Tensor, pelvis: torch.Tensor, points: BodyPoints) -> dict[str, float]:
    """Figures of a motion that has all frames of the film."""
    turned, joints = global_poses(rotations.double(), pelvis.double(), points.bones.double())
    soles = points.soles(turned.float(), pelvis.float()).double().unflatten(1, (2, -1)).numpy()
    excess = excess_foot_skate_percent(soles[film.source.frames], film.soles, up=film.up, height=film.height)
    image = seen_at(film.source, turned, pelvis, points)[film.source.frames]
    return figures_of(film.source, joints[film.source.frames].numpy()) | {
        "skate_excess": excess, "keypoints_px": keypoint_error_px(image, film.keypoints_px),
    }  # fmt: skip


def seam_ratio(motion: ReconstructedMotion, joints: torch.Tensor, settings: SimulationSettings) -> float:
    """Mean acceleration of joints [T, 24, 3] m within a frame of a seam, over that elsewhere."""
    _, hop, _ = window_frames(settings, 1.0 / motion.fps)
    acceleration = joints.diff(n=2, dim=0).norm(dim=-1).mean(1)
    apart = (torch.arange(1, len(joints) - 1) + 1) % hop
    seam = (apart <= 2) & (torch.arange(1, len(joints) - 1) >= hop - 1)
    return float(acceleration[seam].mean() / acceleration[~seam].mean())


def of_motion(film: Film, motion: ReconstructedMotion, points: BodyPoints) -> tuple[dict[str, float], torch.Tensor]:
    """Figures of a reconstructed motion, and its joints [T, 24, 3] m."""
    turned, joints = global_poses(motion.rotations, motion.pelvis, points.bones)
    ground = motion.floor.ground
    gap = points.soles(turned, motion.pelvis) @ ground.up.float() - ground.height.float()
    deepest = 1e3 * max(-float(gap.min()), 0.0) if motion.floor.trusted else float("nan")
    return judged(film, motion.rotations, motion.pelvis, points) | {"penetration_mm": deepest}, joints


def measure(
    film: Film, lifter: Lifter, body: BodyModel, points: BodyPoints
) -> tuple[dict[str, dict[str, float]], dict[str, torch.Tensor]]:
    """Figures of a film's rows, and curves of the solvers on its stretches."""
    settings = replace(QUALITIES["fast"], ground=film.given)
    rows = {"before": judged(film, *before(film, lifter, body, settings), points)}
    motions = reconstruct(film.source.footage, lifter, body, settings)
    if len(motions) != 1 or len(motions[0].pelvis) != len(film.source.footage):
        raise SystemExit(f"{film.source.name}: {len(motions)} motions, and one of all frames was expected")
    motion = motions[0]
    few = slice(0, 4)
    short = replace(
        motion, rotations=motion.rotations[few], pelvis=motion.pelvis[few], contacts=motion.contacts[few],
        seen=motion.seen.frames(few),
    )  # fmt: skip
    simulated(short, body, replace(settings.simulation, evaluations=2))  # what is compiled is no part of the time
    rows["windows"], reference = of_motion(film, motion, points)
    rows["poses alone"] = simulated_figures(film, motion, poses_alone(motion, body, settings.simulation), points,
                                            reference, settings.simulation)  # fmt: skip
    ways = {
        "simulated": settings.simulation, "longer": QUALITIES["best"].simulation,
        "L-BFGS": replace(settings.simulation, solver="lbfgs"),
    }  # fmt: skip
    if film.source.name.startswith("val "):
        ways |= {
            "all joints": replace(settings.simulation, joints="all"),
            "given start": replace(settings.simulation, free_start=False),
        }  # fmt: skip
    for name, simulation in ways.items():
        begin = time.thread_time()
        found = simulated(motion, body, simulation)
        seconds = time.thread_time() - begin
        rows[name] = simulated_figures(film, motion, (found, seconds), points, reference, simulation)
    return rows, raced(motion, body, settings.simulation)


def poses_alone(
    motion: ReconstructedMotion, body: BodyModel, settings: SimulationSettings
) -> tuple[ReconstructedMotion, float]:
    """The motion as a simulation that sees nothing but its poses follows it, and the seconds that this took."""
    begin = time.thread_time()
    simulator = Simulator(SimulatedBody.of(body, motion.betas).articulated, motion.floor.ground, contact=FLOOR)
    # The metric of the controls is that of the whole loss: on this one optimizers are better off without it.
    horizon = HorizonSimulator(simulator, load_shipped("optimus_diffphy"), replace(settings, free_start=False))
    found = horizon.simulate(motion.rotations, motion.pelvis, motion.contacts, 1.0 / motion.fps)
    rotations, pelvis, losses = found.rotations.float(), found.pelvis.float(), found.losses
    followed = replace(
        motion, rotations=rotations, pelvis=pelvis, dynamics=dynamics_of(found), simulation_losses=losses
    )  # fmt: skip
    return followed, time.thread_time() - begin


def simulated_figures(
    film: Film, motion: ReconstructedMotion, found: tuple[ReconstructedMotion, float], points: BodyPoints,
    reference: torch.Tensor, settings: SimulationSettings,
) -> dict[str, float]:  # fmt: skip
    """Figures of a simulated motion and the seconds that it took, beside the joints [T, 24, 3] m of the windows."""
    followed, seconds = found
    figures, joints = of_motion(film, followed, points)
    return figures | {
        "simulated": float(followed.dynamics.simulated.float().mean()),
        "cpu_minutes": seconds / (len(motion.pelvis) / motion.fps),
        "away_mm": 1e3 * float((joints - reference).norm(dim=-1).mean()),
        "seam_ratio": seam_ratio(followed, joints, settings), "loss": followed.simulation_losses[1],
    }  # fmt: skip


def table(by_film: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Markdown."""
    lines = [f"| clip | row | {' | '.join(COLUMNS.values())} |", "|---|---|" + "---:|" * len(COLUMNS)]
    for name, rows in by_film.items():
        for row, figures in rows.items():
            cells = (f"{figures[key]:.3g}" if key in figures else "" for key in COLUMNS)
            lines.append(f"| {name} | {row} | {' | '.join(cells)} |")
    return lines


def means(by_film: dict[str, dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of the clips that nothing was chosen on: the bundled one and those of the test split, by row."""
    kept = [rows for name, rows in by_film.items() if not name.startswith("val ")]
    return {
        row: {key: float(np.nanmean([rows[row][key] for rows in kept])) for key in COLUMNS if key in kept[0][row]}
        for row in kept[0]
    }


def main() -> None:
    """Command line."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="the bundled clip and one walk")
    name_option(parser, "simulated-motion")
    shared_options(parser, "json", "no_page", "out")
    args = page_arguments(parser)
    torch.set_num_threads(1)
    body = BodyModel.load()
    lifter, points = Lifter.load(None, body), points_of(body).to(dtype=torch.float32)
    by_film, races = {}, {"validation": {}, "bundled and test": {}}
    for film in films(body, points, args.quick):
        by_film[film.source.name], curves = measure(film, lifter, body, points)
        rows = table({film.source.name: by_film[film.source.name]})[2:]
        print(*rows, sep="\n", file=sys.stderr, flush=True)
        group = races["validation" if film.source.name.startswith("val ") else "bundled and test"]
        for name, best in curves.items():
            group[name] = torch.cat([group[name], best], 1) if name in group else best
    mean = means(by_film)
    race = {name: race_figures(curves) for name, curves in races.items() if curves}
    if not args.no_page:
        page = Page.of_today(args.name, args.out)
        data = "bundled clip, CMU motion capture (validation and test files)"
        lines = ["# Simulated motion", "", *provenance("benchmarks.simulated_motion", data), ""]
        lines += [*__doc__.split("\n\n", 1)[1].splitlines(), "", *table(by_film | {"mean of bundled and test": mean}),
                  "", *race_table(race)]  # fmt: skip
        print(page.write(lines))
    end_with_json(args, {"by_clip": by_film, "mean": mean, "solvers": race})


if __name__ == "__main__":
    main()
