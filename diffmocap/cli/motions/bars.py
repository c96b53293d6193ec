"""Progress bars of work on one file, with the time left."""

from __future__ import annotations

import sys
from pathlib import Path


class Bars:
    """One bar a stage, with the time left."""

    def __init__(self, video: str) -> None:
        self._name = Path(video).name
        self._bar = None
        self._stage = ""

    def __call__(self, stage: str, done: float, total: float) -> None:
        """``done`` of ``total``, which is 0 where that is not known."""
        from tqdm import tqdm

        if stage != self._stage:
            self.close()
            self._stage = stage
            whole = stage == "detecting"
            form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
            self._bar = tqdm(
                total=total or None, desc=f"{self._name}: {stage}", unit="image", file=sys.stderr, dynamic_ncols=True,
                bar_format=None if whole else form, mininterval=0.5,
            )  # fmt: skip
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
