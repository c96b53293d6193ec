"""Puts weights of a run into ``models/``: ``python -m training.stream.ship runs/stream``."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from pathlib import Path

import torch

from diffmocap.refinement.stream.optimus.weights import SHIPPED, SHIPPED_WINDOWS, load_stream_optimus
from diffmocap.resources import sha256_of
from training import program
from training.manifest import ACKNOWLEDGEMENT, MODELS, without_folders, write_entry


def record_of(run: Path) -> dict:
    """How a run was trained: commands, recipe, length, and validation at its end."""
    starts = [json.loads(line) for line in (run / "starts.jsonl").read_text().splitlines()]
    state = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)
    return {
        "recipe": json.loads((run / "recipe.json").read_text()),
        "starts": [{**start, "command": without_folders(start["command"])} for start in starts],
        "step": state["step"], "processor_minutes": round(state["seconds"] / 60, 1),
        "validation": state["history"][-1] if state["history"] else None,
    }  # fmt: skip


def entry_of(run: Path, before: list[Path]) -> dict:
    """What the manifest says. ``before``: the runs that led to the weights that this one began with."""
    record, network = record_of(run), load_stream_optimus(run / "last.safetensors")
    commands = [start["command"] for start in record["starts"]]
    clips = sorted({name for command in commands for name in re.findall(r"(\S+\.npz)", command)})
    everything = any("--everything" in command for command in commands)
    used = "motions on flat ground" if everything else "walks on flat ground"
    return {
        "kind": f"optimizer of {'whole windows' if _of_windows(record) else 'streams'}", "licence": "Apache-2.0",
        "data": {
            "clips": clips, "used": f"{used}, without those of the held-out subject", "acknowledgement": ACKNOWLEDGEMENT
        },
        "of_weights": sha256_of(MODELS / "lifting.safetensors"),
        "parameters": sum(p.numel() for p in network.parameters()), "torch": torch.__version__, **record,
        "trained_before": [record_of(folder) for folder in before],
    }  # fmt: skip


def _of_windows(record: dict) -> bool:
    """Whether a run was on whole windows."""
    return any("--windows" in start["command"].split() for start in record["starts"])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder that training.stream wrote")
    parser.add_argument(
        "--before", type=Path, nargs="+", default=[], metavar="RUN", help="runs that this one continues"
    )
    parser.add_argument("--models", type=Path, default=MODELS, help="folder to ship to (default: models/)")
    args = parser.parse_args(arguments)
    entry = entry_of(args.run, args.before)
    place = args.models / (SHIPPED_WINDOWS if _of_windows(entry) else SHIPPED)
    shutil.copyfile(args.run / "last.safetensors", place)
    write_entry(args.models, place.name, entry)
    print(f"shipped {place}, sha256 {sha256_of(place)[:12]}...")


if __name__ == "__main__":
    program.run(main)
