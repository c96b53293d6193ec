from __future__ import annotations

import pytest

from diffmocap.camera.urls import has_secrets, hide_secrets, without_secrets


@pytest.mark.parametrize(
    "url, shown",
    [
        ("rtsp://host/stream", "rtsp://host/stream"),
        ("http://[fe80::1]:8080/video.mjpg", "http://[fe80::1]:8080/video.mjpg"),
        ("rtsp://user:SECRET@host:554/live@1", "rtsp://host:554/live@1"),
        ("rtsp://user:SEC/RET@host/x", "rtsp://***@host/x"),
        ("rtsp://user:12/SECRET@camera", "rtsp://***@camera"),
        ("rtsp://user:SE@CR/ET@camera/x?token=SECRET", "rtsp://***@camera/x?token=***"),
        ("rtsp://user:SEC?RET@host/x", "rtsp://***"),
        ("rtsp://user:SEC#RET@host/x", "rtsp://***"),
        ("http://host/a?token=SECRET&size=2;key=SECRET&SECRET", "http://host/a?token=***&size=***;key=***&***"),
        ("http://SECRET@host/a#SECRET", "http://host/a"),
        ("https://host/x?user=a@b.c&token=SECRET", "https://***"),
    ],
)
def test_what_only_its_owner_may_know_is_not_shown(url, shown):
    assert without_secrets(url) == shown and not {"SECRET", "SEC", "RET", "ET"} & set(shown)
    assert "SE" not in shown and has_secrets(url) == (url != shown)
    assert hide_secrets(f"cannot open '{url}': why", url) == f"cannot open '{shown}': why"


def test_what_is_no_address_stays():
    assert not has_secrets("clip@home.mp4") and hide_secrets("clip 0", "0") == "clip 0"
