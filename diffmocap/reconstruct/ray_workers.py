"""Workers on several machines, by Ray; all of them see the videos and the output folder by the same paths."""

from __future__ import annotations

import os
from concurrent.futures import Future

from diffmocap.errors import SettingsError
from diffmocap.reconstruct.outcome import Outcome, attempt
from diffmocap.reconstruct.recipe import Recipe
from diffmocap.reconstruct.workers import Worker, ready


class RayWorker:
    """An actor of a cluster, on one core of whichever machine has one."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self.restart()

    def submit(self, video: str, name: str) -> Future[Outcome]:
        return self._actor.reconstruct.remote(video, name).future()

    def lost(self, error: BaseException) -> bool:
        from ray.exceptions import RayError, RayTaskError

        # An error of the task itself is a defect; all others mean that its process, machine or memory is gone.
        return isinstance(error, RayError) and not isinstance(error, RayTaskError)

    def restart(self) -> None:
        import ray

        self._actor = ray.remote(num_cpus=1)(_Actor).remote(self._recipe)

    def close(self) -> None:
        import ray

        ray.kill(self._actor)


def ray_workers(recipe: Recipe, address: str, jobs: int = 0) -> list[Worker]:
    """Workers of a running cluster.

    Args:
        address: of its head, ``HOST:PORT``, as ``ray start --head`` tells it; ``auto``: of the one on this machine.
        jobs: how many at most, 0: one for each core. There are no more than cores that are free: a worker that waits
            for one would wait with its video.

    Raises:
        SettingsError: Ray is not installed, there is no cluster at the address, or none of its cores is free.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to anyone
    try:
        import ray
    except ImportError as missing:
        raise SettingsError(
            "--ray needs Ray on every machine: pip install 'diffmocap[ray]', or: pip install ray"
        ) from missing
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise SettingsError(f"no Ray cluster at {address}: {error}; `ray start --head` begins one") from error
    free = int(ray.available_resources().get("CPU", 0))
    if not free:
        raise SettingsError(f"the Ray cluster at {address} has no core that is free; wait, or add machines to it")
    return [RayWorker(recipe) for _ in range(min(jobs or free, free))]


class _Actor:
    """In the worker's process."""

    def __init__(self, recipe: Recipe) -> None:
        self._work = ready(recipe, 1)

    def reconstruct(self, video: str, name: str) -> Outcome:
        """One video."""
        return attempt(self._work, video, name)
