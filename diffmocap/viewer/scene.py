"""What stands in the page's 3D view: body, ghosts, forces, floor, the camera with its picture, and a word where no pose
comes.

Everything that poses move lies below the node ``/camera``, the optical frame, whose place is a
:class:`~diffmocap.viewer.world.World`; no point is turned here. Nodes are made once and then only changed, and a client
that is slow gets the newest change of each alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from diffmocap.output.tracking_state import TrackingState
from diffmocap.types import CameraIntrinsics
from diffmocap.viewer.body import Skin, global_rotations
from diffmocap.viewer.pose import ViewedPose
from diffmocap.viewer.world import World

#: RGB. The body by its state: followed; not sure yet; carried on without a pose; not there any more.
BODY = (222, 206, 188)
BODY_TENTATIVE = (224, 196, 96)
BODY_PREDICTED = (236, 140, 70)
BODY_LOST = (112, 116, 122)
GHOST, FORCE, CONTACT, CAMERA = (158, 168, 224), (242, 64, 76), (255, 196, 60), (120, 170, 255)
BACKGROUND = (36, 39, 45)
#: Length of a force's arrow [m/N], as of the markers: a person's weight is most of a metre.
FORCE_LENGTH = 1e-3
#: Of the drawn camera: the depth of its picture [m].
FRUSTUM_M = 0.45
#: From where a person is looked at first: from behind the camera and beside it, a little from above [m, world axes].
FIRST_VIEW = np.array([-2.9, -2.5, 0.8])
#: Vertical field of view of who looks at the page.
VIEW_FOV_RAD = np.deg2rad(45.0)
#: The pelvis of somebody who stands where nobody is known yet [m, world].
USUAL_PLACE = np.array([2.5, 0.0, 0.9])
#: Names of the layers that a user may hide, and their nodes.
LAYERS = {
    "Body": "/camera/body",
    "Ghosts": "/camera/ghosts",
    "Contacts and forces": "/camera/contacts",
    "Floor": "/floor",
    "Camera": "/camera/picture",
}
_ATTENTION = {
    TrackingState.TENTATIVE: BODY_TENTATIVE,
    TrackingState.PREDICTED: BODY_PREDICTED,
    TrackingState.LOST: BODY_LOST,
}


class Scene:
    """Draws on a server's page.

    Args:
        server: viser's.
        skin: of the body that is posed.
    """

    def __init__(self, server: Any, skin: Skin) -> None:
        self._server = server
        self.world = World.guessed()
        self.hidden: set[str] = set()
        self._there: dict[str, bool] = {}
        self._lens: tuple[float, float] | None = None
        self._pelvis_m: np.ndarray | None = None
        add = server.scene
        add.set_up_direction("+z")
        add.configure_environment_map(None)  # seconds of work for a browser without a GPU
        add.add_light_hemisphere("/sky", sky_color=(236, 242, 255), ground_color=(92, 84, 76), intensity=1.6)
        pixel = np.full((1, 1, 3), BACKGROUND, np.uint8)
        add.set_background_image(pixel, format="png")
        self._camera = add.add_frame("/camera", show_axes=False)
        self._floor = add.add_grid(
            "/floor", plane="xy", infinite_grid=True, fade_distance=14.0, fade_from="origin", cell_size=0.25,
            cell_color=(70, 75, 84), section_color=(104, 112, 124), section_size=1.0, shadow_opacity=0.45,
        )  # fmt: skip
        upright = np.tile([1.0, 0.0, 0.0, 0.0], (len(skin.joints_m), 1))
        self._body = add.add_mesh_skinned(
            "/camera/body", skin.vertices_m, skin.faces, bone_wxyzs=upright, bone_positions=skin.joints_m,
            skin_weights=skin.weights, color=BODY, visible=False,
        )  # fmt: skip
        segment = np.zeros((1, 2, 3), np.float32)
        self._ghosts = add.add_line_segments(
            "/camera/ghosts", segment, np.full((1, 2, 3), GHOST, np.uint8), thickness=0.012, visible=False
        )
        self._contacts = add.add_frame("/camera/contacts", show_axes=False, visible=False)
        self._points = add.add_point_cloud(
            "/camera/contacts/points", np.zeros((1, 3), np.float32), CONTACT, point_size=0.03, point_shape="circle",
            precision="float32",
        )  # fmt: skip
        self._forces = add.add_arrows(
            "/camera/contacts/forces", segment, FORCE, shaft_radius=0.012, head_radius=0.03, head_length=0.07
        )
        self._picture: Any = None
        self._word = add.add_label("/word", "", anchor="bottom-center", font_screen_scale=1.4, visible=False)
        self.stand(self.world)

    @property
    def pelvis_m(self) -> np.ndarray:
        """[3] where the person is in the world, or would be."""
        return USUAL_PLACE if self._pelvis_m is None else self.world.points(self._pelvis_m)

    def stand(self, world: World) -> bool:
        """Places the camera above the floor; False where nobody would see a difference."""
        if world is not self.world and not world.differs(self.world):
            return False
        self.world = world
        self._camera.wxyz, self._camera.position = world.wxyz, world.position_m
        return True

    def show(self, pose: ViewedPose) -> None:
        """Draws a pose; a body without a usable one is hidden."""
        drawable = pose.drawable and pose.tracking is not TrackingState.SEARCHING
        with self._server.atomic():
            if drawable:
                self._pelvis_m = pose.joints_m[0].copy()
                self._body.color = _ATTENTION.get(pose.tracking, BODY)
                wxyz = global_rotations(pose.rotations_xyzw)[:, [3, 0, 1, 2]]
                for bone, orientation, position in zip(self._body.bones, wxyz, pose.joints_m):
                    bone.wxyz, bone.position = orientation, position
                self._show_contacts(pose)
            self._set("Body", drawable)
            self._set("Contacts and forces", drawable and len(pose.contact_points_m) > 0)
            self._word.visible = False

    def show_ghosts(self, segments_m: np.ndarray, strengths: np.ndarray) -> None:
        """Draws the other hypotheses.

        Args:
            segments_m: [N, 2, 3] bones in the optical frame; none hides the ghosts.
            strengths: [N, 2] from 0, hardly to be seen, to 1.
        """
        with self._server.atomic():
            if len(segments_m):
                strengths = np.clip(strengths, 0.0, 1.0)[..., None]
                colors = (strengths * GHOST + (1.0 - strengths) * BACKGROUND).astype(np.uint8)
                self._ghosts.points, self._ghosts.colors = segments_m.astype(np.float32), colors
            self._set("Ghosts", len(segments_m) > 0)

    def show_picture(self, rgb: np.ndarray, intrinsics: CameraIntrinsics) -> None:
        """Shows an image uint8 [H, W, 3] RGB of a camera in its frustum."""
        fov_rad = 2.0 * float(np.arctan(0.5 * intrinsics.height / intrinsics.fy))
        aspect = (intrinsics.width / intrinsics.fx) / (intrinsics.height / intrinsics.fy)
        if self._picture is None:
            self._picture = self._server.scene.add_camera_frustum(
                "/camera/picture", fov_rad, aspect, scale=FRUSTUM_M, image=rgb, jpeg_quality=70, color=CAMERA,
                thickness=0.006, cast_shadow=False, receive_shadow=False, visible="Camera" not in self.hidden,
            )  # fmt: skip
        else:
            if self._lens != (fov_rad, aspect):
                self._picture.fov, self._picture.aspect = fov_rad, aspect
            self._picture.image = rgb
        self._lens = (fov_rad, aspect)
        self._set("Camera", True)

    def lost(self, word: str) -> None:
        """No pose comes any more: what is drawn turns grey, with a word above it."""
        with self._server.atomic():
            self._body.color = BODY_LOST
            self._set("Contacts and forces", False)
            self._set("Ghosts", False)
            self._word.text = word
            self._word.position = self.pelvis_m + np.array([0.0, 0.0, 1.1])
            self._word.visible = True

    def show_layer(self, name: str, shown: bool) -> None:
        """Shows or hides one of :data:`LAYERS`."""
        self.hidden = self.hidden - {name} if shown else self.hidden | {name}
        self._set(name, self._there.get(name, name == "Floor"))

    def _show_contacts(self, pose: ViewedPose) -> None:
        if not len(pose.contact_points_m):
            return
        points = pose.contact_points_m.astype(np.float32)
        self._points.points = points
        self._forces.points = np.stack([points, points + FORCE_LENGTH * pose.contact_forces_n.astype(np.float32)], 1)

    def _set(self, layer: str, there: bool) -> None:
        """Whether there is something to draw in a layer."""
        self._there[layer] = there
        node = {
            "Body": self._body, "Ghosts": self._ghosts, "Contacts and forces": self._contacts, "Floor": self._floor,
            "Camera": self._picture,
        }[layer]  # fmt: skip
        if node is not None:
            node.visible = there and layer not in self.hidden
