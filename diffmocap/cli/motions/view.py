"""Shows a motion in the browser: the skinned body on its floor, with a timeline to play and to scrub.

MOTION.npz is a file that this package wrote, an AMASS file, or a clip collection (--clip names one of its clips). With
--video the video that it came from plays beside it. The page is for this computer alone; Ctrl-C ends it. Frames that
were bridged, where nobody was seen, are orange.

examples:
  diffmocap view motions/walk.npz
  diffmocap view motions/walk.npz --video walk.mp4
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from diffmocap.cli.motions.motion_file import add_motion_options, require_motion_file
from diffmocap.cli.options.setting_option import SettingOption
from diffmocap.viewer.settings import ViewerSettings

if TYPE_CHECKING:
    from diffmocap.body.model import BodyModel
    from diffmocap.motion.motion import Motion
    from diffmocap.viewer.player import PictureAt, PlayedMotion

SUMMARY = "a motion file in the browser, with a timeline"
_SETTINGS = ViewerSettings()
HOST = SettingOption("--host", _SETTINGS, "host", "ADDRESS", _SETTINGS.host)
PORT = SettingOption("--port", _SETTINGS, "port", "N", str(_SETTINGS.port))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("motion", type=Path, metavar="MOTION.npz", help="motion file")
    parser.add_argument("--video", metavar="VIDEO", help="the video of the same motion")
    add_motion_options(parser)
    HOST.add(parser)
    PORT.add(parser)
    parser.add_argument("--open", action="store_true", help="open the page in the default browser")


def run(args: argparse.Namespace) -> int:
    """Serves the page until Ctrl-C."""
    host, port = HOST.value(args) or _SETTINGS.host, PORT.value(args)
    require_motion_file(args.motion)
    from diffmocap.body.model import BodyModel
    from diffmocap.motion.motion_npz import read_motion
    from diffmocap.viewer.body import Skin
    from diffmocap.viewer.player import Player
    from diffmocap.viewer.scene import Scene
    from diffmocap.viewer.server import address_of, open_server

    body = BodyModel.load(args.body_model)
    motion = read_motion(args.motion, body, args.clip)
    pictures = None if args.video is None else pictures_of(args.video, motion)
    server = open_server(host, _SETTINGS.port if port is None else port)
    try:
        scene = Scene(server, Skin.load(args.body_model or ""))
        scene.stand(upright_world())
        player = Player(server, scene, played(motion, body), pictures)
        address = address_of(server)
        print(
            f"{args.motion}: {len(motion)} frames at {motion.fps:g} a second\n"
            f"open {address} in a browser; Ctrl-C ends it",
            file=sys.stderr, flush=True,
        )  # fmt: skip
        if args.open:
            import webbrowser

            webbrowser.open(address)
        while True:
            time.sleep(player.advance(time.monotonic()))
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


def upright_world():
    """The motion's own frame is the page's: z up, the floor at 0."""
    import numpy as np

    from diffmocap.viewer.world import World

    return World(np.eye(3), 0.0, "the motion's file")


def played(motion: Motion, body: BodyModel) -> PlayedMotion:
    """As the page shows it: z up, on the floor; a motion in the camera's frame stands where its feet rest."""
    import numpy as np
    import roma

    from diffmocap.motion.export.prepare import prepared
    from diffmocap.viewer.player import PlayedMotion

    world = motion if motion.frame == "world" else prepared(motion, body).in_frame("world")
    quaternions = roma.rotmat_to_unitquat(world.rotations.double()).numpy()
    tracked = np.ones(len(world), bool) if world.tracked is None else world.tracked.numpy().astype(bool)
    return PlayedMotion(world.fps, quaternions, world.joints(body).numpy(), tracked)


def pictures_of(video: str, motion: Motion) -> PictureAt:
    """Pictures of a video by the motion's frames, of the same time.

    Raises:
        CameraError: it cannot be read.
    """
    from bisect import bisect_right

    import cv2

    from diffmocap.camera.capture import Capture
    from diffmocap.viewer.player import PICTURE_WIDTH

    # Read in full, small: a timeline jumps, and videos are slow to jump in.
    small = []
    with Capture(video, realtime=False) as capture:
        for frame in capture:
            height, width = frame.image.shape[:2]
            size = PICTURE_WIDTH, max(round(height * PICTURE_WIDTH / width), 1)
            image = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            small.append((frame.stamp_ns, cv2.imencode(".jpg", image)[1]))
    first_ns = small[0][0]
    stamps = [1e-9 * (stamp - first_ns) for stamp, _ in small]

    def picture_at(frame: int):
        at = bisect_right(stamps, motion.start_s + frame / motion.fps + 1e-3) - 1
        bgr = cv2.imdecode(small[max(at, 0)][1], cv2.IMREAD_COLOR)
        return bgr[..., ::-1].copy()

    return picture_at
