"""Altered videos: what the detector finds in them is told in pixels of the plain ones, sides included."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.detector.alteration import LANDMARK_MIRROR, Alteration
from benchmarks.protocols.altered_video import ALTERATIONS, ROWS, table

WIDTH, HEIGHT = 120, 160
EVERY = {name: how or Alteration() for name, how in ALTERATIONS.items()}


@pytest.mark.parametrize("how", EVERY.values(), ids=list(EVERY))
def test_images_and_landmarks_are_altered_alike(how):
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[40:45, 70:75] = 255
    ys, xs = np.nonzero(how.apply(image)[..., 0] > 127)
    wanted = how.matrix(WIDTH, HEIGHT) @ [72.0, 42.0, 1.0]
    assert np.allclose([xs.mean(), ys.mean()], wanted, atol=0.6)


@pytest.mark.parametrize("how", EVERY.values(), ids=list(EVERY))
def test_altering_is_undone(how):
    rng = np.random.default_rng(0)
    landmarks, world = rng.uniform(20, 100, (3, 33, 2)), rng.normal(0, 0.4, (3, 33, 3))
    visibility = rng.uniform(0, 1, (3, 33))
    plain = {"landmarks_px": landmarks, "visibility": visibility, "world": world}
    # What a detector that is right says of the altered images: its left is the plain image's right in a mirror.
    M = how.matrix(WIDTH, HEIGHT)
    turn = M[:, :2] / how.scale
    order = LANDMARK_MIRROR if how.mirrored else np.arange(33)
    altered = {
        "landmarks_px": (landmarks @ M[:, :2].T + M[:, 2])[:, order], "visibility": visibility[:, order],
        "world": np.concatenate([world[..., :2] @ turn.T, world[..., 2:]], -1)[:, order],
    }  # fmt: skip
    found = how.undo(altered, WIDTH, HEIGHT)
    for name, wanted in plain.items():
        assert np.allclose(found[name], wanted, atol=1e-3), name


def test_a_mirror_shows_the_right_hand_as_a_left_one():
    M = Alteration(mirrored=True).matrix(WIDTH, HEIGHT)
    assert np.allclose(M @ [0.0, 5.0, 1.0], [WIDTH - 1, 5.0])


def test_the_table_has_the_mean_and_the_worst():
    of = {"pa_mpjpe_mm": [60.0, 90.0, 66.0], "mpjpe_mm": [80.0, 100.0, 90.0], "exchanged": [0.0, 3.0, 0.0],
          "poses": [1.0, 0.5, 1.0]}  # fmt: skip
    lines = table({"2": dict.fromkeys(ROWS, of)})
    assert len(lines) == 2 + len(ROWS)
    assert lines[2] == "| 2 | sides as the detector says them | 60.0 | 72.0 | 90.0 | 90.0 | 1.0 | 50 % |"
