"""SIGINT and SIGTERM at any moment: real processes, real imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

SCRIPT = """
import sys, time
from diffmocap.nodes.interruption import take_signals
interruption = take_signals()
def note(): print("told", flush=True)
exec(sys.argv[1])
"""


def run(program: str, *sent: signal.Signals, environment: dict | None = None) -> tuple[int, str]:
    """Exit code and output of a program that gets signals once it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    for number in sent:
        process.send_signal(number)
        time.sleep(0.05)
    output, _ = process.communicate(timeout=60)
    return process.returncode, output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_nothing_has_to_be_closed_the_process_ends_at_once(number):
    assert run("print('ready', flush=True); time.sleep(60)", number) == (0, "")
    # Also where the main thread does not get to run Python.
    stuck = "import ctypes; print('ready', flush=True); ctypes.CDLL(None).sleep(60)"
    assert run(stuck, number) == (0, "")


def test_a_node_is_told_once_and_closes_by_itself():
    program = """
import threading
done = threading.Event()
def note(): print("told", flush=True); done.set()
interruption.on_signal = note
print("ready", flush=True)
done.wait()
interruption.closed()
time.sleep(0.3)
print("closed", flush=True)
sys.exit(5)
"""
    assert run(program, signal.SIGINT, signal.SIGINT, signal.SIGTERM) == (5, "told\nclosed\n")


def test_a_node_that_cannot_close_is_ended():
    program = "interruption.on_signal = note; print('ready', flush=True); time.sleep(60)"
    assert run(program, signal.SIGINT) == (0, "told\n")


def test_signals_that_a_parent_held_back_are_taken_up():
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmocap.nodes.start", "camera_node"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM)),
    )
    os.kill(process.pid, signal.SIGINT)  # long before Python can take it
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")


@pytest.mark.parametrize("delay_s", [0.1, 0.4, 1.0])
def test_a_node_that_is_still_importing_ends_without_a_word(delay_s):
    pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")
    process = subprocess.Popen(
        [sys.executable, "-m", "diffmocap.nodes.start", "pose_node"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM)),
    )
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "")


def test_a_node_that_cannot_be_imported_says_what_is_missing():
    blocker = "import sys; sys.modules['torch'] = None; from diffmocap.nodes.start import *; sys.exit(pose_node())"
    pytest.importorskip("rclpy", reason="needs ROS 2: run `make test`, or source a ROS 2 install")
    done = subprocess.run([sys.executable, "-c", blocker], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "[FATAL] [pose_node]" in line and "torch" in line and "diffmocap doctor" in line
