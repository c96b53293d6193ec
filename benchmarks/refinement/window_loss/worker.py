"""What ``benchmarks.window_loss`` runs in processes of their own: first starts, and a live stream frame by frame.

    python worker.py start numba|jax|torch FRAMES
    python worker.py stream CLIPS NAME FRAMES

The first prints what a first evaluation with its gradient took. The second answers every line on its standard input
with the milliseconds of one more frame. It is run with the diffmocap of other checkouts, too.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def since(begin: tuple[float, float]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def megabytes() -> float:
    """Memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def first_start(kind: str, frames: int) -> dict:
    """Seconds of imports and of the first evaluation, beyond those of torch and of the window itself."""
    import torch

    from benchmarks.refinement.window_loss.__main__ import by_jax, live_inputs, problem_of

    window = live_inputs(frames, seed=0)
    if kind == "torch":  # the least that torch.compile can take: a function of one line
        begin, memory = (time.perf_counter(), time.process_time()), megabytes()
        x = torch.randn(96, 72, dtype=torch.float64, requires_grad=True)
        torch.compile(lambda x: (torch.sin(x) * x).sum())(x).backward()
        return {"first": since(begin), "memory_mb": megabytes() - memory}
    begin, memory = (time.perf_counter(), time.process_time()), megabytes()
    if kind == "jax":
        problem = problem_of(window)  # Numba's work, which counts for Numba alone
        begin, memory = (time.perf_counter(), time.process_time()), megabytes()
        import jax  # noqa: F401

        imported = since(begin)
        by_jax(problem)()
    else:
        import numba  # noqa: F401

        imported = since(begin)
        problem_of(window).with_gradient()
    first, status = since(begin), Path("/proc/self/status").read_text()
    threads = next(line for line in status.splitlines() if line.startswith("Threads:")).split()[1]
    return {"imports": imported, "first": first, "memory_mb": megabytes() - memory, "threads": int(threads)}


def stream(clips: str, name: str, frames: int) -> None:
    """Plays a clip with drifting errors to a refiner, one frame for every line.

    As shipped but for the time budget, so that each does the same work however long it takes.
    """
    import torch

    from diffmocap.body.mocap import load_split
    from diffmocap.body.model import BodyModel
    from diffmocap.refinement.physics_refiner import points_of
    from diffmocap.refinement.prepare import compile_all
    from diffmocap.refinement.stream.fixed_lag import FixedLagRefiner
    from diffmocap.refinement.stream.settings import LiveSettings
    from training.motions.live_streams import UP, live_stream

    torch.set_num_threads(1)
    body = BodyModel.load()
    points = points_of(body)
    compile_all(points)
    clip = next(clip for clip in load_split(clips) if clip.name == name)
    played = live_stream(clip, body, "synthetic", frames)
    refiner = FixedLagRefiner(points, LiveSettings(budget_ms=0.0), torch.tensor(UP), played.ground_height)
    print(json.dumps({"frames": len(played.frames)}), flush=True)
    # A checkout from before the track's clock has stamps in its frames, and its refiner takes nothing else.
    steps = played.steps() if hasattr(played, "steps") else ((frame,) for frame in played.frames)
    for step, _ in zip(steps, sys.stdin):
        begin = time.perf_counter(), time.process_time()
        result = refiner.step(*step)
        wall_s, cpu_s = since(begin)
        pose = None if result is None else [*result.pelvis.tolist(), result.loss_after]
        print(json.dumps({"ms": 1e3 * wall_s, "cpu_ms": 1e3 * cpu_s, "pose": pose}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "start":
        print(json.dumps(first_start(sys.argv[2], int(sys.argv[3]))))
    else:
        stream(sys.argv[2], sys.argv[3], int(sys.argv[4]))
