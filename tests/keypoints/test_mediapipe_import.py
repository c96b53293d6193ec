from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from diffmocap.keypoints import mediapipe_import

#: Opens and closes a detector, then lives on for as long as a report would take.
PROGRAM = """
import numpy, time
from diffmocap.keypoints.mediapipe_detector import Detector
from diffmocap.types import Frame
with Detector() as detector:
    for i in range(3):
        detector.detect(Frame(numpy.zeros((64, 64, 3), numpy.uint8), i))
time.sleep(1.0)
"""


def test_no_report_leaves_the_process():
    """A user's own proxy stands here for the network; the detector's library would report through it."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(0.1)
        environment = os.environ | {"https_proxy": f"http://127.0.0.1:{proxy.getsockname()[1]}", "no_proxy": ""}
        started = subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment)
        calls, deadline = [], time.monotonic() + 120
        while started.poll() is None and time.monotonic() < deadline:
            try:
                connection, _ = proxy.accept()
                calls.append(connection.recv(200))
                connection.close()
            except TimeoutError:
                pass
    assert started.wait(timeout=10) == 0
    assert not calls, calls


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("*", ""), ("localhost,.googleapis.com", "localhost"), ("com, 10.0.0.0/8", "10.0.0.0/8"),
        ("play.googleapis.com", ""), ("camera.lan,example.com", "camera.lan,example.com"), ("s.com", "s.com"),
    ],
)  # fmt: skip
def test_hosts_without_proxy_stay_but_for_the_one_of_the_reports(monkeypatch, before, after):
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, before)
    mediapipe_import.refuse_reports()
    assert os.environ["https_proxy"].startswith("none://")
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after


def test_sound_is_not_imported_but_can_be_by_others():
    program = (
        "import sys\n"
        "from diffmocap.keypoints.mediapipe_import import import_mediapipe\n"
        "import_mediapipe()\n"
        "print('sounddevice' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "False\n", done.stderr
