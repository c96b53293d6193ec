"""Keypoints with stamps as a detector publishes them, and what is known of the person that they are of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from diffmocap.types import CameraIntrinsics, Keypoints2D

#: SMPL's joints in the order of the twelve that the real clip's truth has; its first and fourth are the hips.
CLIP_JOINTS = (2, 5, 8, 1, 4, 7, 16, 18, 20, 17, 19, 21)
CLIP_ROOT = (0, 3)


@dataclass(frozen=True)
class Stream:
    """T sets of keypoints.

    Attributes:
        name: on the page. what: in a few words.
        keypoints: T of them, in the order in which they arrive. intrinsics: that the pipeline is given.
        truth: [T, J, 3] m in the optical frame at the time of each image, NaN where it is unknown; None: of none.
        joints: the J of SMPL's joints that ``truth`` holds. root: those of the J whose middle MPJPE is about.
        clean: [T] bool, nothing was done to these keypoints: a right pose of theirs ought to be published.
        labels: [T] of "none", "person" and "partial": who is in view; None where nobody looked.
        disturbed: the stream is made to be bad; False: it is a camera's, or truth with the errors of a detector.
    """

    name: str
    what: str
    keypoints: list[Keypoints2D]
    intrinsics: CameraIntrinsics
    truth: np.ndarray | None = None
    joints: tuple[int, ...] = tuple(range(24))
    root: tuple[int, ...] = (0,)
    clean: np.ndarray = field(default=None)
    labels: np.ndarray | None = None
    disturbed: bool = False

    def __post_init__(self) -> None:
        if self.clean is None:
            object.__setattr__(self, "clean", np.ones(len(self.keypoints), bool))
        for name in ("truth", "clean", "labels"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.keypoints):
                raise ValueError(f"{self.name}: {len(self.keypoints)} sets of keypoints, but {len(value)} {name}")

    def __len__(self) -> int:
        return len(self.keypoints)

    def __getitem__(self, rows: slice | np.ndarray) -> Stream:
        """The rows of a slice, or of indices or a mask [T]."""
        chosen = np.arange(len(self))[rows]
        return replace(
            self,
            keypoints=[self.keypoints[t] for t in chosen],
            clean=self.clean[chosen],
            **{n: None if (x := getattr(self, n)) is None else x[chosen] for n in ("truth", "labels")},
        )

    def disturbed_by(
        self, name: str, what: str, keypoints: list[Keypoints2D], clean: np.ndarray, labels: np.ndarray | None = None
    ) -> Stream:
        """The same person behind other keypoints, one set for each of these."""
        return replace(
            self, name=name, what=what, keypoints=keypoints, clean=self.clean & clean,
            labels=self.labels if labels is None else labels, disturbed=True,
        )  # fmt: skip
