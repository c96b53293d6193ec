"""Trains the lifting model: ``python -m training.lifting --data DIR_OR_FILES --val FILES --out runs/lifting``.

Needs torch, numpy, roma, safetensors and tqdm (TensorBoard optional) and the ROS-free core, so it runs on any machine,
CPU or GPU.
A run is resumed by giving the same ``--out`` again: the state of the network, its average, the optimizer, the random
generators and the clock continue where the last checkpoint left them.

Several GPUs: ``torchrun --nproc-per-node 8 -m training.lifting ...``; several machines: the same on each, with
``--nnodes N --node-rank I --master-addr HOST``. Every process draws ``--batch`` poses of its own, so that the batch of
a step is ``--batch`` times the number of processes.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from diffmocap.body.mocap import load_split
from diffmocap.errors import SettingsError
from training import program
from training.commit import git_commit
from training.held_out import HELD_OUT_CLIPS
from training.lifting.loop import run
from training.lifting.recipe import Recipe, add_options, recipe_from
from training.lifting.trainer import Trainer
from training.motions.poses import every_nth_of_each_clip, load_frames
from training.ranks import Ranks


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; every number of the recipe is an option."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=type(
            "Formatter", (argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter), {}
        ),
    )  # fmt: skip
    p.add_argument("--data", nargs="+", required=True, help="training clips: npz collections or AMASS folders")
    p.add_argument("--val", nargs="+", required=True, help="validation clips (other subjects)")
    p.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    p.add_argument("--exclude", default=str(HELD_OUT_CLIPS), help="file with clip names to leave out")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's default)")
    p.add_argument("--init", type=Path, help="start from these weights instead of random ones")
    p.add_argument("--checkpoint-minutes", type=float, default=3.0)
    p.add_argument("--validate-minutes", type=float, default=20.0)
    p.add_argument("--validation-frames", type=int, default=256)
    p.add_argument("--stop-after-minutes", type=float, default=0.0, help="end this call early, to be resumed")
    add_options(p)
    return p.parse_args(arguments)


def refuse_another_recipe(path: Path, recipe: Recipe, data: list[str]) -> None:
    """A run goes on with its own recipe and data; only its length and precision may change.

    Raises:
        SettingsError: ``config.json`` in the folder is of another recipe.
    """
    if not path.is_file():
        return
    last = json.loads(path.read_text())
    now = json.loads(json.dumps({**asdict(recipe), "model": recipe.model.as_dict()}))
    free = ("steps", "minutes", "bf16")
    # What the record does not know was not there when the run began.
    names = sorted(last["recipe"].keys() - set(free))
    different = [n for n in names if last["recipe"][n] != now.get(n)]
    if [Path(d).name for d in last["data"]] != [Path(d).name for d in data]:
        different.append("data")
    if different:
        raise SettingsError(
            f"{path.parent} holds a run whose {', '.join(different)} were others: give its own options, those of "
            f"{path}, or another --out"
        )


def write_record(path: Path, recipe: Recipe, trainer: Trainer, args: argparse.Namespace, arguments: list[str]) -> dict:
    """``config.json``: the recipe and data of the run, and every start of it with its command, commit and step."""
    starts = []
    if path.is_file():
        last = json.loads(path.read_text())
        # A run from before starts were listed has one, at its beginning.
        starts = last.get("starts") or [{**{k: last[k] for k in ("command", "commit", "torch", "device")}, "step": 0}]
    here = {
        "command": "python -m training.lifting " + " ".join(arguments), "commit": git_commit(),
        "torch": torch.__version__, "device": str(trainer.device), "processes": trainer.ranks.world,
    }  # fmt: skip
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record = {
        "recipe": {**asdict(recipe), "model": recipe.model.as_dict()}, "data": [str(d) for d in args.data],
        "exclude": args.exclude, "frames": len(trainer.sampler.rotations), **here,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "starts": [*starts, {**here, "step": trainer.step, "time": now}],
    }  # fmt: skip
    path.write_text(json.dumps(record, indent=2) + "\n")
    return record


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    ranks, recipe = Ranks.join(args.device), recipe_from(args)
    refuse_another_recipe(args.out / "config.json", recipe, args.data)
    args.out.mkdir(parents=True, exist_ok=True)
    rotations, clips = load_frames(args.data, args.exclude)
    validation = every_nth_of_each_clip([c for path in args.val for c in load_split(path)], 5)
    pick = torch.linspace(0, len(validation) - 1, min(args.validation_frames, len(validation))).long()
    trainer = Trainer(recipe, rotations, validation[pick], args.out, clips=clips, ranks=ranks)
    resumed = trainer.resume()
    if args.init and not resumed:
        trainer.start_from(args.init)
    if ranks.first:
        record = write_record(args.out / "config.json", recipe, trainer, args, arguments)
        place = str(trainer.device) if ranks.world == 1 else f"{ranks.world} x {trainer.device.type}"
        print(
            f"{record['parameters'] / 1e6:.2f}M parameters, {len(rotations)} frames, {place}"
            + (f", resumed at step {trainer.step}" if resumed else "")
        )
    run(trainer, args.checkpoint_minutes, args.validate_minutes, args.stop_after_minutes)
    ranks.leave()


if __name__ == "__main__":
    program.run(main)
