"""Puts weights of a meta-training run into ``models/``: ``python -m training.optim.ship runs/optimus optimus``."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.weights import SHIPPED, kind_of, load_optimizer, save_optimizer
from diffmocap.resources import sha256_of
from training import program
from training.manifest import ACKNOWLEDGEMENT, MODELS, write_entry
from training.optim.network_settings import settings_from, with_settings
from training.optim.record import record_of


def data_of(commands: list[str]) -> str | dict:
    """What a run was trained on, as its commands say."""
    if not any("--data" in command for command in commands):
        return "none: trained on the classical test functions with random offsets"
    names = sorted({name for command in commands for name in re.findall(r"--data[ =](\S+)", command)})
    fits = any(re.search(r"--problems[ =]fits", command) for command in commands)
    used = "all but the held-out clips" if fits else "walks on flat ground, without those of the held-out subject"
    return {"clips": names, "used": used, "acknowledgement": ACKNOWLEDGEMENT}


def entry_of(
    run: Path, optimizer: LearnedOptimizer, before: list[Path], best: bool = False, changed: list[str] | None = None
) -> dict:
    """What the manifest says of an optimizer. ``before``: the runs that led to the weights that this one began with.
    ``best``: the weights are those of the best validation. ``changed``: settings that differ from training's."""
    record = record_of(run, best)
    return {
        "kind": f"optimizer: {kind_of(optimizer)}", "licence": "Apache-2.0",
        "data": data_of([start["command"] for start in record["starts"]]),
        "parameters": optimizer.theta.numel(), "torch": torch.__version__, **record,
        "trained_before": [record_of(folder) for folder in before], "set_after_training": changed or [],
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that training.optim wrote")
    parser.add_argument("name", choices=list(SHIPPED), help="which of the shipped optimizers it becomes")
    parser.add_argument(
        "--before", type=Path, nargs="+", default=[], metavar="RUN", help="runs that this one continues"
    )
    parser.add_argument("--best", action="store_true", help="the weights of least validation loss")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting other than training's that the weights fit (features.pairs=100)",
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder to ship to (default: models/)")
    args = parser.parse_args(arguments)
    weights = args.run / ("best.safetensors" if args.best else "last.safetensors")
    try:
        optimizer = with_settings(load_optimizer(weights), settings_from(args.set))  # refuses what cannot be loaded
    except SettingsError as e:
        raise SystemExit(f"--set: {e}") from e
    entry, place = entry_of(args.run, optimizer, args.before, args.best, args.set), args.models / SHIPPED[args.name]
    if args.set:
        save_optimizer(optimizer, place, {"set_after_training": args.set})
    else:
        shutil.copyfile(weights, place)
    write_entry(args.models, place.name, entry)
    print(f"shipped {place}, sha256 {sha256_of(place)[:12]}...")


if __name__ == "__main__":
    program.run(main)
