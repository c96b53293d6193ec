"""The page in a real browser: what its canvas holds, that it follows the pose, and that nothing else is asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("viser", reason="the viewer needs viser: pip install viser, or run `make test`")

from diffmocap.body.skeleton import PARENTS  # noqa: E402
from diffmocap.types import CameraIntrinsics  # noqa: E402
from diffmocap.viewer.body import Skin  # noqa: E402
from diffmocap.viewer.panel import Panel  # noqa: E402
from diffmocap.viewer.pose import ViewedPose  # noqa: E402
from diffmocap.viewer.scene import FIRST_VIEW, USUAL_PLACE, Scene  # noqa: E402
from diffmocap.viewer.server import address_of, open_server  # noqa: E402
from tests.viewer.browser import Browser, chromium  # noqa: E402

#: For a browser that draws by a busy processor; what comes true ends the wait.
PATIENCE_S = 90.0


def standing(skin: Skin, x_m: float) -> ViewedPose:
    """Upright before a level camera, arms to the sides, turned towards it."""
    turn = np.diag([1.0, -1.0, -1.0])
    joints = (skin.joints_m - skin.joints_m[0]) @ turn.T + [x_m, 0.1, 2.5]
    rotations = np.tile([0.0, 0.0, 0.0, 1.0], (len(PARENTS), 1))
    rotations[0] = [1.0, 0.0, 0.0, 0.0]
    return ViewedPose(1, "optical", rotations, joints)


def until(browser: Browser, condition: Callable[[np.ndarray], bool], what: str) -> np.ndarray:
    """The first picture of the 3D view that fulfils a condition."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition(picture := browser.picture(of_canvas=True)):
        assert time.monotonic() < deadline_s, f"{what}: {browser.complaints}"
    return picture


def skin_pixels(picture: np.ndarray) -> np.ndarray:
    """Where the picture has the body's warm colour, which nothing else has: [H, W]."""
    blue, _, red = np.moveaxis(picture.astype(int), 2, 0)
    return (red - blue > 14) & (red > 60)


def place(picture: np.ndarray) -> tuple[float, float]:
    """Where the body is from left (0) to right (1), and its height over its width; NaN where it is not to be seen."""
    rows, columns = np.nonzero(skin_pixels(picture))
    if len(rows) < 150:
        return np.nan, np.nan
    return columns.mean() / picture.shape[1], np.ptp(rows) / max(np.ptp(columns), 1)


@pytest.mark.skipif(chromium() is None, reason="needs a Chromium: on Debian, apt install chromium")
def test_a_browser_shows_the_body_where_the_pose_is_and_asks_nobody_else() -> None:
    skin, server = Skin.load(), open_server("127.0.0.1", 0)
    scene = Scene(server, skin)
    panel = Panel(server, scene, lambda name, value: None)
    camera = server.initial_camera
    camera.position, camera.look_at, camera.fov = USUAL_PLACE + FIRST_VIEW, USUAL_PLACE, 1.2
    try:
        with Browser(address_of(server), 480, 300) as browser:
            # While the page loads, its own colours are in the picture.
            empty = until(
                browser,
                lambda p: np.ptp(p) > 30 and bool(server.get_clients()) and skin_pixels(p).sum() < 20,
                "the floor is drawn",
            )
            assert skin_pixels(empty).sum() < 20
            (client,) = server.get_clients().values()

            scene.show(standing(skin, 0.0))
            panel.look_from(client, np.array([-3.0, 0.0, 0.2]))
            middle = until(browser, lambda p: 0.45 < place(p)[0] < 0.55, "the body in the middle")
            _, columns = np.nonzero(skin_pixels(middle))
            assert place(middle)[1] > 1.0 and np.ptp(columns) > 20, "upright, arms stretched out"
            scene.show(standing(skin, -0.5))
            # The image's left is the left of who looks along with the camera.
            until(browser, lambda p: place(p)[0] < 0.42, "the body moves to the left")
            scene.show_picture(np.full((48, 64, 3), (0, 255, 0), np.uint8), CameraIntrinsics.from_fov(64, 48))
            panel.look_from(client, FIRST_VIEW)
            until(browser, lambda p: bool((p[..., 1].astype(int) - p[..., 2] > 60).sum() > 30), "the camera's picture")
            asked = [url for url in browser.requests if not url.startswith(("data:", "blob:"))]
            assert asked and all(f"//127.0.0.1:{server.get_port()}" in url for url in asked), "works without a network"
    finally:
        server.stop()
