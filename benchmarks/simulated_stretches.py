"""Seconds of reconstructed motions as problems for optimizers: Optimus against BFGS on DiffPhy's whole loss, and
what of it is the metric's (:mod:`diffmocap.refinement.diffphy.control_metric`).

Part of :mod:`benchmarks.simulated_motion`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from benchmarks.refinement.scores import Curves, evaluations_to, padded, targets
from diffmocap.body.model import BodyModel
from diffmocap.optim.quasi_newton import Bfgs, Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.physics.simulation import Simulator
from diffmocap.reconstruct.physics.simulated_motion import FLOOR, SimulatedBody, controls_solver
from diffmocap.reconstruct.reconstruction import ReconstructedMotion
from diffmocap.refinement.diffphy.feedforward import leading_turns
from diffmocap.refinement.diffphy.first_windows import first_windows
from diffmocap.refinement.diffphy.horizon import window_frames
from diffmocap.refinement.diffphy.observed_motion import ObservedMotion
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.refinement.diffphy.task import DiffphyTask

#: Evaluations of every solver.
EVALUATIONS = 80
#: Stretches of a motion, evenly spread.
STRETCHES = 2
#: A loss counts as BFGS's where it is at most this share above it.
WITHIN = 0.02
SOLVERS = {
    "BFGS": Bfgs, "L-BFGS": Lbfgs, "BFGS in the metric": lambda: controls_solver("bfgs"),
    "L-BFGS in the metric": lambda: controls_solver("lbfgs"), "Optimus": lambda: controls_solver("optimus"),
}  # fmt: skip


def problems(
    motion: ReconstructedMotion, body: BodyModel, settings: SimulationSettings
) -> Iterator[tuple[DiffphyTask, torch.Tensor]]:
    """Stretches of a motion as a run of the simulation begins with them, and their starts [1, N]."""
    whole, dt_s = SimulatedBody.of(body, motion.betas), 1.0 / motion.fps
    simulator = Simulator(whole.articulated, motion.floor.ground, contact=FLOOR)
    rotations, pelvis = motion.rotations.double(), motion.pelvis.double()
    leading = leading_turns(
        rotations, pelvis, dt_s, motion.floor.ground, motion.contacts, whole.points, simulator.drives
    )  # fmt: skip
    observed = ObservedMotion(rotations, pelvis, motion.contacts, leading, motion.seen)
    _, _, length = window_frames(settings, dt_s)
    for number in range(STRETCHES):
        start = (len(pelvis) - length) * (2 * number + 1) // (2 * STRETCHES)
        yield first_windows(simulator, observed, [start], dt_s, settings, whole.points, whole.self_contact)


def raced(motion: ReconstructedMotion, body: BodyModel, settings: SimulationSettings) -> dict[str, torch.Tensor]:
    """Least loss [EVALUATIONS, STRETCHES] so far, by solver."""
    curves = {name: [] for name in SOLVERS}
    for task, x in problems(motion, body, settings):
        for name, solver in SOLVERS.items():
            result = solver().minimize(task, x, Budget(evaluations=EVALUATIONS))
            curves[name].append(padded(result.best_so_far().double(), EVALUATIONS))
    return {name: torch.cat(parts, 1) for name, parts in curves.items()}


def race_figures(curves: dict[str, torch.Tensor]) -> dict[str, dict[str, float]]:
    """By solver: mean loss in the end and after half of the evaluations, over BFGS's in the end, too; and the share of
    BFGS's evaluations, median over problems, after which the loss is within 2 % of BFGS's in the end."""
    bfgs = Curves(curves["BFGS"])
    target = targets(bfgs, EVALUATIONS, WITHIN)
    own, _ = evaluations_to(bfgs.best, target, EVALUATIONS)
    found = {}
    for name, best in curves.items():
        count, reached = evaluations_to(best, target, EVALUATIONS)
        half = best[EVALUATIONS // 2 - 1]
        found[name] = {
            "loss": float(best[-1].mean()), "half_loss": float(half.mean()),
            "half_over_bfgs": float(half.mean() / bfgs.best[-1].mean()),
            "half_within": float((half <= target).double().mean()), "reached": float(reached.double().mean()),
            "evaluations_over_bfgs": float((count.double() / own).median()),
        }  # fmt: skip
    return found


def race_table(groups: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Markdown."""
    lines = [
        f"| stretches of | solver | loss after {EVALUATIONS} | after {EVALUATIONS // 2} | the latter over BFGS's after "
        f"{EVALUATIONS} | stretches that are within {100 * WITHIN:g} % of it then | ever | evaluations to it over "
        "BFGS's own |",
        "|---|---|" + "---:|" * 6,
    ]
    for group, rows in groups.items():
        for name, f in rows.items():
            cells = (f"{f[key]:.3g}" for key in ("loss", "half_loss", "half_over_bfgs", "half_within", "reached",
                                                 "evaluations_over_bfgs"))  # fmt: skip
            lines.append(f"| {group} | {name} | {' | '.join(cells)} |")
    return lines
