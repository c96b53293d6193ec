"""The page by itself, with a client but without a browser: who may connect, what a slow one gets, what is drawn."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

viser = pytest.importorskip("viser", reason="the viewer needs viser: pip install viser, or run `make test`")

from websockets.exceptions import InvalidStatus  # noqa: E402

from benchmarks.live_viewer.page_client import PageClient  # noqa: E402
from diffmocap.errors import SettingsError  # noqa: E402
from diffmocap.output.tracking_state import TrackingState  # noqa: E402
from diffmocap.types import CameraIntrinsics  # noqa: E402
from diffmocap.viewer.body import Skin  # noqa: E402
from diffmocap.viewer.controls import Control  # noqa: E402
from diffmocap.viewer.panel import Panel  # noqa: E402
from diffmocap.viewer.pose import ViewedPose  # noqa: E402
from diffmocap.viewer.scene import BODY, BODY_LOST, BODY_PREDICTED, Scene  # noqa: E402
from diffmocap.viewer.server import LAST_PORT, address_of, open_server, refusal  # noqa: E402

STANDING = np.tile([0.0, 0.0, 0.0, 1.0], (24, 1))


@cache
def rest() -> Skin:
    return Skin.load()


def pose(x_m: float = 0.0, **changes) -> ViewedPose:
    """A body in the rest pose, three metres before the camera."""
    return replace(ViewedPose(1, "optical", STANDING, rest().joints_m + [x_m, 0.0, 3.0]), **changes)


@pytest.fixture
def server() -> Iterator:
    made = open_server("127.0.0.1", 0)
    yield made
    made.stop()


@pytest.fixture
def scene(server) -> Scene:
    return Scene(server, rest())


# --- who may connect ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host, asked, origin, refused",
    [
        ("127.0.0.1", "127.0.0.1:8080", None, False),
        ("127.0.0.1", "localhost:9000", "http://localhost:9000", False),  # a forwarded port
        ("127.0.0.1", "[::1]:8080", "http://127.0.0.1:8080", False),
        ("127.0.0.1", "127.0.0.1:8080", "https://example.org", True),
        ("127.0.0.1", "127.0.0.1:8080", "null", True),
        ("127.0.0.1", "example.org:8080", "http://example.org:8080", True),  # a name that leads here
        ("127.0.0.1", None, None, True),
        ("0.0.0.0", "studio:8080", "http://studio:8080", False),
        ("0.0.0.0", "studio:8080", "http://example.org", True),
    ],
)
def test_who_is_refused(host, asked, origin, refused):
    assert bool(refusal(host, asked, origin)) == refused


def test_a_page_of_somebody_else_cannot_connect(server):
    with PageClient(address_of(server), origin=f"http://localhost:{server.get_port()}") as client:
        assert client.read(10.0), "the own page gets the scene"
    with pytest.raises(InvalidStatus, match="403"):
        PageClient(address_of(server), origin="https://example.org")


def test_the_page_is_not_published_through_a_relay(server):
    """viser opens a tunnel to a server on the internet for any client that asks for it."""
    asked = []
    server.request_share_url = lambda *_: asked.append("url")
    with PageClient(address_of(server)) as client:
        client.send({"type": "ShareUrlRequest"})
        client.send({"type": "ShareUrlDisconnect"})
        client.read(1.0)
        time.sleep(0.2)
    assert not asked


def test_the_port_is_on_loopback_alone_and_the_next_one_where_it_is_taken(server):
    others = {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        with pytest.raises(OSError):
            socket.create_connection((address, server.get_port()), 1.0).close()
    second = open_server("127.0.0.1", server.get_port())
    try:
        assert second.get_port() > server.get_port()
    finally:
        second.stop()


def test_behind_the_last_port_and_after_many_tries_the_system_chooses_one(monkeypatch):
    with socket.socket() as other, contextlib.suppress(OSError):  # whoever has it, it is taken
        other.bind(("127.0.0.1", LAST_PORT))
        other.listen()
        open_server("127.0.0.1", LAST_PORT).stop()
    monkeypatch.setattr("diffmocap.viewer.server.PORTS", 1)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        open_server("127.0.0.1", other.getsockname()[1]).stop()


def test_an_address_that_is_none_of_this_computer_is_an_error():
    with pytest.raises(SettingsError, match="192.0.2.1.*127.0.0.1 for itself alone"):
        open_server("192.0.2.1", 0)


# --- what is drawn --------------------------------------------------------------------------------------------------


def test_a_pose_moves_the_bones_and_one_without_sense_hides_the_body(scene):
    scene.show(pose(0.5))
    assert scene._body.visible and np.allclose(scene._body.bones[0].position, pose(0.5).joints_m[0])
    broken = pose().joints_m.copy()
    broken[3] = np.nan
    for hidden in (pose(joints_m=broken), pose(rotations_xyzw=0.0 * STANDING), pose(tracking=TrackingState.SEARCHING)):
        scene.show(pose())
        assert scene._body.visible
        scene.show(hidden)
        assert not scene._body.visible


def test_the_body_s_colour_says_how_it_is_followed(scene):
    for tracking, colour in (
        (None, BODY), (TrackingState.TRACKED, BODY), (TrackingState.PREDICTED, BODY_PREDICTED),
        (TrackingState.LOST, BODY_LOST),
    ):  # fmt: skip
        scene.show(pose(tracking=tracking))
        assert tuple(scene._body.color) == colour
    scene.lost("no pose for 2.3 s")
    assert tuple(scene._body.color) == BODY_LOST and scene._word.visible and scene._word.text == "no pose for 2.3 s"
    scene.show(pose())
    assert tuple(scene._body.color) == BODY and not scene._word.visible


def test_forces_are_arrows_of_a_millimetre_a_newton_and_go_with_the_contacts(scene):
    points, forces = np.array([[0.0, 1.0, 3.0]]), np.array([[0.0, -700.0, 20.0]])
    scene.show(pose(contact_points_m=points, contact_forces_n=forces))
    assert scene._contacts.visible
    assert np.allclose(scene._forces.points, [[[0.0, 1.0, 3.0], [0.0, 0.3, 3.02]]], atol=1e-6)
    scene.show(pose())
    assert not scene._contacts.visible


def test_a_layer_that_is_hidden_stays_hidden(scene):
    scene.show_layer("Body", False)
    scene.show(pose())
    assert not scene._body.visible
    scene.show_layer("Body", True)
    assert scene._body.visible
    scene.show_layer("Ghosts", False)
    scene.show_layer("Ghosts", True)
    assert not scene._ghosts.visible, "there are none"
    scene.show_ghosts(np.ones((46, 2, 3)), np.full((46, 2), 0.5))
    assert scene._ghosts.visible and scene._ghosts.points.shape == (46, 2, 3)


def test_the_picture_has_the_camera_s_angle(scene):
    intrinsics = CameraIntrinsics.from_fov(640, 480, 60.0)
    scene.show_picture(np.zeros((120, 160, 3), np.uint8), intrinsics)
    assert np.isclose(scene._picture.fov, np.deg2rad(60.0)) and np.isclose(scene._picture.aspect, 4 / 3)
    wide = CameraIntrinsics(640, 480, 400.0, 400.0, 320.0, 240.0)
    scene.show_picture(np.zeros((120, 160, 3), np.uint8), wide)
    assert np.isclose(scene._picture.fov, 2 * np.arctan(240 / 400))


# --- a client that is slow ------------------------------------------------------------------------------------------


def test_a_slow_client_misses_poses_and_then_gets_the_newest(server, scene):
    """Nothing is kept for it: while it does not read, 600 poses and 200 pictures are drawn."""
    intrinsics, shown = CameraIntrinsics.from_fov(320, 240), 600
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    with PageClient(address_of(server), receive_buffer=1 << 16) as client:
        while client.read(0.3):
            pass
        before = client.received_bytes
        for i in range(shown):
            scene.show(pose(0.001 * i))
            if i % 3 == 0:
                scene.show_picture(np.roll(noise, i, 0), intrinsics)
            if i % 20 == 0:
                time.sleep(0.02)  # for the server's thread
        moves, newest = 0, None
        while messages := client.read(0.5):
            for message in messages:
                if message["type"] == "SetBonePositionMessage" and message["bone_index"] == 0:
                    moves, newest = moves + 1, message["position"][0]
    assert newest == pytest.approx(pose(0.001 * (shown - 1)).joints_m[0, 0])
    assert moves < shown / 4
    assert client.received_bytes - before < 5_000_000, "all the pictures are 8.6 MB"


# --- the side bar ---------------------------------------------------------------------------------------------------


def test_a_control_is_made_for_each_kind_of_parameter_and_tells_what_its_user_sets(server, scene):
    told = []
    controls = Panel(server, scene, lambda name, value: told.append((name, value))).controls
    controls.offer(
        [
            Control("steps", 1, "Steps.", 1, 50),
            Control("guidance", 0.0, "Weight.", 0.0, 10.0),
            Control("budget_ms", 50.0, "Budget.", 0.0, 10_000.0),
            Control("physics", True),
            Control("sampler", "ddim", choices=("ddim", "dpm")),
            Control("device", "cpu"),
            Control("physics_weights.slip", 1.0, low=0.0, high=100.0),
        ]
    )
    folders = {handle._impl.parent_container_id for handle in controls._folders}
    assert folders == {controls._container._id}, "below their tab"
    kinds = {name: type(handle).__name__ for name, handle in controls._handles.items()}
    assert kinds == {
        "steps": "GuiSliderHandle", "guidance": "GuiSliderHandle", "budget_ms": "GuiNumberHandle",
        "physics": "GuiCheckboxHandle", "sampler": "GuiDropdownHandle", "physics_weights.slip": "GuiNumberHandle",
    }  # fmt: skip
    with PageClient(address_of(server)) as client:
        assert client.read(10.0)
        steps = controls._handles["steps"]
        client.send({"type": "GuiUpdateMessage", "uuid": steps._impl.uuid, "updates": {"value": 3}})
        deadline_s = time.monotonic() + 10.0
        while not told and time.monotonic() < deadline_s:
            client.read(0.05)
        assert told == [("steps", 3)]
        controls.tell({"steps": 1, "unknown": 2})
        assert steps.value == 1 and told == [("steps", 3)], "what the node has is shown, and not set again"
