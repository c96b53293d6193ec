"""How far MediaPipe's points are from the body model's keypoints: ``python -m benchmarks.detector_gap``.

Films of the training split are drawn (once), MediaPipe detects, and its landmarks are compared with the truth.
``--fit`` also fits the landmark mapping and the bank of what it leaves over, and ships both to ``models/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.detector.crop import crop_view
from benchmarks.detector.mapping_fit import fit_mapping, held_out
from benchmarks.detector.noise_bank import noise_bank
from benchmarks.report import REPOSITORY, commit, mocap_file
from benchmarks.synthetic.detections import Detections, detections
from diffmocap.keypoints.landmark_mapping import DEFAULT_MAPPING, LandmarkMapping
from diffmocap.lifting.detector_noise import DEFAULT_NOISE
from training.manifest import ACKNOWLEDGEMENT, MODELS, write_entry


def ship(d: Detections, mapping: LandmarkMapping, bank: dict[str, np.ndarray], mocap: Path) -> None:
    """Write the two files and their entries in the manifest."""
    np.savez_compressed(
        MODELS / DEFAULT_MAPPING, points=mapping.points.astype(np.float32), depth=mapping.depth.astype(np.float32),
        depth_offset=mapping.depth_offset.astype(np.float32),
    )  # fmt: skip
    np.savez_compressed(MODELS / DEFAULT_NOISE, **bank)
    entry = {
        "command": "python -m benchmarks.detector_gap " + " ".join(sys.argv[1:]), "commit": commit(),
        "licence": "Apache-2.0",
        "data": {"clips": [mocap.name], "films": len(d.clip), "frames": len(d.film), "acknowledgement": ACKNOWLEDGEMENT},
        "source": "MediaPipe 0.10.21 (pose full) on rendered bodies; numbers only",
    }  # fmt: skip
    write_entry(MODELS, DEFAULT_MAPPING, {"kind": "landmark mapping", **entry})
    write_entry(MODELS, DEFAULT_NOISE, {"kind": "detector noise", "bank_frames": len(bank["yaw"]), **entry})


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="fit mapping and noise bank, ship them to models/")
    parser.add_argument("--data", help="clips to film (default: the training split; see benchmarks/README.md)")
    parser.add_argument("--films", type=Path, default=REPOSITORY / ".cache" / "synthetic" / "detector")
    args = parser.parse_args()
    mocap = mocap_file("train", args.data)
    films = sorted(p.with_suffix(".mp4") for p in args.films.glob("*_*deg_*.npz"))
    d = detections(films, args.films)
    view = crop_view(d)
    points, depth = held_out(view)
    error = lambda p: np.linalg.norm(p - view.truth, axis=-1)[view.seen]
    print("held out", error(points).mean(), np.median(error(points)))
    if args.fit:
        ship(d, fit_mapping(view), noise_bank(d, view, points, depth), mocap)


if __name__ == "__main__":
    main()
