"""A room, a camera and a dressed person, drawn by PyBullet's software renderer."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass

import cv2
import numpy as np
import pybullet

from benchmarks.synthetic.appearance import DressedBody
from diffmocap.types import CameraIntrinsics

#: Images are drawn this many times larger and averaged down: the renderer itself does not smooth edges.
SUPERSAMPLING = 2
NEAR, FAR = 0.1, 40.0
#: The room reaches this far from the world's origin in x and z [m].
ROOM_HALF_WIDTH = 7.0


@dataclass(frozen=True)
class Camera:
    """A pinhole camera in a y-up world.

    Attributes:
        intrinsics: square pixels, principal point in the middle of the image.
        rotation: [3, 3] R_optical_world.
        position: [3] of the camera in the world [m].
    """

    intrinsics: CameraIntrinsics
    rotation: np.ndarray
    position: np.ndarray

    @classmethod
    def looking_at(cls, intrinsics: CameraIntrinsics, position: np.ndarray, target: np.ndarray) -> Camera:
        """Upright camera at ``position`` with ``target`` on its optical axis."""
        forward = np.asarray(target, float) - np.asarray(position, float)
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 1.0, 0.0])
        right /= np.linalg.norm(right)
        return cls(intrinsics, np.stack([right, np.cross(forward, right), forward]), np.asarray(position, float))

    def to_optical(self, points: np.ndarray) -> np.ndarray:
        """World points [..., 3] in the optical frame."""
        return (points - self.position) @ self.rotation.T

    def view_matrix(self) -> list[float]:
        """OpenGL view matrix, column major: x right, y up, z backwards."""
        view = np.eye(4)
        view[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ self.rotation
        view[:3, 3] = -view[:3, :3] @ self.position
        return view.T.reshape(-1).tolist()

    def projection_matrix(self) -> list[float]:
        """OpenGL projection matrix, column major."""
        k = self.intrinsics
        projection = np.zeros((4, 4))
        projection[0, 0], projection[1, 1] = 2 * k.fx / k.width, 2 * k.fy / k.height
        projection[0, 2], projection[1, 2] = 1 - 2 * k.cx / k.width, 2 * k.cy / k.height - 1
        projection[2, 2], projection[2, 3] = -(FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
        projection[3, 2] = -1.0
        return projection.T.reshape(-1).tolist()


class Renderer:
    """One dressed person in one room. A context manager: PyBullet's servers go with it.

    The room is drawn once a camera, the person every frame; where the person hides the light of a distant lamp the
    floor is darkened.
    """

    def __init__(self, person: DressedBody, seed: int = 0) -> None:
        self._person = person
        self._stage, self._room = pybullet.connect(pybullet.DIRECT), pybullet.connect(pybullet.DIRECT)
        self._indices = person.faces.reshape(-1).tolist()
        self._uv = person.uv.tolist()
        self._texture = _load_texture(self._stage, person.texture)
        self._shown: int | None = None
        self._background: tuple[Camera, np.ndarray] | None = None
        rng = np.random.default_rng(seed)
        self._light = np.array([rng.uniform(-2, 2), 5.0, rng.uniform(1.0, 4.0)])
        _build_room(self._room, rng)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        pybullet.disconnect(self._stage)
        pybullet.disconnect(self._room)

    def draw(self, vertices: np.ndarray, camera: Camera) -> np.ndarray:
        """Image uint8 [H, W, 3] BGR of the person's render vertices [N, 3] in the world."""
        if self._shown is not None:
            pybullet.removeBody(self._shown, physicsClientId=self._stage)
        normals = self._person.normals(vertices[None])[0]
        self._shown = _add_mesh(
            self._stage, vertices.tolist(), self._indices, self._uv, normals.tolist(), self._texture
        )
        if self._background is None or self._background[0] is not camera:
            self._background = (camera, self._photograph(self._room, camera)[0].astype(np.float32))
        person, mask = self._photograph(self._stage, camera)
        room = self._background[1] * (1.0 - 0.45 * self._shadow(vertices, camera))[..., None]
        image = np.where(mask[..., None], person, room).astype(np.uint8)
        k = camera.intrinsics
        return cv2.resize(image, (k.width, k.height), interpolation=cv2.INTER_AREA)[..., ::-1].copy()

    def _photograph(self, client: int, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
        """RGB [H, W, 3] and where something was hit [H, W], at the supersampled size."""
        width, height = camera.intrinsics.width * SUPERSAMPLING, camera.intrinsics.height * SUPERSAMPLING
        _, _, pixels, _, owner = pybullet.getCameraImage(
            width, height, camera.view_matrix(), camera.projection_matrix(), lightDirection=self._light.tolist(),
            lightColor=[1, 1, 1], lightDistance=8, shadow=0, lightAmbientCoeff=0.62, lightDiffuseCoeff=0.45,
            lightSpecularCoeff=0.03, renderer=pybullet.ER_TINY_RENDERER, physicsClientId=client,
        )  # fmt: skip
        rgb = np.reshape(pixels, (height, width, 4))[..., :3].astype(np.uint8)
        return rgb, np.reshape(owner, (height, width)) >= 0

    def _shadow(self, vertices: np.ndarray, camera: Camera) -> np.ndarray:
        """Darkness 0..1 [H, W] of the person's shadow on the floor y = 0, at the supersampled size."""
        k = camera.intrinsics
        mask = np.zeros((k.height, k.width), np.float32)
        on_floor = vertices - vertices[:, 1:2] / self._light[1] * self._light
        optical = camera.to_optical(on_floor)
        optical = optical[optical[:, 2] > NEAR]
        x = np.round(optical[:, 0] / optical[:, 2] * k.fx + k.cx).astype(int)
        y = np.round(optical[:, 1] / optical[:, 2] * k.fy + k.cy).astype(int)
        seen = (x >= 0) & (x < k.width) & (y >= 0) & (y < k.height)
        mask[y[seen], x[seen]] = 1.0
        mask = cv2.GaussianBlur(cv2.dilate(mask, np.ones((7, 9), np.uint8)), (0, 0), 2.0)
        return cv2.resize(mask, (k.width * SUPERSAMPLING, k.height * SUPERSAMPLING))


def _load_texture(client: int, image: np.ndarray) -> int:
    with tempfile.NamedTemporaryFile(suffix=".png") as file:  # PyBullet reads textures from files alone
        cv2.imwrite(file.name, image[..., ::-1])
        return pybullet.loadTexture(file.name, physicsClientId=client)


def _add_mesh(client: int, vertices: list, indices: list, uv: list, normals: list, texture: int) -> int:
    shape = pybullet.createVisualShape(
        pybullet.GEOM_MESH, vertices=vertices, indices=indices, uvs=uv, normals=normals,
        rgbaColor=[1, 1, 1, 1], specularColor=[0, 0, 0], physicsClientId=client,
    )  # fmt: skip
    body = pybullet.createMultiBody(0, -1, shape, physicsClientId=client)
    pybullet.changeVisualShape(body, -1, textureUniqueId=texture, physicsClientId=client)
    return body


def _build_room(client: int, rng: np.random.Generator) -> None:
    half, height = ROOM_HALF_WIDTH, 5.0
    corners = [(-half, -half), (half, -half), (half, half), (-half, half)]
    floor = [[x, 0.0, z] for x, z in corners]
    _add_quad(client, floor[::-1], _load_texture(client, _floor_texture(rng)))
    wall_texture = _load_texture(client, _wall_texture(rng))
    for (x0, z0), (x1, z1) in zip(corners, corners[1:] + corners[:1], strict=True):
        _add_quad(client, [[x0, 0, z0], [x1, 0, z1], [x1, height, z1], [x0, height, z0]], wall_texture)


def _add_quad(client: int, corners: list[list[float]], texture: int) -> None:
    """A rectangle seen from where its corners run counterclockwise, split finely for the lighting."""
    n = 12
    a, b, _, d = np.array(corners, float)
    u, v = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n))
    points = a + u[..., None] * (b - a) + v[..., None] * (d - a)
    i = np.arange(n * n).reshape(n, n)
    quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], axis=-1).reshape(-1, 4)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    normal = np.cross(b - a, d - a) / np.linalg.norm(np.cross(b - a, d - a))
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    _add_mesh(
        client, points.reshape(-1, 3).tolist(), faces.reshape(-1).tolist(), uv.tolist(), [normal.tolist()] * (n * n),
        texture,
    )  # fmt: skip


