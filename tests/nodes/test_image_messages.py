"""Every encoding gives the picture it was made of; what made it here is not what reads it there."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")
import cv2
from sensor_msgs.msg import CompressedImage, Image

from diffmocap.camera.message_images import ENCODINGS, frame_from_compressed, frame_from_image
from diffmocap.errors import ImageError
from diffmocap.nodes.images.image_messages import image_to_message
from diffmocap.nodes.messages import stamp_from_ns

STAMP_NS = 1_700_000_000_123_456_789


@pytest.fixture()
def picture():
    """Smooth, so that encodings with shared colour lose little of it."""
    y, x = np.mgrid[0:48, 0:64]
    return np.stack([2 * y + 40, 3 * x, 255 - x - 2 * y], -1).astype(np.uint8)


def message_of(rows: np.ndarray, encoding: str, size: tuple[int, int], padding: int = 0, big: bool = False) -> Image:
    """A message of bytes or 16-bit values [rows, ...], each row padded with bright bytes."""
    rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder(">" if big else "<")).view(np.uint8)
    rows = rows.reshape(len(rows), -1)
    rows = np.hstack([rows, np.full((len(rows), padding), 99, np.uint8)])
    message = Image(width=size[0], height=size[1], encoding=encoding, step=rows.shape[1], is_bigendian=int(big))
    message.data = array("B", rows.tobytes())
    message.header.stamp = stamp_from_ns(STAMP_NS)
    return message


def ycbcr_of(bgr: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brightness and both colours by BT.601 as cameras send it (16 to 235), from the standard's formula."""
    b, g, r = (bgr[..., i].astype(float) for i in range(3))
    y = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    cb = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    cr = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    return y, cb, cr


def bytes_of(values: np.ndarray) -> np.ndarray:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def yuyv_of(bgr: np.ndarray) -> np.ndarray:
    """Packed Y0 Cb Y1 Cr with colour from each pair's mean."""
    y, cb, cr = ycbcr_of(bgr)
    packed = np.empty((*bgr.shape[:2], 2))
    packed[..., 0] = y
    packed[:, 0::2, 1] = (cb[:, 0::2] + cb[:, 1::2]) / 2
    packed[:, 1::2, 1] = (cr[:, 0::2] + cr[:, 1::2]) / 2
    return bytes_of(packed)


