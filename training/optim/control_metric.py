"""Measures the curvature that DiffPhy's windows have in common: ``python -m training.optim.control_metric``.

    training clips -> motions from video -> one window of each -> its Hessian where 25 evaluations lead -> their mean

The Hessian is found column by column from differences of gradients, and its eigenvalues are taken as positive. A window
takes half a minute of one core; what is measured is kept in ``--out``, and a run that was stopped goes on from there.
The result is put into ``models/`` by ``--ship``.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from diffmocap.files.whole_file import whole_file
from diffmocap.optim.quasi_newton import Bfgs
from diffmocap.optim.stopping import Budget
from diffmocap.optim.task import Task
from diffmocap.refinement.diffphy.control_metric import FILE, FORMAT
from diffmocap.refinement.diffphy.initial_state import SIZE
from diffmocap.refinement.diffphy.settings import SimulationSettings
from diffmocap.resources import sha256_of
from training import program
from training.commit import git_commit
from training.manifest import ACKNOWLEDGEMENT, MODELS, without_folders, write_entry
from training.optim.video_problems import VideoProblems, kept_video_motions

#: Evaluations of BFGS before the Hessian is measured: near where runs end, and past the stumbling of the first guess.
EVALUATIONS = 25
#: Step of the differences [rad, or units of the initial state].
STEP = 1e-4
#: Gradients that are found side by side.
_AT_ONCE = 16


def hessian(task: Task, x: torch.Tensor, size: int) -> torch.Tensor:
    """The first ``size`` rows and columns [size, size] of the Hessian of one problem, by differences of gradients.

    Args:
        task: of :data:`_AT_ONCE` equal problems. x: [1, N] float64.
    """
    points = x.expand(_AT_ONCE, -1)
    _, here = task.loss_and_gradient(points)
    columns = []
    for first in range(0, size, _AT_ONCE):
        count = min(_AT_ONCE, size - first)
        moved = points.clone()
        moved[torch.arange(count), first + torch.arange(count)] += STEP
        columns.append((task.loss_and_gradient(moved)[1] - here)[:count, :size].double() / STEP)
    found = torch.cat(columns)
    return (found + found.mT) / 2


def as_positive(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix [N, N] with the absolute values of its eigenvalues (Dauphin et al. 2014)."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.abs()) @ vectors.mT


def measure(problems: VideoProblems, motion: int, seed: int) -> torch.Tensor:
    """|H| [N, N] in the first window of a motion's that ``seed`` draws."""
    generator = torch.Generator().manual_seed(seed + motion)
    start = problems.starts(motion, 1, generator)
    task, x = problems.task(motion, start)
    knots, columns = task.controls.shape
    found = Bfgs().minimize(task, x, Budget(evaluations=EVALUATIONS)).x.double()
    return as_positive(hessian(problems.task(motion, start * _AT_ONCE)[0], found, knots * columns + SIZE))


def mean_of_windows(problems: VideoProblems, path: Path, seed: int) -> torch.Tensor:
    """The mean of |H| [N, N] over one window of each motion. What is done so far is kept in ``path``."""
    count, made_by = len(problems.motions), f"seed {seed}, {EVALUATIONS} evaluations, step {STEP}"
    total, done = None, 0
    if path.is_file():
        with safe_open(path, "pt") as file:
            kept_by, total, done = file.metadata()["made_by"], file.get_tensor("sum"), int(file.get_tensor("done"))
        if kept_by != made_by or done > count:
            raise SystemExit(
                f"{path} holds {done} windows of {kept_by}; this run wants {count} of {made_by}: give another --out"
            )
    for number in tqdm(range(done, count), initial=done, total=count, desc="Hessians", unit="window"):
        measured = measure(problems, number, seed)
        total = measured if total is None else total + measured
        with whole_file(path) as partial:
            save_file({"sum": total, "done": torch.tensor(number + 1)}, partial, {"made_by": made_by})
    return total / count


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="motion capture of the training split")
    p.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is gone on with")
    p.add_argument("--windows", type=int, default=24, help="windows, one of a motion (default %(default)s)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's default)")
    p.add_argument("--ship", action="store_true", help="put the result into --models and its manifest")
    p.add_argument("--models", type=Path, default=MODELS, help="folder to ship to (default: models/)")
    args = p.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    motions = kept_video_motions(args.data, args.out)
    if not 1 <= args.windows <= len(motions):
        raise SystemExit(f"--windows is 1 to {len(motions)}, one of each motion that was made; got {args.windows}")
    problems = VideoProblems(motions[: args.windows], 1, SimulationSettings(joints="all"))
    mean = mean_of_windows(problems, args.out / "sums.safetensors", args.seed)
    result = args.out / FILE
    with whole_file(result) as partial:
        save_file({"curvature": mean.float()}, partial, {"format": FORMAT})
    print(f"{result}: the mean of {args.windows} windows")
    if args.ship:
        shutil.copyfile(result, args.models / FILE)
        write_entry(args.models, FILE, {
            "kind": "curvature of DiffPhy's loss in its parameters", "licence": "Apache-2.0", "windows": args.windows,
            "commands": [without_folders("python -m training.optim.control_metric " + " ".join(arguments))],
            "commit": git_commit(), "data": {"clips": [args.data.name], "acknowledgement": ACKNOWLEDGEMENT},
        })  # fmt: skip
        print(f"shipped {args.models / FILE}, sha256 {sha256_of(args.models / FILE)[:12]}...")


if __name__ == "__main__":
    program.run(main)
