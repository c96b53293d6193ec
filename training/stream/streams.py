"""Lifted streams to train on: made once, kept in a folder as safetensors."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from tqdm import tqdm

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.motion_clip import MotionClip
from diffmocap.errors import MotionFileError
from diffmocap.pipeline.pose_pipeline import PosePipeline
from diffmocap.refinement.stream.window_buffer import LiveFrame
from training.held_out import HELD_OUT_SUBJECT, UNEVEN_SUBJECTS, require_clips
from training.lifting.noisy_keypoints import stamp_ns
from training.motions.live_streams import LiveStream, live_stream

#: Fewer frames make no stream.
SHORTEST = 30
#: Frames of a motion that is one of many.
SHORT_FRAMES = 80


def clips_of(path: str | Path, held_out: bool, everything: bool = False) -> list[MotionClip]:
    """Walks of a split on flat ground, or all its motions there: of the held-out subject, or of the others."""
    return [
        clip for clip in load_split(path)
        if clip.subject not in UNEVEN_SUBJECTS and (clip.subject == HELD_OUT_SUBJECT) == held_out
        and len(clip) >= SHORTEST and (everything or "walk" in clip.action.lower())
    ]  # fmt: skip


def make_streams(
    clips: list[MotionClip], body: BodyModel, pipeline: PosePipeline, views: int, frames: int, seed: int
) -> list[LiveStream]:
    """Every clip from ``views`` random sides, places and noises; stretches of at most ``frames`` frames of it."""
    g, made = torch.Generator().manual_seed(seed), []
    for number, clip in enumerate(tqdm([c for c in clips for _ in range(views)], desc="lifting", unit="stream")):
        u = torch.rand(6, generator=g).tolist()
        begin = int(u[0] * max(len(clip) - frames, 0))
        part = clip.frames(begin, min(begin + frames, len(clip)))
        made.append(
            live_stream(
                part, body, "lifting", frames, 2 * math.pi * u[1], seed + number, pipeline,
                (u[2] - 0.5, 0.1 + 0.4 * u[5], 3.0 + 2.5 * u[3]), 0.01 + 0.02 * u[4],
            )
        )  # fmt: skip
    return made


def save_streams(streams: list[LiveStream], path: Path, how: dict | None = None) -> None:
    """Writes streams of one hypothesis a frame, and ``how`` they were made."""
    tensors = {}
    for i, stream in enumerate(streams):
        lifted = torch.tensor([f.rotations is not None for f in stream.frames])
        eye, nowhere = torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 3)
        frames = [f if f.rotations is not None else replace(f, rotations=eye, pelvis=nowhere) for f in stream.frames]
        best = [0 if f.log_weights is None else int(f.log_weights.argmax()) for f in frames]
        parts = {
            "lifted": lifted, "rotations": torch.stack([f.rotations[k] for f, k in zip(frames, best, strict=True)]),
            "pelvis": torch.stack([f.pelvis[k] for f, k in zip(frames, best, strict=True)]),
            "points_px": torch.stack([f.points_px for f in frames]),
            "confidence": torch.stack([f.confidence for f in frames]), "K": frames[0].K,
            "true_rotations": stream.rotations, "true_pelvis": stream.pelvis,
            "height": torch.tensor(stream.ground_height, dtype=torch.float64),
        }  # fmt: skip
        tensors |= {f"{i}.{name}": value.clone().contiguous() for name, value in parts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    names = {str(i): stream.name for i, stream in enumerate(streams)}
    save_file(tensors, partial, names | ({} if how is None else {"how": json.dumps(how)}))
    partial.replace(path)


def load_streams(path: Path) -> list[LiveStream]:
    """Reads what :func:`save_streams` wrote.

    Raises:
        MotionFileError: the file is missing or holds something else.
    """
    try:
        tensors = load_file(path)
        count = 1 + max(int(name.split(".")[0]) for name in tensors)
        return [_stream(i, tensors) for i in range(count)]
    except (SafetensorError, OSError, ValueError, KeyError) as e:
        raise MotionFileError(f"{path} holds no streams: {e}; remove it, and it will be made again") from e


def _header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata() or {}


def _stream(i: int, tensors: dict[str, torch.Tensor]) -> LiveStream:
    def of(name: str) -> torch.Tensor:
        return tensors[f"{i}.{name}"]

    K, frames = of("K"), []
    for t, here in enumerate(of("lifted").tolist()):
        pose = (of("rotations")[t][None], of("pelvis")[t][None], torch.zeros(1)) if here else (None, None, None)
        frames.append(LiveFrame(*pose, of("points_px")[t], of("confidence")[t], K))
    stamps_ns = [stamp_ns(t) for t in range(len(frames))]
    return LiveStream(str(i), frames, stamps_ns, of("true_rotations"), of("true_pelvis"), float(of("height")))


def kept_streams(
    path: Path, data: list[Path], held_out: bool, views: int, frames: int, everything: bool = False
) -> list[LiveStream]:
    """The streams of a folder; made first, with a progress bar, where they are not there: walks from ``views`` sides,
    and with ``everything`` before them every motion from one, :data:`SHORT_FRAMES` of it."""
    how = {"data": [file.name for file in data], "views": views, "frames": frames, "everything": everything}
    if not path.is_file():
        require_clips(*([c for file in data for c in clips_of(file, apart)] for apart in (False, True)), data)
        body, pipeline, made = BodyModel.load(), PosePipeline.load(), []
        if everything and not held_out:
            clips = [clip for file in data for clip in clips_of(file, held_out, everything)]
            made = make_streams(clips, body, pipeline, 1, SHORT_FRAMES, 0)
        clips = [clip for file in data for clip in clips_of(file, held_out)]
        made += make_streams(clips, body, pipeline, views, frames, int(held_out))
        if not made:
            raise MotionFileError(f"{', '.join(map(str, data))}: no walk of {SHORTEST} frames on flat ground")
        save_streams(made, path, how)
    elif kept := json.loads(_header(path).get("how", "null")):
        differ = [name for name in how if kept.get(name) != how[name]]
        if differ:
            raise MotionFileError(
                f"{path} was made with other options ({', '.join(differ)}): give those again, or another --out"
            )
    return load_streams(path)
