"""Calibration files: what ROS writes is read, what is written here ROS reads."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from diffmocap.camera.calibration.calibration_file import (
    calibration_text,
    load_calibration,
    projection_matrix,
    write_calibration,
)
from diffmocap.errors import SettingsError
from diffmocap.types import CameraIntrinsics

K = np.array([[600.0, 0, 310], [0, 610, 250], [0, 0, 1]])
PLUMB_BOB = (-0.28, 0.09, 0.001, -0.0007, 0.02)
CAMERAS = (
    CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0, PLUMB_BOB),
    CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0),
    CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0, (*PLUMB_BOB, 0.1, 0.2, 0.3)),
    CameraIntrinsics(1280, 720, 420.0, 425.0, 650.0, 350.0, (0.02, -1e-5, 0.003, -0.001), fisheye=True),
)

#: As camera_calibration's cameracalibrator writes it.
OF_ROS = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [600.     ,   0.     , 310.     ,
           0.     , 610.     , 250.     ,
           0.     ,   0.     ,   1.     ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [-0.28    , 0.09    , 1e-05, -0.000700, 0.000000]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [540., 0., 309., 0., 0., 560., 251., 0., 0., 0., 1., 0.]
"""


def calibration(**changes) -> dict:
    return {
        "image_width": 640,
        "image_height": 480,
        "camera_name": "test",
        "camera_matrix": {"rows": 3, "cols": 3, "data": K.reshape(-1).tolist()},
        "distortion_model": "plumb_bob",
        "distortion_coefficients": {"rows": 1, "cols": 5, "data": list(PLUMB_BOB)},
    } | changes


def test_the_file_of_camera_calibration(tmp_path):
    path = tmp_path / "camera.yaml"
    path.write_text(OF_ROS)
    made = load_calibration(path)
    assert made == CameraIntrinsics(640, 480, 600.0, 610.0, 310.0, 250.0, (-0.28, 0.09, 1e-5, -0.0007, 0.0))
    assert not made.is_default


@pytest.mark.parametrize("camera", CAMERAS)
def test_what_is_written_is_read(tmp_path, camera):
    path = tmp_path / "camera.yaml"
    write_calibration(path, camera, "webcam")
    assert load_calibration(path) == camera
    assert [file.name for file in tmp_path.iterdir()] == ["camera.yaml"]


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_fields_that_ros_tools_read(camera):
    document = yaml.safe_load(calibration_text(camera, "webcam"))
    assert document["camera_name"] == "webcam"
    assert document["distortion_model"] in ("plumb_bob", "rational_polynomial", "equidistant")
    for name, rows, cols in (
        ("camera_matrix", 3, 3),
        ("distortion_coefficients", 1, len(camera.distortion) or 5),
        ("rectification_matrix", 3, 3),
        ("projection_matrix", 3, 4),
    ):
        matrix = document[name]
        assert (matrix["rows"], matrix["cols"], len(matrix["data"])) == (rows, cols, rows * cols)
        assert all(isinstance(value, float) for value in matrix["data"])
    assert document["rectification_matrix"]["data"] == np.eye(3).reshape(-1).tolist()


def test_the_rectified_image_is_inside_the_raw_one():
    """camera_calibration's alpha of 0: every pixel of the rectified image was seen."""
    camera = CAMERAS[0]
    p = projection_matrix(camera)
    import cv2

    corners = np.array([[0, 0], [639, 0], [0, 479], [639, 479]], float)
    rays = np.column_stack([(corners - p[:2, 2]) / p[[0, 1], [0, 1]], np.ones(4)])
    raw, _ = cv2.projectPoints(rays, np.zeros(3), np.zeros(3), camera.matrix, np.array(camera.distortion))
    assert (raw > -2).all() and (raw[..., 0] < 642).all() and (raw[..., 1] < 482).all()
    assert p[0, 0] < camera.fx * 1.2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "just text",
        "[1, 2]",
        "a: [",
        yaml.safe_dump(calibration(camera_matrix={"data": [1, 2]})),
        yaml.safe_dump(calibration(camera_matrix={"data": [[1, 2, 3]] * 3})),
        yaml.safe_dump(calibration(image_width="wide")),
        yaml.safe_dump(calibration(distortion_coefficients={"data": [0.1] * 1000})),
        yaml.safe_dump(calibration(image_width=0)),
        yaml.safe_dump(calibration(distortion_model=[1])),
        yaml.safe_dump(calibration(camera_matrix={"data": [10**400] * 9})),
        "\x00\x01",
        "a: " + "1" * 200_000,
        "[" * 5000,
    ],
)
def test_a_file_without_a_calibration(tmp_path, content):
    path = tmp_path / "camera.yaml"
    path.write_text(content)
    with pytest.raises(SettingsError, match="is no camera calibration: expected image_width") as refusal:
        load_calibration(path)
    assert len(str(refusal.value)) < 1500


def test_aliases_do_not_grow(tmp_path):
    """Nine times nine times nine lists: a few hundred bytes that would be gigabytes as an array."""
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "camera.yaml"
    path.write_text("\n".join(["l0: &l0 [1]", *levels, "image_width: 640", "image_height: 480",
                               "camera_matrix: {data: *l11}"]))  # fmt: skip
    with pytest.raises(SettingsError, match="its aliases, written out"):
        load_calibration(path)


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"camera_matrix": {"data": np.eye(3).reshape(-1).tolist()}}, "no camera has the focal lengths"),
        ({"camera_matrix": {"data": [0.0] * 9}}, "nobody calibrated"),
        ({"distortion_model": "Kannala-Brandt"}, "not supported"),
    ],
)
def test_a_calibration_that_cannot_be_used_names_the_file(tmp_path, changes, why):
    path = tmp_path / "camera.yaml"
    path.write_text(yaml.safe_dump(calibration(**changes)))
    with pytest.raises(SettingsError, match=f"camera.yaml.*{why}"):
        load_calibration(path)


def test_a_missing_calibration_file(tmp_path):
    with pytest.raises(SettingsError, match=r"No such file.*leave it out"):
        load_calibration(tmp_path / "none.yaml")
