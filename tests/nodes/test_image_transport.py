"""Which topic images are taken from, by the types that topics are published with."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs ROS 2")

from sensor_msgs.msg import CompressedImage, Image

from diffmocap.nodes.images.image_transport import image_source
from diffmocap.nodes.publishers import type_name

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"


def test_types_have_the_names_that_the_graph_tells():
    assert (type_name(Image), type_name(CompressedImage)) == (RAW, COMPRESSED)


@pytest.mark.parametrize(
    "topic, published, expected",
    [
        ("/cam", {}, (Image, "/cam")),
        ("/cam", {"/cam": [RAW]}, (Image, "/cam")),
        ("/cam", {"/cam": [COMPRESSED]}, (CompressedImage, "/cam")),
        ("/cam", {"/cam/compressed": [COMPRESSED]}, (CompressedImage, "/cam/compressed")),
        ("/cam", {"/cam": [RAW], "/cam/compressed": [COMPRESSED]}, (Image, "/cam")),
        ("/cam", {"/cam": ["sensor_msgs/msg/PointCloud2"]}, (Image, "/cam")),
        ("/cam/compressed", {}, (CompressedImage, "/cam/compressed")),
        ("/cam/compressed", {"/cam/compressed": [COMPRESSED], "/cam": [RAW]}, (CompressedImage, "/cam/compressed")),
        ("/cam/compressed", {"/cam": [RAW]}, (Image, "/cam")),
        ("/cam/compressed", {"/cam/compressed": [RAW]}, (Image, "/cam/compressed")),
    ],
)
def test_auto_goes_by_the_types(topic, published, expected):
    assert image_source(topic, "auto", lambda name: published.get(name, [])) == expected


@pytest.mark.parametrize("topic", ["/cam", "/cam/compressed"])
def test_what_is_asked_for_stands(topic):
    def nothing(name):
        raise AssertionError("nobody is asked")

    assert image_source(topic, "raw", nothing) == (Image, topic)
    assert image_source(topic, "compressed", nothing) == (CompressedImage, "/cam/compressed")
