"""The window loss written by hand against one by a framework: ``python -m benchmarks.window_loss --before CHECKOUT``.

Numba compiles the product's loss, whose terms bring their own adjoints; jax, which is no requirement of the package and
must be installed for this, differentiates ``benchmarks/refinement/window_loss/law_in_jax.py``. Both get the same
windows of drifting synthetic errors and unknowns off the minimum, by turns in one process, so that a change of the
machine's mood meets both. First starts run in processes of their own, with an empty cache and again with what that
left; so does the least that ``torch.compile`` can take, a function of one line. CHECKOUT is another checkout of
diffmocap, for example a ``git worktree`` of the commit before the loss was changed: two processes refine one stream,
frame by frame by turns. Milliseconds are of the clock and of the processor, all threads. Writes a dated page to
``benchmarks/results``.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.page.command import benchmark_parser
from benchmarks.page.report import REPOSITORY, RESULTS, Page, mocap_file, page_arguments, provenance
from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.physics.ground import Ground
from diffmocap.refinement.physics_refiner import points_of
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.stream.task import live_window
from diffmocap.refinement.stream.window_buffer import WindowBuffer
from diffmocap.refinement.window.loss import WindowLoss
from diffmocap.refinement.window.parameters import WindowParameters
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.window import Window
from training.motions.live_streams import UP, live_stream

WORKER = Path(__file__).with_name("worker.py")
#: A walk of the validation motions, and the frames of the windows: the live one's and the longest common one.
CLIP, LENGTHS = "39_01", (24, 32)
#: Frames and knots that windows are padded to.
PADDED, KNOTS = 32, 11
#: Standard deviation of the unknowns, in their units.
SPREAD = 0.4
#: First frames of a stream that do not count: windows are short.
WARM_UP = 30
#: Variables that name the folders in which each caches what it compiled.
CACHES = {
    "numba": "NUMBA_CACHE_DIR", "jax": "JAX_COMPILATION_CACHE_DIR", "torch": "TORCHINDUCTOR_CACHE_DIR",
}  # fmt: skip
HAS_JAX = importlib.util.find_spec("jax") is not None


@dataclass(frozen=True)
class Problem:
    """One window, its loss and unknowns [Q, 75] off the minimum."""

    loss: WindowLoss
    parameters: WindowParameters
    x: torch.Tensor

    def with_gradient(self) -> tuple[float, np.ndarray]:
        """Loss and gradient [Q, 75] by the product, from arrays to arrays."""
        from diffmocap.refinement.kernels.kinematics import decode, decode_vjp

        ((knots, unknowns),) = self.parameters.by_row(self.x)
        rotations, pelvis, jacobians = decode(knots, unknowns)
        found = self.loss.evaluate(0, rotations, pelvis, with_gradient=True)
        return self.loss.value_of(found), decode_vjp(found.of_turns, found.of_pelvis, unknowns, jacobians)

    def value(self) -> np.ndarray:
        """Terms [11] by the product."""
        from diffmocap.refinement.kernels.kinematics import decode

        ((knots, unknowns),) = self.parameters.by_row(self.x)
        return self.loss.evaluate(0, *decode(knots, unknowns)[:2]).squares


def live_inputs(frames: int, seed: int) -> Window:
    """A window of a walk as the live refinement has it, float64."""
    clip = next(clip for clip in load_split(mocap_file("val")) if clip.name == CLIP)
    stream, settings = live_stream(clip, BodyModel.load(), "synthetic", frames, seed=seed), LiveSettings()
    buffer = WindowBuffer(frames, settings.hypotheses)
    for frame, dt_s, _ in stream.steps():
        buffer.push(frame, dt_s)
    ground = Ground(torch.tensor(UP), torch.tensor(stream.ground_height))
    return live_window(buffer, ground, settings).to(dtype=torch.float64)


def problem_of(window: Window, seed: int = 0) -> Problem:
    """Around the smoothed hypotheses."""
    reference = reference_motion(window)
    parameters = WindowParameters.around(*reference)
    loss = WindowLoss(window, points_of(BodyModel.load()), *reference, LiveSettings().weights)
    x = SPREAD * torch.randn(1, *parameters.shape, generator=torch.Generator().manual_seed(seed)).double()
    return Problem(loss, parameters, x.flatten(1))


def by_jax(problem: Problem) -> Callable[[], tuple[float, np.ndarray]]:
    """:meth:`Problem.with_gradient` by jax; its ``value`` the terms."""
    import jax

    from benchmarks.refinement.window_loss import law_in_jax as law

    loss, ((knots, unknowns),) = problem.loss, problem.parameters.by_row(problem.x)
    window = law.padded(loss.points.constants, loss._given[0], unknowns, loss._weights, PADDED, KNOTS)
    x = np.zeros((KNOTS, knots.shape[1]))
    x[: len(knots)] = knots
    both = jax.jit(jax.value_and_grad(law.loss))
    values = jax.jit(lambda x, window: law.terms(*law.decode(x, window.unknowns), window)[0])

    def call() -> tuple[float, np.ndarray]:
        loss, gradient = both(x, window)
        return float(loss), np.asarray(gradient)[: len(knots)]

    call.value = lambda: np.asarray(values(x, window))
    call.law, call.window, call.x = law.loss, window, x
    return call


def agreement(problem: Problem, other: Callable) -> tuple[float, float]:
    """Largest relative difference of a term, and of the gradient relative to its largest entry."""
    wanted, slope = problem.value(), problem.with_gradient()[1]
    terms = float(np.abs(other.value() / np.where(wanted == 0, 1, wanted) - (wanted != 0)).max())
    return terms, float(np.abs(other()[1] - slope).max() / np.abs(slope).max())


def by_turns(calls: dict[str, Callable], rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each call, one after the other so many times."""
    taken = {name: ([], []) for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            taken[name][0].append(time.perf_counter() - wall)
            taken[name][1].append(time.process_time() - cpu)
    return {
        name: {"least": 1e3 * min(wall), "median": 1e3 * float(np.median(wall)), "cpu": 1e3 * float(np.mean(cpu))}
        for name, (wall, cpu) in taken.items()
    }


def behaviour(other: Callable) -> dict[str, bool]:
    """What a framework gives beside the gradient."""
    import jax
    import jax.numpy as jnp

    lost = np.array(other.x)
    lost[2, 3] = np.nan
    gradient = jax.grad(other.law)
    several = jax.vmap(gradient, (0, None))(jnp.stack([other.x, 2 * other.x]), other.window)
    direction = np.random.default_rng(0).normal(size=other.x.shape)
    slope = jax.jvp(lambda x: gradient(x, other.window), (other.x,), (direction,))[1]
    h = 1e-5
    above, below = (gradient(other.x + step * direction, other.window) for step in (h, -h))
    numeric = (above - below) / (2 * h)
    return {
        "NaN in, NaN out": bool(np.isnan(other.law(lost, other.window))),
        "batches": bool(np.allclose(several[0], gradient(other.x, other.window), rtol=1e-9)),
        "second order": bool(np.allclose(slope, numeric, rtol=1e-3, atol=1e-3 * float(np.abs(numeric).max()))),
    }


def first_starts() -> dict[str, dict[str, dict]]:
    """Of each kind, with an empty cache and with what that left."""
    found = {}
    for kind in CACHES:
        if kind == "jax" and not HAS_JAX:
            continue
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {
                CACHES[kind]: folder, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1", "PYTHONPATH": str(REPOSITORY),
            }  # fmt: skip
            command = [sys.executable, str(WORKER), "start", kind, str(PADDED)]
            runs = []
            for _ in range(2):
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
                last = (done.stdout.strip().splitlines() or [""])[-1]
                runs.append(json.loads(last) if done.returncode == 0 else {"error": done.stderr.strip()[-300:]})
            found[kind] = {"empty cache": runs[0], "warm cache": runs[1]}
    return found


class Played:
    """A live stream in a process of its own, with the diffmocap of a checkout."""

    def __init__(self, checkout: Path, clips: Path, frames: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), "stream", str(clips), CLIP, str(frames)], cwd=checkout, text=True,
            env=os.environ | {"PYTHONPATH": str(checkout)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self.frames = json.loads(self._process.stdout.readline())["frames"]

    def step(self) -> dict:
        """One more frame."""
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def live_frames(before: Path, clips: Path, frames: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a frame before and after, and the largest difference of what came out [m]."""
    played = {"before": Played(before, clips, frames), "after": Played(REPOSITORY, clips, frames)}
    taken, apart = {name: [] for name in played}, 0.0
    for _ in range(min(one.frames for one in played.values())):
        answers = {name: one.step() for name, one in played.items()}
        for name, answer in answers.items():
            taken[name].append((answer["ms"], answer["cpu_ms"]))
        poses = [answer["pose"] for answer in answers.values()]
        if None not in poses:
            apart = max(apart, float(np.abs(np.subtract(*[pose[:3] for pose in poses])).max()))
    for one in played.values():
        one.close()
    found = {}
    for name, values in taken.items():
        wall, cpu = np.array(values[WARM_UP:]).T
        found[name] = {"p50": float(np.median(wall)), "cpu": float(np.median(cpu)), "least": float(wall.min())}
    found["apart_m"] = apart
    return found


def megabytes(*packages: str) -> float:
    """Size on disk of installed packages."""
    total = 0
    for package in packages:
        spec = importlib.util.find_spec(package)
        folder = Path(spec.origin).parent
        total += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return total / 1e6


def evaluations(rounds: int) -> list[str]:
    """Agreement and milliseconds of single evaluations."""
    lines = ["## One evaluation", "", "| frames | | least ms | median ms | processor ms |", "|---|---|---|---|---|"]
    remarks = []
    for frames in LENGTHS:
        problem = problem_of(live_inputs(frames, seed=frames))
        calls = {"Numba, with gradient": problem.with_gradient, "Numba, value": problem.value}
        if HAS_JAX:
            other = by_jax(problem)
            calls |= {"jax, with gradient": other, "jax, value": other.value}
            terms, gradient = agreement(problem, other)
            remarks.append(
                f"{frames} frames: terms agree to {terms:.1e}, gradients to {gradient:.1e} of the largest entry."
            )
        for call in calls.values():
            call()
        for name, ms in by_turns(calls, rounds).items():
            lines.append(f"| {frames} | {name} | {ms['least']:.2f} | {ms['median']:.2f} | {ms['cpu']:.2f} |")
    if HAS_JAX:
        told = behaviour(other)
        remarks.append("jax: " + "; ".join(f"{name}: {'yes' if yes else 'no'}" for name, yes in told.items()) + ".")
    return [*lines, "", *remarks]


def starts() -> list[str]:
    """First starts and sizes on disk."""
    lines = ["## First start", "", "Seconds beyond those of torch: clock, processor.", ""]
    lines += ["| | cache | imports | with the first evaluation | memory MB | threads |", "|---|---|---|---|---|---|"]
    names = {"numba": "Numba", "jax": "jax", "torch": "torch.compile, one line"}
    for kind, runs in first_starts().items():
        for cache, run in runs.items():
            if "error" in run:
                cells = [f"failed: {run['error']}", "", "", ""]
            else:
                seconds = (
                    ", ".join(f"{s:.2f}" for s in run[key]) if key in run else "-" for key in ("imports", "first")
                )
                cells = [*seconds, f"{run['memory_mb']:.0f}", str(run.get("threads", "-"))]
            lines.append(f"| {names[kind]} | {cache} | {' | '.join(cells)} |")
    sizes = f"On disk: Numba and llvmlite {megabytes('numba', 'llvmlite'):.0f} MB"
    if HAS_JAX:
        sizes += (
            f"; jax, jaxlib, ml_dtypes and opt_einsum {megabytes('jax', 'jaxlib', 'ml_dtypes', 'opt_einsum'):.0f} MB"
        )
    return [*lines, "", sizes + "."]


def live(before: Path, frames: int) -> list[str]:
    """Frames of a stream before and after."""
    found = live_frames(before.resolve(), mocap_file("val").resolve(), frames)
    lines = ["## A live frame", "", "| | p50 ms | median processor ms | least ms |", "|---|---|---|---|"]
    for name in ("before", "after"):
        ms = found[name]
        lines.append(f"| {name} | {ms['p50']:.2f} | {ms['cpu']:.2f} | {ms['least']:.2f} |")
    return [*lines, "", f"The published pelvis differs by {found['apart_m']:.1e} m at most."]


def main(arguments: list[str] | None = None) -> None:
    """Measures and writes the page."""
    parser = benchmark_parser(__doc__)
    parser.add_argument("--before", type=Path, help="checkout of the state before; default: no live frames")
    parser.add_argument("--rounds", type=int, default=1000, help="evaluations of each kind")
    parser.add_argument("--frames", type=int, default=200, help="of the live stream")
    parser.add_argument("--remarks", type=Path, help="file whose text follows the tables")
    parser.add_argument("--out", type=Path, help="page to write; default: benchmarks/results, dated")
    options = page_arguments(parser, arguments)
    torch.set_num_threads(1)
    head = provenance("benchmarks.window_loss", f"`{mocap_file('val').name}`, {CLIP}")
    parts = [["# The window loss: by hand and by a framework", "", *head], evaluations(options.rounds), starts()]
    if options.before:
        parts.append(live(options.before, options.frames))
    if options.remarks:
        parts.append([options.remarks.read_text().strip()])
    page = "\n\n".join("\n".join(part) for part in parts)
    out = options.out or Page.of_today("window-loss", RESULTS).path
    out.write_text(page + "\n")
    print(page)


if __name__ == "__main__":
    main()
