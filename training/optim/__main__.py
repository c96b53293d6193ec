"""Trains a learned optimizer: ``python -m training.optim --out runs/optimus``.

It learns on the classical functions, or on the motion refinement: ``--problems windows`` (lifted walks and the physics
loss) or ``--problems diffphy`` (controls of a simulated body), both of the walks of ``--data``. A ``--video-share`` of
the latter are motions of all kinds as they are reconstructed from video, on the loss with keypoints. ``--problems
fits`` are fits of the body to the keypoints of poses of ``--data``; there ``--method supervised`` trains on the error
of the pose.

The network is that of ``--kind`` and ``--set name=value`` for its settings (``--set norm=rms --set
features.memory=true``); every number of the recipe is an option. A run is resumed by giving the same ``--out`` again.
Several processes or machines: ``torchrun --nproc-per-node 8 -m training.optim ...``; each unrolls ``--pairs`` problems
of its own, and all take the same step.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import fields
from pathlib import Path

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.functions import FUNCTIONS
from diffmocap.optim.weights import KINDS, build, load_optimizer
from training import program
from training.commit import git_commit
from training.optim.descent import DESCENTS
from training.optim.fit_problems import fit_problems
from training.optim.loop import run
from training.optim.motion_problems import MOTION_PROBLEMS, motion_problems
from training.optim.network_settings import settings_from, with_settings
from training.optim.problems import TRAINED, FunctionProblems, MixedProblems, Problems
from training.optim.trainer import METHODS, MetaRecipe, MetaTrainer
from training.ranks import Ranks


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    p.add_argument("--kind", choices=list(KINDS), default="optimus")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the network; beside --init, one that its weights fit",
    )
    p.add_argument("--init", type=Path, help="start from these weights, with their kind and settings except for --set")
    p.add_argument("--problems", choices=("functions", *MOTION_PROBLEMS, "fits"), default="functions")
    p.add_argument("--data", type=Path, help="motion capture to train on, for windows, diffphy and fits")
    p.add_argument(
        "--views", type=int, default=2, help="number of cameras that a walk is lifted from (default %(default)s)"
    )
    p.add_argument(
        "--frames", type=int, default=0, help="frames of a window or a simulated stretch (0: about a second)"
    )
    p.add_argument(
        "--speeds",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="FACTOR",
        help="speeds at which the clips of diffphy are played (default 1)",
    )
    p.add_argument(
        "--video-share",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of diffphy's problems that are motions from video, on the whole loss, 0 to 1 (default %(default)s)",
    )
    p.add_argument("--functions", nargs="+", default=list(TRAINED), choices=list(FUNCTIONS), metavar="NAME")
    p.add_argument("--smallest", type=int, default=2, help="smallest dimension (default %(default)s)")
    p.add_argument("--largest", type=int, default=100, help="largest dimension (default %(default)s)")
    p.add_argument(
        "--batch",
        type=int,
        default=1,
        help="starts of each function, or motions, or fits per batch (default %(default)s)",
    )
    p.add_argument(
        "--turned",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the functions whose coordinates are turned at random, 0 to 1 (default %(default)s)",
    )
    p.add_argument("--apart", action="store_true", help="one function per batch instead of all of them")
    p.add_argument("--validation-dimensions", type=int, nargs=2, default=(150, 250), metavar=("FROM", "TO"))
    p.add_argument(
        "--validation-count", type=int, default=4, help="number of validation problems (default %(default)s)"
    )
    p.add_argument(
        "--validation-iterations", type=int, default=100, help="iterations on each of them (default %(default)s)"
    )
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's default)")
    p.add_argument("--checkpoint-minutes", type=float, default=3.0)
    p.add_argument("--validate-minutes", type=float, default=10.0)
    p.add_argument("--stop-after-minutes", type=float, default=0.0, help="end this call early, to be resumed")
    for f in fields(MetaRecipe):
        if f.type == "bool":
            p.add_argument("--" + f.name.replace("_", "-"), action=argparse.BooleanOptionalAction, default=f.default)
            continue
        kind = {"int": int, "float": float, "str": str}[f.type]
        choices = {"method": METHODS, "descent": DESCENTS}.get(f.name)
        p.add_argument(
            "--" + f.name.replace("_", "-"), type=kind, default=f.default, choices=choices, help="default %(default)s"
        )
    return p.parse_args(arguments)


def problems_of(args: argparse.Namespace) -> tuple[Problems, Problems]:
    """What to train on and what to validate on."""
    if args.problems != "functions":
        if args.data is None:
            raise SystemExit(f"--problems {args.problems} wants --data, the motion capture of the training split")
        if args.problems == "fits":
            return fit_problems(args.data, args.batch)
        return motion_problems(
            args.problems, args.data, args.batch, args.views, args.out, args.frames, args.speeds, args.video_share
        )  # fmt: skip
    kind, (low, high) = FunctionProblems if args.apart else MixedProblems, args.validation_dimensions
    names = tuple(args.functions)
    try:
        of_training = kind(names, args.smallest, args.largest, args.batch, turned=args.turned)
        return of_training, kind(names, low, high, 2, turned=args.turned)
    except SettingsError as e:
        raise SystemExit(str(e)) from e


def sizes_of(problems: Problems) -> dict[str, int]:
    """Dimension and context of problems, which must all have the same: what a network is built for that sees all of a
    problem at once."""
    task, x = problems(torch.Generator().manual_seed(0))
    context = task.context(x)
    return {"dimension": task.dimension, "context": 0 if context is None else context.shape[1]}


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    # Gradients of episodes that stand still are full of denormals, which made a backward pass take four times as long.
    torch.set_flush_denormal(True)
    warnings.filterwarnings("ignore", message="The value of the smallest subnormal")  # NumPy wonders at that
    ranks = Ranks.join(args.device)
    recipe = MetaRecipe(**{f.name: getattr(args, f.name) for f in fields(MetaRecipe)})
    torch.manual_seed(recipe.seed)
    try:
        settings = settings_from(args.set)
        if args.init:
            optimizer = with_settings(load_optimizer(args.init), settings)
        elif args.kind == "learned_gradient_descent":
            optimizer = None  # of the size of its problems
        else:
            optimizer = build(args.kind, settings)
    except (TypeError, SettingsError) as e:
        raise SystemExit(f"--set: {e}") from e
    args.out.mkdir(parents=True, exist_ok=True)
    problems, validation = problems_of(args)
    try:
        if optimizer is None:
            optimizer = build(args.kind, sizes_of(problems) | settings)
        trainer = MetaTrainer(recipe, optimizer.requires_grad_(True), problems, args.out, ranks)
    except (TypeError, SettingsError) as e:
        raise SystemExit(str(e)) from e
    resumed = trainer.resume()
    if ranks.first:
        with (args.out / "starts.jsonl").open("a") as log:
            command = "python -m training.optim " + " ".join(arguments)
            record = {"command": command, "commit": git_commit(), "step": trainer.step, "processes": ranks.world}
            log.write(json.dumps(record) + "\n")
        print(f"{optimizer.theta.numel()} weights" + (f", resumed at step {trainer.step}" if resumed else ""))
    figures = run(
        trainer, validation, args.checkpoint_minutes, args.validate_minutes, args.stop_after_minutes,
        args.validation_count, validation_iterations=args.validation_iterations,
    )  # fmt: skip
    if ranks.first:
        print(json.dumps(figures))
    ranks.leave()


if __name__ == "__main__":
    program.run(main)
