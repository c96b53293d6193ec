from __future__ import annotations

import math

import numpy as np
import pytest

from diffmocap.camera.devices import parse_source
from diffmocap.camera.focal_length import estimated_intrinsics, focal_length_35mm

EXIF_IFD = 0x8769
#: A sensor of 5.6 x 4.2 mm behind 40 x 30 pixels, in centimetres.
SENSOR = {0x920A: 4.25, 0xA20E: 40 / 0.56, 0xA210: 3}


def photo(path, **exif_values):
    image_module = pytest.importorskip("PIL.Image")
    exif = image_module.Exif()
    for key, value in exif_values.items():
        exif.get_ifd(EXIF_IFD)[int(key[1:], 16)] = value
    image_module.fromarray(np.zeros((30, 40, 3), np.uint8)).save(path, exif=exif)
    return parse_source(str(path))


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_the_equivalent_focal_length_of_a_photo(tmp_path, ending):
    assert focal_length_35mm(photo(tmp_path / f"a.{ending}", xA405=28)) == 28.0


def test_the_true_focal_length_with_the_sensors_resolution(tmp_path):
    source = photo(tmp_path / "a.jpg", **{f"x{key:X}": value for key, value in SENSOR.items()})
    assert focal_length_35mm(source) == pytest.approx(4.25 * math.hypot(36, 24) / 7.0, rel=1e-4)  # 7 mm diagonal


@pytest.mark.parametrize(
    "values", [{}, {"xA405": 0}, {"xA405": 60_000}, {"x920A": 4.25}, {"x920A": 4.25, "xA20E": 0.0}]
)
def test_nothing_is_made_up(tmp_path, values):
    assert focal_length_35mm(photo(tmp_path / "a.jpg", **values)) == 0.0


def test_the_first_photo_of_a_folder_speaks_for_all(tmp_path):
    photo(tmp_path / "b.jpg", xA405=50)
    photo(tmp_path / "a.jpg", xA405=28)
    assert focal_length_35mm(parse_source(str(tmp_path))) == 28.0


def test_other_sources_tell_none(tmp_path):
    assert focal_length_35mm(parse_source("0")) == focal_length_35mm(parse_source("rtsp://host/x")) == 0.0
    (tmp_path / "a.jpg").write_bytes(b"damaged")
    assert focal_length_35mm(parse_source(str(tmp_path / "a.jpg"))) == 0.0


def test_film_of_36_by_24_mm_sees_what_its_geometry_says():
    made = estimated_intrinsics(36.0, 3600, 2400)
    assert made.fx == made.fy == pytest.approx(3600.0) and not made.is_default
    assert (made.cx, made.cy) == (1800.0, 1200.0)
    assert estimated_intrinsics(36.0, 2400, 3600).fx == pytest.approx(3600.0)  # on its side
