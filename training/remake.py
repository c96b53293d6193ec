"""Remakes what hangs on the lifting weights: ``python -m training.remake --data TRAIN --val VAL --out runs/remake``.

New lifting weights silently make others stale: the few-step student was distilled from the old ones, the optimizers of
windows were trained on motions that the old ones lifted, the covariances of ``body_pose`` are those of the old errors,
and pages describe what no longer ships. This runs all of it in its order, each step in a process of its own that ships
what it made. ``--list`` says what is stale and how long it takes.

What is done for the present ``models/lifting.safetensors`` is recorded in the folder of ``--out``: the same command
goes on where it was stopped, and a step that was in the middle of its training goes on from its checkpoint. Pages name
the commit that they describe, so before them the command ends and asks for one.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from diffmocap.lifting.network.weights import DEFAULT_WEIGHTS
from diffmocap.resources import sha256_of
from training.commit import git_commit
from training.manifest import MODELS

RECORD = "remake.json"
#: Whose options most trainings of windows share.
_WINDOWS = (
    "-m training.optim --problems windows --pairs 1 --batch 8 --shortest 4 --longest 120 --decay-share 0.5 "
    "--validation-count 2 --validation-iterations 100 --validate-minutes 15 --checkpoint-minutes 5 --threads 1"
)


@dataclass(frozen=True)
class Step:
    """One thing that is remade.

    Attributes:
        name: in the record. what: in words. minutes: on two cores, about.
        commands: of Python, one after the other; ``{data}``, ``{val}`` and ``{out}`` stand for the options.
        page: a record of committed code, which trains nothing.
    """

    name: str
    what: str
    minutes: float
    commands: tuple[str, ...]
    page: bool = False


STEPS = (
    Step(
        "student", "the few-step student", 65,
        (
            "-m training.distill --data {data} --val {val} --out {out}/student --bf16 --minutes 60 --threads 2 "
            "--batch 128 --guidance 3 --cold-share 0.7 --learning-rate 4e-4 --validate-minutes 60 "
            "--validation-frames 64 --sequence measured_share=0.45 exact_share=0.2 paper_share=0.08",
            "-m training.ship {out}/student --student",
            "-m training.lifting.error_covariance --data {data} --weights student --ship",
        ),
    ),
    Step("pose_errors", "covariances of body_pose", 10, ("-m benchmarks.pose_errors --fit --uncommitted",)),
    Step(
        "optimus_window", "Optimus on lifted windows", 26,
        (
            f"{_WINDOWS} --data {{data}} --init models/optimus.safetensors --learning-rate 3e-4 --minutes 22 "
            "--out {out}/optimus_window",
            "-m training.optim.ship {out}/optimus_window optimus_window",
        ),
    ),
    Step(
        "adafactor_mlp_window", "Adafactor MLP on lifted windows", 12,
        (
            f"{_WINDOWS} --data {{data}} --init models/adafactor_mlp_128x4.safetensors --learning-rate 5e-4 "
            "--minutes 9 --out {out}/adafactor_mlp_window",
            "-m training.optim.ship {out}/adafactor_mlp_window adafactor_mlp_window",
        ),
    ),
    Step(
        "optimus_stream", "Optimus on lifted streams", 75,
        (
            "-m training.stream --data {data} --minutes 65 --out {out}/optimus_stream",
            "-m training.stream.ship {out}/optimus_stream",
        ),
    ),
    Step(
        "optimus_whole_windows", "Optimus on whole windows", 28,
        (
            "-m training.stream --windows 32 60 --views 1 --data {data} --minutes 17 --decay-share 0.5 "
            "--out {out}/optimus_whole_windows",
            "-m training.stream.ship {out}/optimus_whole_windows",
        ),
    ),
    Step(
        "control_metric", "curvature of DiffPhy's loss", 14,
        ("-m training.optim.control_metric --data {data} --out {out}/control_metric --threads 1 --ship",),
    ),
    Step(
        "optimus_controls", "Optimus on DiffPhy's controls", 35,
        (
            "-m training.optim --problems diffphy --video-share 1 --data {data} --out {out}/optimus_controls --pairs 6 "
            "--batch 2 --shortest 8 --longest 60 --minutes 30 --decay-share 0.5 --learning-rate 1e-3 --threads 1 "
            "--validation-count 4 --validation-iterations 40 --set encoders=1 --set width=32 --set attention_width=16 "
            "--set feedforward=64 --set mlp_width=32 --set mlp_layers=2 --set features.memory=true "
            "--set features.pairs=60",
            "-m training.optim.ship {out}/optimus_controls optimus_controls",
        ),
    ),
    Step("lifting_page", "page: lifting", 60, ("-m benchmarks.lifting",), page=True),
    Step("live_sampling_page", "page: samplers of live lifting", 20, ("-m benchmarks.live_sampling",), page=True),
    Step("tracking_page", "page: tracked hypotheses", 20, ("-m benchmarks.tracking",), page=True),
    Step("synthetic_video_page", "page: synthetic video", 30, ("-m benchmarks.synthetic_video",), page=True),
    Step("refinement_page", "page: refinement", 60, ("-m benchmarks.refinement",), page=True),
    Step("live_refinement_page", "page: live refinement", 40, ("-m benchmarks.live_refinement",), page=True),
    Step(
        "stream_optimizers_page", "page: optimizers of the live refinement", 20, ("-m benchmarks.stream_optimizers",),
        page=True,
    ),
)  # fmt: skip


class Record:
    """Which steps were done for which lifting weights, and how long they took."""

    def __init__(self, folder: Path, lifting: str) -> None:
        self._path, self._lifting = folder / RECORD, lifting
        self._all = json.loads(self._path.read_text()) if self._path.is_file() else {}

    @property
    def done(self) -> dict[str, float]:
        """Minutes that each step took, by name."""
        return self._all.get(self._lifting, {})

    def add(self, name: str, minutes: float) -> None:
        """Writes that a step is done; a crash leaves the old record."""
        self._all.setdefault(self._lifting, {})[name] = round(minutes, 1)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self._all, indent=2) + "\n")
        partial.replace(self._path)


def listing(steps: Iterable[Step], record: Record) -> list[str]:
    """A line for each step, and what is left of them."""
    steps = list(steps)
    lines = [
        f"{step.name:22s} {step.what:34s} "
        + (f"done in {record.done[step.name]:.0f} min" if step.name in record.done else f"about {step.minutes:.0f} min")
        for step in steps
    ]
    left = sum(step.minutes for step in steps if step.name not in record.done)
    return [*lines, f"left: {left / 60:.1f} hours on two cores"]


def remake(steps: Iterable[Step], record: Record, values: dict[str, str], committed: bool) -> int:
    """Runs what is not done, in order; the exit status of the first command that fails, or 0.

    Args:
        values: what ``{data}``, ``{val}`` and ``{out}`` stand for. committed: whether nothing is uncommitted, without
            which no page is made.
    """
    left = [step for step in steps if step.name not in record.done]
    for step in tqdm(left, unit="step", desc="remaking"):
        if step.page and not committed:
            print(f"commit models/ and give the command again: {step.what} describes a commit", file=sys.stderr)
            return 1
        start = time.monotonic()
        for command in step.commands:
            words = [sys.executable, *shlex.split(command.format(**values))]
            tqdm.write(f"{step.what}, about {step.minutes:.0f} min: {shlex.join(words[1:])}")
            status = subprocess.run(words, check=False).returncode
            if status:
                print(f"{step.name} ended with {status}; the same command goes on from there", file=sys.stderr)
                return status
        record.add(step.name, (time.monotonic() - start) / 60.0)
        committed = committed and step.page
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=[], help="training clips: npz collections or AMASS folders")
    parser.add_argument("--val", nargs="+", default=[], help="validation clips")
    parser.add_argument("--out", type=Path, default=Path("runs/remake"), help="folder of runs and record")
    parser.add_argument("--only", nargs="+", choices=[s.name for s in STEPS], help="these steps alone")
    parser.add_argument("--list", action="store_true", help="say what is stale and how long it takes, and end")
    args = parser.parse_args(arguments)
    steps = [step for step in STEPS if not args.only or step.name in args.only]
    sha = sha256_of(MODELS / DEFAULT_WEIGHTS)
    record = Record(args.out, sha)
    if args.list:
        print("\n".join(listing(steps, record)))
        return 0
    if not (args.data and args.val):
        parser.error("--data and --val are needed: the clips that the lifting model was trained and validated on")
    runs = args.out / sha[:12]  # runs of other weights are finished, and would not begin anew
    runs.mkdir(parents=True, exist_ok=True)
    values = {"data": shlex.join(args.data), "val": shlex.join(args.val), "out": shlex.quote(str(runs))}
    return remake(steps, record, values, committed="changes" not in git_commit())


if __name__ == "__main__":
    sys.exit(main())
