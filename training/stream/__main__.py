"""Trains the Optimus that refines streams: ``python -m training.stream --data TRAIN.npz --out runs/stream``.

Walks of the training split are lifted as a webcam's frames would be, from several sides (once, kept in the folder of
``--out``). Episodes then walk along them with a random number of steps per frame. What is minimised is the window's
loss after each step and the error of the newest frame, which is what is published; the gradient goes through the steps
of some frames. A run is resumed by giving the same ``--out`` again; Ctrl-C and SIGTERM save. Several processes:
``torchrun --nproc-per-node 2 -m training.stream ...``.

``--windows 32 60`` trains on whole windows of walks of so many frames instead, as files are refined: up to 64 steps
each, by what is left above the least loss.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import fields
from pathlib import Path

import torch
from tqdm import tqdm

from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.errors import ModelFileError, MotionFileError, SettingsError
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.segments import BodySegments
from diffmocap.refinement.stream.optimus.network import StreamOptimus, StreamOptimusSettings
from diffmocap.refinement.stream.optimus.weights import load_stream_optimus
from diffmocap.refinement.window.body_points import BodyPoints
from training import program
from training.commit import git_commit
from training.motions.live_streams import LiveStream
from training.ranks import Ranks
from training.stop_request import StopRequest
from training.stream.streams import kept_streams
from training.stream.trainer import StreamRecipe, StreamTrainer
from training.stream.whole_windows import WindowProblem, WindowTrainer, kept_windows


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    p.add_argument("--data", type=Path, nargs="+", required=True, help="motion capture of the training split")
    p.add_argument("--init", type=Path, help="start from these weights and their settings")
    p.add_argument("--windows", type=int, nargs="+", metavar="FRAMES", help="train on whole windows of these lengths")
    p.add_argument("--everything", action="store_true", help="every motion on flat ground from one side, too")
    p.add_argument(
        "--views", type=int, default=2, help="number of cameras that a clip is lifted from (default %(default)s)"
    )
    p.add_argument("--frames", type=int, default=120, help="most frames of a stream (default %(default)s)")
    p.add_argument("--validation-streams", type=int, default=12, help="default %(default)s")
    p.add_argument("--checkpoint-minutes", type=float, default=3.0, help="default %(default)s")
    p.add_argument("--validate-minutes", type=float, default=10.0, help="default %(default)s")
    for group, defaults in ((StreamRecipe, StreamRecipe()), (StreamOptimusSettings, StreamOptimusSettings())):
        for f in fields(group):
            value = getattr(defaults, f.name)
            p.add_argument("--" + f.name.replace("_", "-"), type=type(value), default=value, help="default %(default)s")
    return p.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse(arguments)
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    ranks = Ranks.join("cpu")
    try:
        recipe = StreamRecipe(**{f.name: getattr(args, f.name) for f in fields(StreamRecipe)})
        settings = StreamOptimusSettings(**{f.name: getattr(args, f.name) for f in fields(StreamOptimusSettings)})
    except SettingsError as e:
        raise SystemExit(str(e)) from e
    torch.manual_seed(recipe.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, held_out in (("train", False), ("held_out", True)):
        if not ranks.first:
            ranks.clock()  # the first makes what is missing
        try:
            made[name] = _windows_of(args, held_out) if args.windows else kept_streams(
                args.out / f"streams_{name}.safetensors", args.data, held_out, 1 if held_out else args.views,
                args.frames, args.everything and not held_out,
            )  # fmt: skip
        except MotionFileError as e:
            raise SystemExit(str(e)) from e
        if ranks.first:
            ranks.clock()
    body = BodyModel.load()
    points = BodyPoints.from_body(body, BodySegments.from_urdf(read_urdf()), ContactPoints.from_body(body))
    try:
        network = load_stream_optimus(args.init).requires_grad_(True) if args.init else StreamOptimus(settings)
        kind = WindowTrainer if args.windows else StreamTrainer
        trainer = kind(recipe, network, made["train"], points.to(dtype=torch.float32), args.out, ranks)
        resumed = trainer.resume()
    except (SettingsError, ModelFileError) as e:
        raise SystemExit(str(e)) from e
    if ranks.first:
        with (args.out / "starts.jsonl").open("a") as log:
            command = "python -m training.stream " + " ".join(arguments)
            log.write(json.dumps({
                "command": command, "commit": git_commit(), "step": trainer.step, "processes": ranks.world
            }) + "\n")  # fmt: skip
        weights = sum(p.numel() for p in network.parameters())
        kind, count = "streams", len(made["train"])
        if args.windows:
            kind, count = "windows", sum(map(len, made["train"].values()))
        print(f"{weights} weights, {count} {kind}" + (f", resumed at {trainer.step}" if resumed else ""))
    validation = made["held_out"]
    if not args.windows:
        usable = [s for s in validation if len(s.frames) >= 60 and s.frames[0].rotations is not None]
        validation = usable[: args.validation_streams]
    if not _enough(validation) or not _enough(made["train"]):
        raise SystemExit(
            f"{', '.join(map(str, args.data))}: no walks of two seconds to validate on, or none to train on"
        )
    with StopRequest() as stop:
        run(trainer, validation, args.checkpoint_minutes, args.validate_minutes, stop)
    ranks.leave()


def _windows_of(args: argparse.Namespace, held_out: bool) -> dict[int, list[WindowProblem]]:
    most = args.validation_streams if held_out else 0
    return kept_windows(args.out, args.data, held_out, args.windows, args.views, most)


def _enough(problems: list[LiveStream] | dict[int, list[WindowProblem]]) -> bool:
    return bool(problems) and (not isinstance(problems, dict) or all(problems.values()))


def run(
    trainer: StreamTrainer, validation: list | dict, checkpoint_minutes: float, validate_minutes: float,
    stop: StopRequest,
) -> None:  # fmt: skip
    """Trains to the end of the recipe, or until a signal, after which it only saves. Every process runs this; clocks
    are the first one's, so that all of them decide alike."""
    ranks = trainer.ranks
    bar = tqdm(initial=trainer.step, unit="step", dynamic_ncols=True, mininterval=10, disable=not ranks.first)
    last = saved = validated = ranks.clock()
    means: dict[str, float] = {}
    while trainer.progress < 1.0:
        before = time.process_time()
        figures = trainer.train_step()
        seconds = torch.tensor(time.process_time() - before, dtype=torch.float64)
        ranks.follow_first([seconds])
        trainer.seconds += float(seconds)
        for name, value in figures.items():
            means[name] = means.get(name, value) + 0.02 * (value - means.get(name, value))
        bar.update()
        bar.set_postfix({**{n: f"{v:.3f}" for n, v in means.items()}, "done": f"{trainer.progress:.1%}"}, refresh=False)
        if ranks.any(stop.signal is not None):
            break
        last = ranks.clock()
        if last - validated > 60 * validate_minutes:
            _validate(trainer, validation, bar)
            validated = ranks.clock()
        if last - saved > 60 * checkpoint_minutes:
            trainer.save()
            saved = last
    else:
        trainer.save()
        _validate(trainer, validation, bar)
    trainer.save()
    bar.close()


def _validate(trainer: StreamTrainer, problems: list | dict, bar: tqdm) -> None:
    if trainer.ranks.first:
        trainer.keep(trainer.validate(problems))
        bar.write(json.dumps(trainer.history[-1]))


if __name__ == "__main__":
    program.run(main)
