"""Several videos at a time, each by a process of its own; a process that dies takes nothing with it but its seconds."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, Any, Protocol

from diffmocap.reconstruct.outcome import Outcome, attempt
from diffmocap.reconstruct.recipe import Recipe

if TYPE_CHECKING:
    from diffmocap.reconstruct.work import Reconstructor

#: How often a video is begun whose worker dies.
ATTEMPTS = 2
_work: Any = None  # of a worker's process: a Reconstructor, or why there is none


class Worker(Protocol):
    """Does one video at a time."""

    def submit(self, video: str, name: str) -> Future[Outcome]:
        """Begins a video; the result is its outcome, or what :meth:`lost` knows."""

    def lost(self, error: BaseException) -> bool:
        """Whether this error of a result says that the worker died."""

    def restart(self) -> None:
        """After it died."""

    def close(self) -> None:
        """Ends it at once."""


class LocalWorker:
    """A process of this machine.

    Args:
        recipe: is sent to it; models are loaded there. cores: that it runs on.
    """

    def __init__(self, recipe: Recipe, cores: set[int]) -> None:
        self._recipe, self._cores = recipe, cores
        self._begin()

    def submit(self, video: str, name: str) -> Future[Outcome]:
        try:
            return self._pool.submit(_reconstruct, video, name)
        except BrokenProcessPool:  # it died before it had anything to do
            self.restart()
            return self._pool.submit(_reconstruct, video, name)

    def lost(self, error: BaseException) -> bool:
        return isinstance(error, BrokenProcessPool)

    def restart(self) -> None:
        self._pool.shutdown(wait=False)
        self._begin()

    def close(self) -> None:
        for process in self._processes:
            process.terminate()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self) -> None:
        # Spawned: a forked process would inherit the locks of this one's threads.
        context = multiprocessing.get_context("spawn")
        others = set(multiprocessing.active_children())
        # A terminal interrupts all of its processes: the one that shares videos out ends the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._pool = ProcessPoolExecutor(1, context, _begin, (self._recipe, self._cores))
        self._pool.submit(os.getpid)  # begins the process
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._processes = set(multiprocessing.active_children()) - others


def local_workers(recipe: Recipe, jobs: int) -> list[Worker]:
    """So many, each on cores of its own as far as there are enough.

    Threads of the detector spin while they wait for each other: on shared cores that is time of the other workers.
    """
    cores = sorted(os.sched_getaffinity(0))
    return [LocalWorker(recipe, set(cores[job::jobs]) or {cores[job % len(cores)]}) for job in range(jobs)]


def outcomes_of(videos: Sequence[tuple[str, str]], workers: Sequence[Worker]) -> Iterator[Outcome]:
    """The outcomes of videos and their names, as they come; the workers are ended with it, however that is.

    A video whose worker dies is begun anew, :data:`ATTEMPTS` times in all.
    """
    waiting = deque((video, name, 1) for video, name in videos)
    idle, running = list(workers), {}
    try:
        while waiting or running:
            while waiting and idle:
                video, name, tries = waiting.popleft()
                worker = idle.pop()
                running[worker.submit(video, name)] = worker, video, name, tries
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                worker, video, name, tries = running.pop(future)
                error = future.exception()
                idle.append(worker)
                if error is None:
                    yield future.result()
                elif not worker.lost(error):
                    raise error
                else:
                    worker.restart()
                    if tries < ATTEMPTS:
                        waiting.appendleft((video, name, tries + 1))
                    else:
                        yield Outcome(video, error=f"its worker died {tries} times: is there enough memory?")
    finally:
        for worker in workers:
            worker.close()


def ready(recipe: Recipe, threads: int) -> Reconstructor:
    """Who works in a worker's process, where libraries may use so many threads."""
    import torch

    from diffmocap.camera.threads import limit_threads
    from diffmocap.reconstruct.work import Reconstructor

    limit_threads(threads)
    torch.set_num_threads(threads)
    return Reconstructor(recipe)


def _begin(recipe: Recipe, cores: set[int]) -> None:
    """In the worker's process, before its first video."""
    global _work
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    os.sched_setaffinity(0, cores)  # before libraries look how many there are
    try:
        _work = ready(recipe, len(cores))
    except Exception as error:
        _work = error


def _end_with_the_parent() -> None:
    """Also where that is killed and can end nobody."""
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


def _reconstruct(video: str, name: str) -> Outcome:
    if isinstance(_work, Exception):
        raise _work
    return attempt(_work, video, name)