def _floor_texture(rng: np.random.Generator) -> np.ndarray:
    """Wooden boards, RGB."""
    size, boards = 1024, 64
    base = rng.uniform(0.75, 1.1) * np.array([176, 142, 108])
    tone = rng.normal(1.0, 0.045, (boards, 6))
    image = np.repeat(np.repeat(tone, size // boards, axis=0), size // 6 + 1, axis=1)[:size, :size]
    grain = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), sigmaX=12, sigmaY=0.8)
    image = image + 0.04 * grain / grain.std()
    image[:: size // boards] *= 0.85
    return np.clip(image[..., None] * base, 0, 255).astype(np.uint8)


def _wall_texture(rng: np.random.Generator) -> np.ndarray:
    """A painted wall with a skirting board, and some pictures, RGB."""
    height, width = 512, 2048
    colour = np.array([206, 204, 198]) * rng.uniform(0.75, 1.1) + rng.uniform(-14, 14, 3)
    cloud = cv2.GaussianBlur(rng.normal(size=(height, width)), (0, 0), 60)
    image = np.clip(colour * (1 + 0.03 * cloud[..., None] / cloud.std()), 0, 255)
    for _ in range(rng.integers(2, 6)):
        x, y = rng.integers(60, width - 260), rng.integers(90, 200)
        w, h = rng.integers(60, 150), rng.integers(70, 150)
        image[y - 5 : y + h + 5, x - 5 : x + w + 5] = rng.uniform(30, 90)
        patch = cv2.resize(rng.uniform(60, 220, (4, 4, 3)), (int(w), int(h)), interpolation=cv2.INTER_CUBIC)
        image[y : y + h, x : x + w] = np.clip(patch, 0, 255)
    image[-18:] = np.clip(colour * 1.15, 0, 255)
    image[-20:-18] = colour * 0.7
    return image.astype(np.uint8)
