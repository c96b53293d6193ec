from __future__ import annotations

import numpy as np
import pytest

from diffmocap.body.skeleton import KEYPOINT_MIRROR
from diffmocap.errors import ImageError
from diffmocap.keypoints.draw import LEFT_COLOUR, RIGHT_COLOUR, draw_keypoints
from diffmocap.types import Keypoints2D


def person(confidence: float = 1.0) -> Keypoints2D:
    rng = np.random.default_rng(2)
    return Keypoints2D(rng.uniform(40, 160, (25, 2)).astype(np.float32), np.full(25, confidence, np.float32), 200, 200)


def single(index: int, place, confidence: float = 1.0) -> Keypoints2D:
    points, confidences = np.zeros((25, 2), np.float32), np.zeros(25, np.float32)
    points[index], confidences[index] = place, confidence
    return Keypoints2D(points, confidences, 200, 200)


def test_the_input_stays_as_it_is():
    image = np.full((200, 200, 3), 90, np.uint8)
    drawn = draw_keypoints(image, person())
    assert (image == 90).all() and (drawn != 90).any() and drawn.shape == image.shape


def test_nobody_leaves_the_image_alone():
    image = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    drawn = draw_keypoints(image, person(0.0))
    assert (drawn == image).all() and drawn is not image


@pytest.mark.parametrize("index, colour", [(7, LEFT_COLOUR), (4, RIGHT_COLOUR)])
def test_sides_have_their_colours(index, colour):
    drawn = draw_keypoints(np.zeros((200, 200, 3), np.uint8), single(index, (100, 100)))
    assert np.allclose(drawn[100, 100], colour, atol=2)


def test_the_less_confident_the_fainter():
    black = np.zeros((200, 200, 3), np.uint8)
    strength = [int(draw_keypoints(black, single(7, (100, 100), c))[100, 100].sum()) for c in (0.2, 0.5, 1.0)]
    assert strength == sorted(strength) and strength[0] < 0.3 * strength[2]


def test_it_scales_with_the_image():
    drawn = draw_keypoints(np.zeros((400, 400, 3), np.uint8), single(7, (50, 75)))
    assert drawn[150, 100].any() and not drawn[75, 50].any()


def test_mirrored_people_look_mirrored_with_sides_exchanged():
    """The law of left and right: mirrored places with exchanged names are drawn at mirrored places."""
    keypoints = person()
    mirror = list(KEYPOINT_MIRROR)
    mirrored = Keypoints2D(
        ((keypoints.points_px - 100) * [-1, 1] + 100)[mirror].astype(np.float32), keypoints.confidence[mirror], 200, 200
    )
    black = np.zeros((200, 200, 3), np.uint8)
    covered, covered_mirrored = (draw_keypoints(black, k).any(2) for k in (keypoints, mirrored))
    assert (covered_mirrored[:, 1:] != covered[:, :0:-1]).mean() < 0.02


def test_points_at_and_beyond_the_border_are_harmless():
    points = np.array([[-50, -50], [199.9, 199.9], [1e5, 20], [0, 0]] * 7, np.float32)[:25]
    keypoints = Keypoints2D(points, np.ones(25, np.float32), 200, 200)
    assert draw_keypoints(np.zeros((200, 200, 3), np.uint8), keypoints).shape == (200, 200, 3)


def test_an_image_without_pixels_is_refused():
    with pytest.raises(ImageError, match="image"):
        draw_keypoints(np.zeros((0, 5, 3), np.uint8), person())
