from __future__ import annotations

import threading

import pytest

from diffmocap.nodes.worker import LatestWorker


class Gate:
    """Work that waits to be let through."""

    def __init__(self):
        self.done, self.open, self.begun = [], threading.Event(), threading.Semaphore(0)

    def __call__(self, item):
        self.begun.release()
        assert self.open.wait(5)
        self.done.append(item)
        if item == "bad":
            raise ValueError("bad item")


@pytest.mark.parametrize("depth, expected", [(1, [0, 4]), (2, [0, 3, 4]), (8, [0, 1, 2, 3, 4])])
def test_the_newest_items_are_worked_on(depth, expected):
    gate = Gate()
    worker = LatestWorker(gate, pytest.fail, depth)
    worker.put(0)
    assert gate.begun.acquire(timeout=60)  # 0 is in work, the others wait
    dropped = sum(worker.put(i) for i in range(1, 5))
    gate.open.set()
    for _ in expected[1:]:
        assert gate.begun.acquire(timeout=60)
    assert worker.stop()
    assert gate.done == expected and dropped == worker.dropped == 5 - len(expected)


def test_a_failure_is_told_and_the_worker_lives_on():
    gate, failures = Gate(), []
    gate.open.set()
    worker = LatestWorker(gate, failures.append, depth=2)
    worker.put("bad")
    worker.put("good")
    for _ in range(2):
        assert gate.begun.acquire(timeout=60)
    assert worker.stop()
    assert gate.done == ["bad", "good"] and [str(error) for error in failures] == ["bad item"]


def test_stop_finishes_what_is_in_work_only():
    gate = Gate()
    worker = LatestWorker(gate, pytest.fail)
    worker.put("first")
    assert gate.begun.acquire(timeout=60)
    worker.put("second")
    stopped = []
    stopper = threading.Thread(target=lambda: stopped.append(worker.stop()))
    stopper.start()
    gate.open.set()
    stopper.join(5)
    assert stopped == [True] and gate.done == ["first"]


def test_a_smaller_depth_takes_effect_with_the_next_item():
    gate = Gate()
    worker = LatestWorker(gate, pytest.fail, depth=8)
    worker.put(0)
    assert gate.begun.acquire(timeout=60)
    for item in range(1, 5):
        worker.put(item)
    worker.depth = 1
    assert worker.put(5) == 4
    gate.open.set()
    assert gate.begun.acquire(timeout=60)
    worker.stop()
    assert gate.done == [0, 5]