def planes_of(bgr: np.ndarray, shared: int, colours: str) -> np.ndarray:
    """A plane of Y and one of interleaved colours, the mean of ``shared`` x ``shared`` pixels each."""
    y, *colour = ycbcr_of(bgr)
    height, width = y.shape
    means = [c.reshape(height // shared, shared, width // shared, shared).mean((1, 3)) for c in colour]
    plane = np.stack(means if colours == "cbcr" else means[::-1], -1)
    return bytes_of(np.vstack([y, plane.reshape(-1, width)]))


def mosaic_of(bgr: np.ndarray, pattern: str) -> np.ndarray:
    """What a sensor with this colour filter sees: ``rggb`` is R G in the first row and G B in the second."""
    mosaic = np.empty(bgr.shape[:2], bgr.dtype)
    for place, colour in enumerate(pattern):
        row, column = divmod(place, 2)
        mosaic[row::2, column::2] = bgr[row::2, column::2, "bgr".index(colour)]
    return mosaic


def encoded(bgr: np.ndarray, encoding: str) -> np.ndarray:
    """The picture as rows of this encoding."""
    wide = bgr.astype(np.uint16) * 257 if "16" in encoding else bgr
    alpha = np.full((*bgr.shape[:2], 1), 200, wide.dtype)
    if encoding.startswith("bayer_"):
        return mosaic_of(wide, encoding[6:10])
    if encoding.startswith("nv"):
        return planes_of(bgr, *{"nv12": (2, "cbcr"), "nv21": (2, "crcb"), "nv24": (1, "cbcr")}[encoding])
    if encoding.startswith(("yu", "uy")):
        packed = yuyv_of(bgr)
        return packed if encoding in ("yuyv", "yuv422_yuy2") else packed[..., ::-1]
    kind = encoding.replace("8UC", "").replace("16UC", "").removesuffix("16").removesuffix("8")
    return {
        "bgr": wide,
        "3": wide,
        "rgb": wide[..., ::-1],
        "bgra": np.dstack([wide, alpha]),
        "4": np.dstack([wide, alpha]),
        "rgba": np.dstack([wide[..., ::-1], alpha]),
        "mono": wide[..., :1],
        "1": wide[..., :1],
    }[kind]


def tolerance_of(encoding: str) -> int:
    if encoding.startswith("bayer"):
        return 6  # a gradient between neighbours
    return 8 if encoding.startswith(("yu", "uy", "nv")) else 0


@pytest.mark.parametrize("padding", [0, 7])
@pytest.mark.parametrize("encoding", [name for name in ENCODINGS if name != "16UC1"])
def test_every_encoding_gives_the_picture(picture, encoding, padding):
    if encoding == "nv24" and padding:
        padding = 8  # a row of colours is two rows long
    rows = encoded(picture, encoding)
    if encoding == "nv24":
        rows = np.vstack([rows[:48], rows[48:]])
    expected = np.repeat(picture[..., :1], 3, 2) if "mono" in encoding or encoding == "8UC1" else picture
    for big in (False, True) if "16" in encoding else (False,):
        message = message_of(rows, encoding, (64, 48), padding, big)
        if encoding == "nv24" and padding:
            message.data = array("B", _nv24_padded(rows, padding))
        frame = frame_from_image(message)
        assert frame.image.shape == picture.shape and frame.stamp_ns == STAMP_NS
        inner = np.s_[2:-2, 2:-2] if encoding.startswith("bayer") else np.s_[:]  # a border has fewer neighbours
        assert np.abs(frame.image.astype(int) - expected)[inner].max() <= tolerance_of(encoding)


def _nv24_padded(rows: np.ndarray, padding: int) -> bytes:
    """Both planes with padding after each of their rows: of colours, twice as much."""
    light, colour = rows[:48], rows[48:].reshape(48, -1)
    planes = [np.hstack([plane, np.full((48, n * padding), 99, np.uint8)]) for n, plane in ((1, light), (2, colour))]
    return b"".join(plane.tobytes() for plane in planes)


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8", "nv12", "nv21"])
@pytest.mark.parametrize("colour", [(220, 30, 40), (30, 220, 40), (30, 40, 220)])
def test_a_colour_is_not_taken_for_another(encoding, colour):
    plain = np.full((16, 16, 3), colour, np.uint8)
    image = frame_from_image(message_of(encoded(plain, encoding), encoding, (16, 16))).image
    assert np.abs(image[2:-2, 2:-2].astype(int) - colour).max() <= 8


def test_16_bits_are_scaled_as_cv_bridge_does():
    """0 to 65535 become 0 to 255, rounded; 12 bits of a sensor have to be shifted by its driver."""
    values = np.arange(0, 65536, 7, dtype=np.uint16)[None]
    image = frame_from_image(message_of(values, "mono16", (values.size, 1))).image
    assert (image[0, :, 1] == np.rint(values[0] * (255 / 65535))).all()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("low, high", [(0, 4095), (700, 3000), (0, 65535)])
def test_16uc1_shows_its_range(low, high, big):
    """Neither 12 bits nor millimetres say what is white."""
    rng = np.random.default_rng(1)
    share = rng.uniform(0, 1, (48, 64))
    values = np.round(low + share * (high - low)).astype(np.uint16)
    values[0, :2] = 65535, 0  # a hot pixel and a dead one
    image = frame_from_image(message_of(values, "16UC1", (64, 48), 5, big)).image
    assert image.shape == (48, 64, 3) and (image[0, :2, 0] == [255, 0]).all()
    assert np.abs(image[1:, :, 2] - 255 * share[1:]).max() < 8


def test_16uc1_of_one_value():
    values = np.full((4, 4), 1234, np.uint16)
    assert not frame_from_image(message_of(values, "16UC1", (4, 4))).image.any()


def test_odd_sizes(picture):
    odd = picture[:47, :63]
    for encoding in ("bayer_grbg8", "nv24", "rgb16", "mono16", "bgr8"):
        message = message_of(encoded(odd, encoding), encoding, (63, 47))
        image = frame_from_image(message).image
        expected = np.repeat(odd[..., :1], 3, 2) if encoding == "mono16" else odd
        assert np.abs(image.astype(int) - expected)[2:-2, 2:-2].max() <= tolerance_of(encoding)


def test_images_round_trip(picture):
    message = image_to_message(picture, STAMP_NS, "optical")
    frame = frame_from_image(message)
    assert (frame.image == picture).all() and frame.stamp_ns == STAMP_NS
    assert message.header.frame_id == "optical" and message.step == 192
    assert isinstance(message.data, array)


def test_a_part_of_an_image_is_sent_right(picture):
    assert (frame_from_image(image_to_message(picture[5:20, ::-2], 0, "")).image == picture[5:20, ::-2]).all()


def test_bgr_is_not_copied(picture):
    message = image_to_message(picture, 0, "")
    assert np.shares_memory(frame_from_image(message).image, np.frombuffer(message.data, np.uint8))


def test_the_padding_of_the_last_row_may_be_missing(picture):
    for encoding in ("bgr8", "rgb8", "bgr16", "nv12"):
        message = message_of(encoded(picture, encoding), encoding, (64, 48), padding=5)
        whole = frame_from_image(message).image.copy()
        del message.data[-5:]
        assert (frame_from_image(message).image == whole).all()


@pytest.mark.parametrize(
    "change, why",
    [
        ({"width": 0}, "no pixels: 0 x 48"),
        ({"height": 0}, "no pixels: 64 x 0"),
        ({"height": 49}, "9408 bytes of data, got 9216"),
        ({"width": 65}, "step of at least 195"),
        ({"step": 0}, "row step 0"),
        ({"step": 200}, "got 9216"),
        ({"width": 2**32 - 1, "height": 2**32 - 1}, "row step"),
        ({"encoding": "32FC1"}, "'32FC1'; expected one of bgr8.*nv24"),
        ({"encoding": ""}, "encoding ''"),
        ({"encoding": "yuv422_yuy2", "width": 63}, "even width"),
        ({"encoding": "uyvy", "width": 63}, "even width"),
        ({"encoding": "nv12", "height": 47}, "even width and height, got 64 x 47"),
        ({"encoding": "nv21", "step": 64, "height": 98}, "9408 bytes of data, got 9216"),
        ({"encoding": "nv24", "step": 64, "height": 49}, "got 9216"),
        ({"encoding": "bgr16"}, "step of at least 384"),
        ({"encoding": "bayer_rggb16", "step": 127}, "step of at least 128"),
        ({"data": array("B")}, "got 0"),
    ],
)
def test_bad_images_say_what_is_wrong(picture, change, why):
    message = image_to_message(picture, 0, "")
    for field, value in change.items():
        setattr(message, field, value)
    with pytest.raises(ImageError, match=why):
        frame_from_image(message)


def test_compressed_images(picture):
    for extension, tolerance in ((".png", 0), (".jpg", 24)):
        data = cv2.imencode(extension, picture)[1].tobytes()
        message = CompressedImage(format=extension[1:], data=array("B", data))
        message.header.stamp = stamp_from_ns(STAMP_NS)
        frame = frame_from_compressed(message)
        assert np.abs(frame.image.astype(int) - picture).max() <= tolerance and frame.stamp_ns == STAMP_NS


@pytest.mark.parametrize("data", [b"", b"no image", b"\xff\xd8\xff\xe0"])
def test_compressed_images_that_are_none(data):
    with pytest.raises(ImageError, match=f"{len(data)} bytes, format 'jpeg'; expected JPEG or PNG"):
        frame_from_compressed(CompressedImage(format="jpeg", data=array("B", data)))
