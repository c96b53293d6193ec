"""Streams through pipelines, kept: what was measured of some code need not be measured again when a run was stopped."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.output_safety import published
from benchmarks.output_safety.profiles import pipeline_settings
from benchmarks.output_safety.published import Published
from benchmarks.output_safety.stream import Stream
from diffmocap.lifting.lifter import Lifter
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.resources import sha256_of, share_path
from training.commit import REPOSITORY, uncommitted

#: Changes whenever other things are recorded, so that records kept from before are made anew.
RECORD = 1
#: What the published poses depend on.
_PRODUCT = ("diffmocap", "models")
#: Rows of the table that no pipeline made.
ALONE, FROZEN = "lifted alone", "frozen"


@dataclass(frozen=True)
class Kept:
    """Samples in a folder, by what they were made of; None keeps nothing."""

    folder: Path | None

    def get(self, key: str, stream: Stream, make: Callable[[], Published]) -> Published:
        """Those of the stream, made where there are none."""
        if self.folder is None:
            return make()
        path = self.folder / key / f"{_digest(stream)}.npz"
        if not path.is_file():
            made = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            arrays = {n: x for n, x in vars(made).items() if n != "errors"}
            np.savez_compressed(path, errors=np.array(json.dumps(made.errors)), **arrays)
        with np.load(path, allow_pickle=False) as data:
            arrays = {n: data[n] for n in data.files if n != "errors"}
            return Published(**arrays, errors=json.loads(str(data["errors"])))


def measure(streams: list[Stream], folder: Path) -> dict[str, list[Published]]:
    """What is published of each stream, by row of the table: :data:`ALONE`, :data:`FROZEN` and each profile.

    Kept in ``folder`` by the committed package and models, and not at all where files of theirs differ from the commit;
    poses of single images as long as weights and lifting are the same.
    """
    product = _product()
    kept, kept_alone = Kept(folder if product else None), Kept(folder)
    pipeline, lifter = PosePipeline.load(), Lifter.load()
    rows: dict[str, list[Published]] = {ALONE: [], FROZEN: []}
    for name, settings in pipeline_settings().items():
        pipeline.settings = settings
        rows[name] = [
            kept.get(f"{product}/{name}", s, lambda s=s: published.run(pipeline, s))
            for s in tqdm(streams, desc=name, unit="stream")
        ]
    key = f"alone-{_lifting()}"
    for s, seen in zip(tqdm(streams, desc=ALONE, unit="stream"), rows[next(reversed(rows))], strict=True):
        rows[ALONE].append(kept_alone.get(key, s, lambda s=s: published.lifted(lifter, pipeline.body, s)))
        rows[FROZEN].append(published.frozen(s, seen))
    return rows


def _digest(stream: Stream) -> str:
    """Of all that a pipeline is given."""
    words = hashlib.sha256(repr(astuple(stream.intrinsics)).encode())
    for k in stream.keypoints:
        for x in (k.points_px, k.confidence, k.depth_m if k.depth_m is not None else np.zeros(0), np.array(k.stamp_ns)):
            words.update(np.ascontiguousarray(x).tobytes())
    return words.hexdigest()[:16]


def _product() -> str:
    """Of package and models as they are committed; empty where they differ from that, or this is no checkout."""
    try:
        if any(file.startswith(_PRODUCT) for file in uncommitted(REPOSITORY)):
            return ""
        trees = [
            subprocess.run(
                ("git", "rev-parse", f"HEAD:{folder}"), cwd=REPOSITORY, check=True, capture_output=True, text=True
            ).stdout for folder in _PRODUCT
        ]  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return hashlib.sha256(f"{trees} {RECORD}".encode()).hexdigest()[:16]


def _lifting() -> str:
    """Of the weights and of the code that lifts an image by itself, which follows no track."""
    folder = REPOSITORY / "diffmocap" / "lifting"
    files = sorted(file for file in folder.rglob("*.py") if file.parent.name != "tracking")
    text = "".join(map(sha256_of, files)) + sha256_of(share_path("models", "manifest.json")) + str(RECORD)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
