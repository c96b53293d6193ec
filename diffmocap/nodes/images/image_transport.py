"""Which topic and type images come by: raw, or compressed as image_transport's republishers and drivers do it."""

from __future__ import annotations

from collections.abc import Callable, Collection

from sensor_msgs.msg import CompressedImage, Image

from diffmocap.nodes.publishers import type_name

AUTO, RAW, COMPRESSED = TRANSPORTS = ("auto", "raw", "compressed")
_SUFFIX = "/compressed"


def image_source(
    topic: str, transport: str, types_of: Callable[[str], Collection[str]]
) -> tuple[type[Image] | type[CompressedImage], str]:
    """Type and topic to subscribe to.

    With ``auto`` the types decide that the topic, or else the one beside it, is published with: a topic itself may hold
    compressed images, with or without image_transport's suffix. As long as nobody publishes, raw images are waited
    for, or compressed ones where the topic ends in the suffix.

    Args:
        topic: full name that ``image_raw`` was remapped to.
        transport: one of :data:`TRANSPORTS`.
        types_of: names of the types that a topic is published with.
    """
    base = topic.removesuffix(_SUFFIX)
    compressed_topic = f"{base}{_SUFFIX}"  # as image_transport makes it of what the base topic is remapped to
    if transport == RAW:
        return Image, topic
    if transport == COMPRESSED:
        return CompressedImage, compressed_topic
    candidates = [(Image, topic), (CompressedImage, topic), (CompressedImage, compressed_topic), (Image, base)]
    for kind, name in candidates:
        if type_name(kind) in types_of(name):
            return kind, name
    return (CompressedImage if topic.endswith(_SUFFIX) else Image), topic
