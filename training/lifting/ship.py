"""Puts a run's weights and record into ``models/``: ``python -m training.lifting.ship runs/lifting``."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from safetensors import safe_open

from diffmocap.lifting.network.weights import DEFAULT_WEIGHTS, STUDENT_WEIGHTS, load_weights
from diffmocap.resources import sha256_of
from training import program
from training.lifting.moments import MOMENTS
from training.manifest import ACKNOWLEDGEMENT, MODELS, forget_entry, without_folders, write_entry


def lifting_entry(run: Path, weights: Path, metrics: dict | None) -> dict:
    """What the manifest says of lifting weights: data, command (folders left out), recipe, length, figures."""
    config = json.loads((run / "config.json").read_text())
    with safe_open(weights, "pt") as f:
        info = json.loads(f.metadata()["info"])
    starts = starts_of(config)
    return {
        "kind": "lifting", "licence": "Apache-2.0",
        "data": {
            "clips": [Path(p).name for p in config["data"]], "frames": config["frames"],
            "held_out_clips": Path(config["exclude"]).name, "acknowledgement": ACKNOWLEDGEMENT,
        },
        "command": without_folders(config["command"]),
        **{key: config[key] for key in ("commit", "torch", "device", "parameters", "recipe")}, "starts": starts,
        **{key: config[key] for key in ("distillation",) if key in config}, **info, "metrics": metrics or {},
    }  # fmt: skip


def starts_of(config: dict) -> list[dict]:
    """Every start of the run of a ``config.json``, with its command, commit and step."""
    return [{**start, "command": without_folders(start["command"])} for start in config.get("starts", [])]


def earlier_run(run: Path) -> dict:
    """What the manifest says of a run whose weights another one began with."""
    with safe_open(run / "lifting.safetensors", "pt") as f:
        info = json.loads(f.metadata()["info"])
    length = {key: info[key] for key in ("step", "train_minutes") if key in info}
    return {"starts": starts_of(json.loads((run / "config.json").read_text())), **length}


def with_history(entry: dict, shipped: dict) -> dict:
    """The entry of weights trained on from the shipped ones, with what their record says of their training."""
    last = {key: shipped[key] for key in ("command", "commit", "step", "train_minutes") if key in shipped}
    return {**entry, "trained_before": [*shipped.get("trained_before", []), last]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder that training.lifting wrote")
    parser.add_argument("--best", action="store_true", help="ship best.safetensors, the lowest validation error")
    parser.add_argument(
        "--metrics", type=Path, help="JSON of benchmarks.lifting.pixel_alignment --json, or of several merged"
    )
    parser.add_argument(
        "--continues",
        action="store_true",
        help="the run started (--init) from the weights that ship now: keep their record",
    )
    parser.add_argument(
        "--student", action="store_true", help="a run of training.lifting.distill: ship it beside the weights"
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder to ship to (default: models/)")
    parser.add_argument(
        "--before", type=Path, nargs="+", default=[], metavar="RUN",
        help="runs that this one began with (--init), one after the other",
    )  # fmt: skip
    args = parser.parse_args()
    if args.student != ("distillation" in json.loads((args.run / "config.json").read_text())):
        parser.error(f"{args.run} is no student: leave --student out" if args.student else f"{args.run}: add --student")
    name = STUDENT_WEIGHTS if args.student else DEFAULT_WEIGHTS
    weights = args.run / ("best.safetensors" if args.best else "lifting.safetensors")
    load_weights(weights)  # refuse to ship what cannot be loaded
    metrics = json.loads(args.metrics.read_text()) if args.metrics else None
    entry = lifting_entry(args.run, weights, metrics)
    if args.continues:
        entry = with_history(entry, json.loads((args.models / "manifest.json").read_text())["files"][DEFAULT_WEIGHTS])
    if args.before:
        entry["trained_before"] = [earlier_run(run) for run in args.before]
    shutil.copyfile(weights, args.models / name)
    moments = weights.with_name(MOMENTS)
    if not args.student:
        forget_entry(args.models, MOMENTS)  # those of the weights before
    if moments.is_file() and not (args.best or args.student):
        shutil.copyfile(moments, args.models / MOMENTS)
        about = "AdamW's second moments, factored, with which training goes on from the lifting weights"
        write_entry(args.models, MOMENTS, {"kind": about, "licence": "Apache-2.0", "of": name})
    write_entry(args.models, name, entry)
    print(f"shipped {args.models / name}, sha256 {sha256_of(args.models / name)[:12]}...")


if __name__ == "__main__":
    program.run(main)
