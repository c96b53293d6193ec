from __future__ import annotations

import threading
import time

from diffmocap.nodes import flow_control
from diffmocap.nodes.flow_control import FlowControl

NEVER = threading.Event()


def flow(max_in_flight=2, timeout_s=60.0) -> FlowControl:
    return FlowControl(lambda: max_in_flight, lambda: timeout_s)


def test_so_many_frames_and_no_more_are_under_way():
    control = flow()
    for stamp in (10, 20):
        assert control.wait_for_room(NEVER, 0.0)
        control.sent(stamp)
    assert not control.wait_for_room(NEVER, 0.01)
    control.acknowledged(10)
    assert control.wait_for_room(NEVER, 0.0) and control.take_lost() == 0


def test_an_acknowledgement_covers_what_was_sent_before():
    control = flow()
    control.sent(10)
    control.sent(20)
    control.acknowledged(20)
    assert control.wait_for_room(NEVER, 0.0)
    assert (control.take_lost(), control.take_lost()) == (1, 0)
    control.wait_until_empty(NEVER)


def test_foreign_and_repeated_acknowledgements_are_ignored():
    control = flow(1)
    control.sent(10)
    control.acknowledged(99)
    assert not control.wait_for_room(NEVER, 0.0)
    control.acknowledged(10)
    control.acknowledged(10)
    assert control.wait_for_room(NEVER, 0.0) and control.take_lost() == 0


def test_a_lost_frame_never_stops_the_flow(monkeypatch):
    monkeypatch.setattr(flow_control, "START_TIMEOUT_S", 0.0)
    control = flow(1, timeout_s=0.02)
    control.sent(10)
    give_up = time.monotonic() + 5
    while not control.wait_for_room(NEVER, 0.01):
        assert time.monotonic() < give_up
    assert control.take_lost() == 1


def test_the_first_frames_have_more_time():
    control = flow(1, timeout_s=0.001)
    control.sent(10)
    assert not control.wait_for_room(NEVER, 0.05)  # models still warm up
    control.acknowledged(10)
    control.sent(20)
    time.sleep(0.01)
    assert control.wait_for_room(NEVER, 0.05) and control.take_lost() == 1


def test_a_stop_ends_the_waiting():
    control = flow(1)
    control.sent(10)
    stop = threading.Event()
    stop.set()
    assert not control.wait_for_room(stop, 5.0)
    control.wait_until_empty(stop)


def test_an_acknowledgement_wakes_the_waiting_thread():
    control = flow(1)
    control.sent(10)
    threading.Timer(0.05, control.acknowledged, (10,)).start()
    assert control.wait_for_room(NEVER, 10.0)
