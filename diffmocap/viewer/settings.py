"""Where the page is served and how often it is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from diffmocap.settings import check_settings, setting

#: Nobody but this computer reaches it.
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class ViewerSettings:
    """What a user of the viewer may set."""

    host: str = setting(
        LOOPBACK,
        "Address to serve the page at. With another than this computer's loopback everybody who reaches it sees the "
        "camera's pictures and can move the sliders: no password, no encryption.",
    )
    port: int = setting(8080, "Port of the page; the next free one where it is taken; 0: any free one.", 0, 65535)
    rate: float = setting(30.0, "Poses drawn a second at most.", 1.0, 60.0, "Hz")
    picture_rate: float = setting(10.0, "Pictures of the camera a second at most; 0: none.", 0.0, 30.0, "Hz")
    picture_width: int = setting(320, "Width that larger pictures are reduced to.", 64, 1920, "px")

    def __post_init__(self) -> None:
        check_settings(self)
