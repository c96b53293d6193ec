"""What MediaPipe says of films, beside the truth: detected once a version of MediaPipe, kept beside the films."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import roma
import torch
from tqdm import tqdm

from benchmarks.detector.video_landmarks import landmarks_of
from diffmocap.body.model import BodyModel
from diffmocap.types import Frame

#: Changes whenever other things are recorded, so that records kept from before are made anew.
RECORD = 1


@dataclass(frozen=True)
class Detections:
    """Frames of several films, in order; landmarks are NaN where nobody was found.

    Attributes:
        film: [N] int, number of the film; frame: [N] int, number within it; clip: [films] names of the motion clips.
        landmarks_px: [N, 33, 2] px; visibility: [N, 33]; world: [N, 33, 3] m, MediaPipe's axes (x right, y down, z
            away from the camera).
        keypoints: [N, 25, 3] and joints [N, 24, 3] m, the truth in the optical frame.
        root: [N, 3, 3] turns the body frame into the optical frame.
        K: [N, 3, 3]; size: [N, 2] width and height, px; stamp_ns: [N] int64.
    """

    film: np.ndarray
    frame: np.ndarray
    clip: np.ndarray
    landmarks_px: np.ndarray
    visibility: np.ndarray
    world: np.ndarray
    keypoints: np.ndarray
    joints: np.ndarray
    root: np.ndarray
    K: np.ndarray
    size: np.ndarray
    stamp_ns: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """[N] bool: somebody was found, with world landmarks."""
        return np.isfinite(self.landmarks_px).all((1, 2)) & np.isfinite(self.world).all((1, 2))

    @property
    def subject(self) -> np.ndarray:
        """[N] the motion capture subject of each frame, the first part of its clip's name."""
        return np.array([name.split("_")[0] for name in self.clip])[self.film]


def detections(films: Sequence[Path]) -> Detections:
    """Run the detector over films with their truth beside them; what it says of a film is kept there too."""
    records, body = [], None
    for i, film in enumerate(tqdm(films, desc="detecting", unit="film", disable=len(films) == 1)):
        path = film.with_suffix(f".mediapipe_{version('mediapipe')}_{RECORD}")
        if not path.is_file():
            body = body or BodyModel.load()
            record = _detect(film, body)
            with open(path, "wb") as f:
                np.savez_compressed(f, **record)
        with np.load(path, allow_pickle=False) as data:
            records.append({**data, "film": np.full(len(data["frame"]), i)})
    arrays = {key: np.concatenate([record[key] for record in records]) for key in records[0]}
    return Detections(clip=np.array([film.stem.rsplit("_", 2)[0] for film in films]), **arrays)


def _true_keypoints(truth: Mapping[str, np.ndarray], body: BodyModel) -> tuple[np.ndarray, np.ndarray]:
    """Keypoints [T, 25, 3] m in the optical frame and local rotations [T, 24, 3, 3] from the arrays beside a film."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(truth["poses"]).view(-1, 24, 3))
    betas = torch.from_numpy(truth["betas"])[None]
    pelvis = torch.from_numpy(truth["trans"]) + body.rest_joints(betas)[:, 0]
    return body.keypoints(rotations, pelvis, betas).numpy(), rotations.numpy()


def _detect(film: Path, body: BodyModel) -> dict[str, np.ndarray]:
    with np.load(film.with_suffix(".npz"), allow_pickle=False) as data:
        joints, K, fps = (data[k] for k in ("joints", "K", "mocap_framerate"))
        size = np.array([data["width"], data["height"]])
        keypoints, rotations = _true_keypoints(data, body)
    count = len(joints)
    stamp_ns = np.round(np.arange(count) / float(fps) * 1e9).astype(np.int64)
    return {
        **landmarks_of(_images(film, stamp_ns)),
        "frame": np.arange(count), "stamp_ns": stamp_ns, "keypoints": keypoints, "joints": joints,
        "root": rotations[:, 0], "K": np.broadcast_to(K, (count, 3, 3)).copy(),
        "size": np.broadcast_to(size, (count, 2)).copy(),
    }  # fmt: skip


def _images(film: Path, stamp_ns: np.ndarray) -> Iterator[Frame]:
    video = cv2.VideoCapture(str(film))
    for t, stamp in enumerate(stamp_ns.tolist()):
        ok, image = video.read()
        if not ok:
            raise SystemExit(f"{film} ends after {t} of {len(stamp_ns)} frames; delete it and run again")
        yield Frame(image, stamp, t)
    video.release()
