"""Cuts the motions of the tests out of the three splits of motion capture; see README.md beside this file.

    python tests/data/cut_motions.py FOLDER

FOLDER holds ``cmu_smpl30_train.npz``, ``..._val.npz`` and ``..._test.npz``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parent / "cmu"
#: Take and, where not all of it is kept, its first frames or a stretch of them.
KEPT = {
    "train": {
        "07_01": (0, 60), "14_28": (0, 50), "16_03": (20, 90), "16_05": (0, 74), "35_01": (0, 60),
    },
    "val": {
        "135_02.0": (80, 190), "135_03": (0, 110), "135_06.0": (0, 70), "135_07.1": (0, 70), "01_01": (0, 40),
        "39_01": (0, 95), "39_02": (0, 100), "39_03": (0, 70), "39_05": (0, 70), "43_01": (0, 80),
    },
    "test": {
        "127_02.0": (0, 60), "127_06": (0, 44), "127_25": (0, 58), "17_03": (0, 50), "27_01": (0, 110),
        "38_01": (0, 88), "94_08": (0, 60), "94_13": (0, 190),
    },
}  # fmt: skip


def cut(source: Path, kept: dict[str, tuple[int, int]]) -> dict[str, np.ndarray]:
    """The arrays of a collection that holds these stretches alone, in the source's order."""
    with np.load(source, allow_pickle=False) as data:
        arrays = dict(data)
    missing = set(kept) - set(arrays["name"].tolist())
    if missing:
        raise SystemExit(f"{source} has no takes {sorted(missing)}")
    rows = [i for i, name in enumerate(arrays["name"].tolist()) if name in kept]
    frames, lengths = [], []
    for i in rows:
        first, last = kept[str(arrays["name"][i])]
        if last > arrays["length"][i]:
            raise SystemExit(f"{arrays['name'][i]} has {arrays['length'][i]} frames")
        frames.append(np.arange(first, last) + arrays["start"][i])
        lengths.append(last - first)
    arrays["pose"], arrays["trans"] = (arrays[key][np.concatenate(frames)] for key in ("pose", "trans"))
    for key in ("name", "subject", "action", "source_fps"):
        arrays[key] = arrays[key][rows]
    arrays["length"] = np.array(lengths, arrays["length"].dtype)
    arrays["start"] = (np.cumsum(arrays["length"]) - arrays["length"]).astype(arrays["start"].dtype)
    return arrays


def main(folder: Path) -> None:
    TARGET.mkdir(exist_ok=True)
    for split, kept in KEPT.items():
        path = TARGET / f"cmu_smpl30_{split}.npz"
        np.savez_compressed(path, **cut(folder / path.name, kept))
        print(path, sum(b - a for a, b in kept.values()), "frames", path.stat().st_size, "bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
