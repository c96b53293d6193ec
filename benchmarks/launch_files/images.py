"""Images received by keypoint_node of images published, at 30 Hz, with the defaults and otherwise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import yaml

from benchmarks.launch_files.case import Observer, Row, Work, of_node
from benchmarks.launch_files.driver import __file__ as driver_file
from benchmarks.launch_files.install import Launch
from diffmocap.middleware.network import LOCAL, network

SIZES = ((640, 480), (1280, 720))
ASKED = 0.99
AT_ITS_END = r"is at its end"
SETTLE_S = 4.0  # diagnostics come once a second
TOPIC = "/driver/image_raw"


def images(work: Work) -> Iterator[Row]:
    for width, height in SIZES:
        clip = resized(work.clip, work.folder, width, height)
        yield _played(work, f"{width}x{height}, camera_node, defaults", clip, asked=ASKED)
    small = resized(work.clip, work.folder, *SIZES[0])
    yield _played(work, "640x480, as before: no profile, best effort at both ends", small, **_as_before(work))
    yield _driven(work, "640x480, another driver: reliable, no profile", small, "reliable", {}, ASKED)
    profile = network(LOCAL, work.install.environment).variables
    name = "640x480, another driver: best effort, the profile exported"
    yield _driven(work, name, small, "best_effort", profile, ASKED)
    yield _driven(work, "640x480, another driver: best effort, no profile", small, "best_effort", {}, None)


def resized(clip: Path, folder: Path, width: int, height: int) -> Path:
    """The clip at another size, fitted into its height; the clip itself where it has that size."""
    video = cv2.VideoCapture(str(clip))
    if (video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (width, height):
        return clip
    made = folder / f"{width}x{height}.mp4"
    if not made.exists():
        writer = cv2.VideoWriter(
            str(made), cv2.VideoWriter_fourcc(*"mp4v"), video.get(cv2.CAP_PROP_FPS), (width, height)
        )
        while (read := video.read())[0]:
            scale = height / read[1].shape[0]
            image = cv2.resize(read[1], None, fx=scale, fy=scale)
            side = (width - image.shape[1]) // 2
            rest = width - image.shape[1] - side
            writer.write(cv2.copyMakeBorder(image, 0, 0, side, rest, cv2.BORDER_REPLICATE))
        writer.release()
    return made


def _as_before(work: Work) -> dict:
    """The variables and the parameter file that give what an install's defaults gave."""
    file = work.folder / "best_effort.yaml"
    nodes = ("camera_node", "keypoint_node")
    file.write_text(yaml.safe_dump({f"/**/{n}": {"ros__parameters": {"reliability": "best_effort"}} for n in nodes}))
    return {"variables": {"FASTDDS_BUILTIN_TRANSPORTS": "DEFAULT"}, "arguments": {"params_file": str(file)}}


def _played(work: Work, what: str, clip: Path, asked=None, variables=None, arguments=None) -> Row:
    given = {"video": str(clip), "rviz": "false", **(arguments or {})}
    log = work.folder / "images.log"
    with Observer(work.install) as observer, Launch(work.install, "replay.launch.py", given, log, variables) as launch:
        launch.wait_for(AT_ITS_END)
        time.sleep(SETTLE_S)
        diagnostics = observer.report()["diagnostics"]
    published = int(of_node(diagnostics, "camera_node")["frames"])
    return _row(what, published, of_node(diagnostics, "keypoint_node"), asked)


def _driven(work: Work, what: str, clip: Path, reliability: str, variables: dict, asked: float | None) -> Row:
    given = {"camera": "false", "image_topic": TOPIC, "rviz": "false"}
    log = work.folder / "images.log"
    with Observer(work.install) as observer, Launch(work.install, "webcam.launch.py", given, log) as launch:
        launch.wait_until_active("keypoint_node")
        driver = work.install.python(driver_file, str(clip), reliability, variables=variables)
        try:
            published = int(driver.stdout.readline())
            time.sleep(SETTLE_S)
            diagnostics = observer.report()["diagnostics"]
        finally:
            driver.kill()
            driver.wait()
    return _row(what, published, of_node(diagnostics, "keypoint_node"), asked)


def _row(what: str, published: int, keypoint_node: dict, asked: float | None) -> Row:
    received = int(keypoint_node["images"]) + int(keypoint_node["dropped"])
    share = received / published
    measured = f"{received} of {published} ({100 * share:.1f} %)"
    if "missing" in keypoint_node:
        measured += f"; {keypoint_node['missing']} missing by the stamps"
    if asked is None:
        return Row(what, measured)
    return Row(what, measured, f"{100 * asked:.0f} % or more", share >= asked)
