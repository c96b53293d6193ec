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
#: Left of the side bar.
VIEW = np.s_[:, :280]


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
    while not condition(picture := browser.picture()[VIEW]):
        assert time.monotonic() < deadline_s, f"{what}: {browser.complaints}"
    return picture


def skin_pixels(picture: np.ndarray) -> np.ndarray:
    """Where the picture has the body's warm colour, which nothing else has: [H, W]."""
    blue, _, red = np.moveaxis(picture.astype(int), 2, 0)
    return (red - blue > 14) & (red > 60)


@pytest.mark.skipif(chromium() is None, reason="needs a Chromium: on Debian, apt install chromium")
def test_a_browser_shows_the_body_where_the_pose_is_and_asks_nobody_else() -> None:
    skin, server = Skin.load(), open_server("127.0.0.1", 0)
    scene = Scene(server, skin)
    panel = Panel(server, scene, lambda name, value: None)
    camera = server.initial_camera
    camera.position, camera.look_at, camera.fov = USUAL_PLACE + FIRST_VIEW, USUAL_PLACE, 1.2
    try:
        with Browser(address_of(server), 640, 360) as browser:
            empty = until(browser, lambda p: np.ptp(p) > 30 and bool(server.get_clients()), "the floor is drawn")
            assert skin_pixels(empty).sum() < 20
            (client,) = server.get_clients().values()

            def show(x_m: float) -> np.ndarray:
                scene.show(standing(skin, x_m))
                panel.look_from(client, np.array([-3.0, 0.0, 0.2]))
                scene._pelvis_m = np.array([0.55, 0.1, 2.5])  # the view stays, the body moves
                panel.look_from(client, np.array([-3.0, 0.0, 0.2]))
                return until(browser, lambda p: body_stands_still(p), "the body is drawn")

            last: list[np.ndarray] = [np.zeros(empty.shape[:2], bool)]

            def body_stands_still(picture: np.ndarray) -> bool:
                found, before = skin_pixels(picture), last[0]
                last[0] = found
                return found.sum() > 150 and (found ^ before).sum() < 0.02 * found.sum()

            middle = skin_pixels(show(-0.05))
            last[0] = np.zeros_like(middle)
            moved = skin_pixels(show(-0.35))
            rows, columns = np.nonzero(middle)
            assert np.ptp(rows) > 0.8 * np.ptp(columns) > 20, "upright, arms stretched out"
            # The image's left is the left of who looks along with the camera.
            assert np.nonzero(moved)[1].mean() < columns.mean() - 8
            scene.show_picture(np.full((48, 64, 3), (0, 255, 0), np.uint8), CameraIntrinsics.from_fov(64, 48))
            panel.look_from(client, FIRST_VIEW)
            until(browser, lambda p: bool((p[..., 1].astype(int) - p[..., 2] > 60).sum() > 30), "the camera's picture")
            asked = [url for url in browser.requests if not url.startswith(("data:", "blob:"))]
            assert asked and all(f"//127.0.0.1:{server.get_port()}" in url for url in asked), "works without a network"
    finally:
        server.stop()
