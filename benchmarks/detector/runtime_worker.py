"""One detector in a process of its own, controlled by lines of JSON: the other half of ``runtimes.py``.

It is run as a file, under the Python and with the checkout of the runtime that is measured, so it imports nothing of
``benchmarks`` and of ``diffmocap`` only what every version has. Every line on stdin is answered by one on stdout:

    {"do": "load", "film": PATH, "count": N}            the images to measure with
    {"do": "time", "images": N, "period_s": S}          detect the next N images, one every S seconds (0: at once)
    {"do": "rest", "seconds": S}                        do nothing
    {"do": "detect", "film": PATH, "out": PATH}         detect a whole film, from a new detector, into an .npz
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

started = time.perf_counter()

import cv2  # noqa: E402
import numpy as np  # noqa: E402

from diffmocap.keypoints.mediapipe_detector import Detector  # noqa: E402
from diffmocap.types import Frame  # noqa: E402


def images_of(film: str, count: int = sys.maxsize) -> tuple[list[np.ndarray], float]:
    """The first images of a film, and its rate."""
    video = cv2.VideoCapture(film)
    fps = video.get(cv2.CAP_PROP_FPS)
    images: list[np.ndarray] = []
    while len(images) < count:
        ok, image = video.read()
        if not ok:
            break
        images.append(image)
    return images, fps


def threads() -> int:
    """Threads of this process."""
    return len(os.listdir("/proc/self/task"))


def resident_mb() -> float:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def detect_film(film: str, out: str) -> dict[str, float]:
    """Keypoints, confidences, depths and world landmarks of every image of a film; NaN where nobody was seen."""
    rows: dict[str, list[np.ndarray]] = {"points_px": [], "confidence": [], "depth_m": [], "world_m": []}
    images, fps = images_of(film)
    stamps_ns = [round(i * 1e9 / fps) for i in range(len(images))]
    with Detector() as detector:
        for image, stamp_ns in zip(images, stamps_ns):
            found = detector.detect_full(Frame(image, stamp_ns))
            keypoints = found.keypoints
            nobody = found.world_landmarks is None
            depth = keypoints.depth_m if keypoints.depth_m is not None else np.full(25, np.nan)
            rows["points_px"].append(keypoints.points_px)
            rows["confidence"].append(keypoints.confidence)
            rows["depth_m"].append(depth)
            rows["world_m"].append(np.full((33, 3), np.nan) if nobody else found.world_landmarks)
    np.savez(out, stamp_ns=stamps_ns, **rows)
    return {"images": len(images), "found": int(np.isfinite(np.array(rows["world_m"])[:, 0, 0]).sum())}


def main() -> None:
    """Answers until stdin ends."""
    detector = Detector()
    first = {"start_s": time.perf_counter() - started, "name": detector.name, "threads": threads()}
    images: list[np.ndarray] = []
    fps, shown = 30.0, 0
    print(json.dumps(first), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        answer: dict[str, object] = {}
        if order["do"] == "load":
            images, fps = images_of(order["film"], order["count"])
        elif order["do"] == "time":
            times_ms, cpu_s, due_s = [], time.process_time(), time.perf_counter()
            for _ in range(order["images"]):
                time.sleep(max(0.0, due_s - time.perf_counter()))
                due_s = max(due_s + order["period_s"], time.perf_counter() if not order["period_s"] else 0.0)
                image = images[shown % len(images)]
                begun_s = time.perf_counter()
                detector.detect(Frame(image, round(shown * 1e9 / fps)))
                times_ms.append(1e3 * (time.perf_counter() - begun_s))
                shown += 1
            cpu_ms = 1e3 * (time.process_time() - cpu_s) / order["images"]
            answer = {"times_ms": times_ms, "cpu_ms": cpu_ms, "threads": threads(), "resident_mb": resident_mb()}
        elif order["do"] == "rest":
            cpu_s = time.process_time()
            time.sleep(order["seconds"])
            answer = {"cpu_share": (time.process_time() - cpu_s) / order["seconds"]}
        elif order["do"] == "detect":
            answer = dict(detect_film(order["film"], order["out"]))
        print(json.dumps(answer), flush=True)
    detector.close()


if __name__ == "__main__":
    main()
