"""Motion capture as training, synthetic video and physics read it: loaded, cleaned, put on a body.

Frame of every clip: y up, floor at y = 0, rest pose facing +z with +x to the subject's left.
Needs numpy, torch and roma alone, so that it runs wherever training runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from diffmocap.body.feet import foot_corrections, ground_height, leg_length, sole_points
from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.motion_clip import MotionClip, resample
from diffmocap.body.motion_files import load_clips
from diffmocap.errors import MotionFileError

if TYPE_CHECKING:
    from diffmocap.body.model import BodyModel

__all__ = ["MotionClip", "load_clips", "load_split", "read_names", "remove_foot_offset", "resample", "retarget"]


def load_split(
    path: str | Path,
    exclude: str | Path | Iterable[str] = (),
    fps: float = 30.0,
    skipped: dict[str, str] | None = None,
) -> list[MotionClip]:
    """Clips of a split without the excluded names, each subject's foot offset removed.

    ``exclude`` is a collection of clip names, or a text file with one per line (``#`` starts a comment). The
    offsets are estimated from all clips of a subject in the file, the excluded ones too. ``skipped``: see
    :func:`~diffmocap.body.motion_files.load_clips`.
    """
    clips = remove_foot_offset(load_clips(path, fps, skipped=skipped))
    names = read_names(exclude) if isinstance(exclude, (str, Path)) else set(exclude)
    return [clip for clip in clips if clip.name not in names]


def read_names(path: str | Path) -> set[str]:
    """Names in a text file, one per line; ``#`` starts a comment."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MotionFileError(f"cannot read the list of clip names {path}: {error.strerror}") from error
    return {name for line in lines if (name := line.split("#", 1)[0].strip())}


def remove_foot_offset(clips: Sequence[MotionClip]) -> list[MotionClip]:
    """Take each subject's constant foot tilt out of the ankles.

    A subject's feet carry a constant rotation that comes from another rest pose. In standing frames the sole
    lies on the floor, so the mean up direction seen from the foot shows two of its three angles, pitch and roll;
    these are removed by the shortest rotation. The heading of the foot (toes out or in) cannot be told from the
    way the subject stands and is left alone. See :func:`diffmocap.body.feet.foot_corrections`.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for i, clip in enumerate(clips):
        groups[clip.subject].append(i)
    result = list(clips)
    for members in groups.values():
        correction = foot_corrections([clips[i] for i in members])  # [2, 3, 3]
        for i in members:
            rotations = clips[i].rotations.clone()
            rotations[:, [7, 8]] = rotations[:, [7, 8]] @ correction
            result[i] = replace(clips[i], rotations=rotations)
    return result


def retarget(clip: MotionClip, body: BodyModel, betas: torch.Tensor | None = None) -> MotionClip:
    """Put a clip on another body: translation scaled by leg length, feet brought back to the floor.

    Rotations stay as they are (see :func:`remove_foot_offset`). The floor is found once a clip, from the
    frames in which a foot rests on it, so that jumps stay jumps.

    Args:
        clip: the motion, y-up.
        body: the body to wear it.
        betas: [1, 10] shape of that body; None is the mean shape.
    """
    offsets = bone_offsets(body.rest_joints(betas)[0].detach().cpu().float())
    scale = leg_length(offsets) / leg_length(clip.offsets)
    scaled = replace(clip, pelvis=clip.pelvis * scale, offsets=offsets)
    pelvis = scaled.pelvis.clone()
    pelvis[:, 1] -= ground_height(scaled, sole_points(body, betas))
    return replace(scaled, pelvis=pelvis)
