"""What the rendered person wears: clothes a little off the skin, and a texture painted from front and back."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES

#: Texture pixels along one side of the front (left half) and of the back (right half).
TEXTURE_SIZE = 1024
#: How far each garment stands off the skin [m].
STAND_OFF = {"shirt": 0.010, "trousers": 0.012, "shoes": 0.006, "hair": 0.016, "skin": 0.0}


@dataclass(frozen=True)
class Appearance:
    """Colours are RGB in 0..255. ``sleeve`` is the covered share of the arm from shoulder (0) to wrist (1)."""

    skin: tuple[int, int, int] = (214, 168, 140)
    hair: tuple[int, int, int] = (58, 40, 30)
    shirt: tuple[int, int, int] = (178, 62, 54)
    trousers: tuple[int, int, int] = (58, 68, 96)
    shoes: tuple[int, int, int] = (36, 36, 38)
    sleeve: float = 0.35
    stripes: bool = False

    @classmethod
    def random(cls, seed: int) -> Appearance:
        """One of many people: skin from light to dark, clothes of any colour."""
        rng = np.random.default_rng(seed)
        tone = rng.uniform(0.35, 1.05)

        def cloth(low: int, high: int) -> tuple[int, int, int]:
            return tuple(int(c) for c in rng.integers(low, high, 3))

        return cls(
            skin=tuple(int(min(c * tone, 255)) for c in (222, 176, 150)),
            hair=tuple(int(c) for c in np.array([70, 48, 34]) * rng.uniform(0.3, 2.2)),
            shirt=cloth(40, 230), trousers=cloth(25, 120), shoes=cloth(20, 70),
            sleeve=float(rng.choice([0.35, 1.0])), stripes=bool(rng.random() < 0.4),
        )  # fmt: skip


class DressedBody:
    """The body model's skin with clothes: render mesh, texture coordinates and texture.

    Attributes:
        faces: [F, 3] indices into the render vertices.
        uv: [N, 2] texture coordinates of the render vertices.
        texture: [TEXTURE_SIZE, 2 TEXTURE_SIZE, 3] RGB.
    """

    def __init__(self, body: BodyModel, appearance: Appearance) -> None:
        template = body.template.cpu().numpy().astype(float)
        faces = body.faces.cpu().numpy()
        normals = vertex_normals(template[None], faces)[0]
        hems = Hems.of(body, appearance)
        garment = _garments(body, template, hems)
        stand_off = np.array([STAND_OFF[g] for g in _GARMENTS])[garment]
        self._dressed = copy.copy(body)
        self._dressed.template = body.template + torch.as_tensor(stand_off[:, None] * normals).to(body.template)
        # Faces that look backwards take the right half of the texture; vertices that serve both kinds are doubled.
        a, b, c = (template[faces[:, k]] for k in range(3))
        back = np.cross(b - a, c - a)[:, 2] < 0
        corner = faces + len(template) * back[:, None]
        used, flat = np.unique(corner, return_inverse=True)
        self.faces = flat.reshape(corner.shape)
        self._source = used % len(template)
        plane = _plane(template)[self._source]
        on_back = used >= len(template)
        self.uv = np.stack([(plane[:, 0] + on_back) / 2, 1.0 - plane[:, 1]], axis=1)
        self.texture = _paint(body, template, faces, garment, back, appearance, hems)

    def vertices(self, rotations: torch.Tensor, pelvis: torch.Tensor, betas: torch.Tensor | None = None) -> np.ndarray:
        """Render vertices [T, N, 3] in the frame of ``rotations[:, 0]`` and ``pelvis``, in metres."""
        return self._dressed.vertices(rotations, pelvis, betas).cpu().numpy()[:, self._source]

    def normals(self, vertices: np.ndarray) -> np.ndarray:
        """Unit normals [T, N, 3] of render vertices, the same on both sides of a texture seam."""
        count = int(self._source.max()) + 1
        merged = np.zeros((len(vertices), count, 3))
        merged[:, self._source] = vertices
        return vertex_normals(merged, self._source[self.faces])[:, self._source]


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [T, V, 3] of vertices [T, V, 3]."""
    a, b, c = (vertices[:, faces[:, k]] for k in range(3))
    area = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for t in range(len(vertices)):
        for axis in range(3):
            for k in range(3):
                normals[t, :, axis] += np.bincount(faces[:, k], area[t, :, axis], minlength=vertices.shape[1])
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)


_GARMENTS = ("skin", "hair", "shirt", "trousers", "shoes")


@dataclass(frozen=True)
class Hems:
    """Where garments end on the T-posed body [m]: heights, the sleeve's end from the middle, the collar's circle."""

    waist: float
    ankle: float
    sleeve: float
    collar_height: float
    collar_radius: float = 0.095

    @classmethod
    def of(cls, body: BodyModel, appearance: Appearance) -> Hems:
        joint = dict(zip(JOINT_NAMES, body.rest_joints()[0].tolist(), strict=True))
        shoulder, wrist = joint["left_shoulder"][0], joint["left_wrist"][0]
        return cls(
            waist=joint["pelvis"][1] + 0.06, ankle=joint["left_ankle"][1] + 0.01,
            sleeve=shoulder + appearance.sleeve * (wrist - shoulder) - 0.01, collar_height=joint["neck"][1] + 0.03,
        )  # fmt: skip

    def garment_at(self, side: np.ndarray, up: np.ndarray) -> np.ndarray:
        """Index into ``_GARMENTS`` below the head, by distance from the middle and height."""
        garment = np.full(np.shape(side), _GARMENTS.index("shirt"))
        garment[up < self.waist] = _GARMENTS.index("trousers")
        garment[up < self.ankle] = _GARMENTS.index("shoes")
        bare = (side > self.sleeve) | (np.hypot(side, up - self.collar_height) < self.collar_radius)
        garment[bare] = _GARMENTS.index("skin")
        return garment


def _garments(body: BodyModel, template: np.ndarray, hems: Hems) -> np.ndarray:
    """Index into ``_GARMENTS`` for every vertex, by its main joint and its place in the T-pose."""
    owner = body.skin_weights.cpu().numpy().argmax(axis=1)
    side, up, front = np.abs(template[:, 0]), template[:, 1], template[:, 2]
    garment = hems.garment_at(side, up)
    head = owner == JOINT_NAMES.index("head")
    eyes = template[body.vertex_ids["leye"]]
    hairline = eyes[1] + 0.055 - 0.16 * np.clip((eyes[2] - front) / 0.12, 0.0, 1.0)  # falls towards the nape
    garment[head] = np.where(up[head] > hairline[head], _GARMENTS.index("hair"), _GARMENTS.index("skin"))
    garment[owner == JOINT_NAMES.index("neck")] = _GARMENTS.index("skin")
    return garment


def _plane_frame(template: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre [2] and size [m] of the square of the rest pose's x-y plane that the texture shows."""
    low, high = template[:, :2].min(axis=0) - 0.02, template[:, :2].max(axis=0) + 0.02
    return (low + high) / 2, float((high - low).max())


def _plane(template: np.ndarray) -> np.ndarray:
    """Texture plane coordinates in 0..1 of rest positions, x to the subject's left, y down."""
    centre, size = _plane_frame(template)
    flat = (template[:, :2] - centre) / size
    return np.stack([0.5 + flat[:, 0], 0.5 - flat[:, 1]], axis=1)


def _straighten_hems(label: np.ndarray, template: np.ndarray, hems: Hems) -> np.ndarray:
    """Garments end where the mesh's faces do; redraw their ends as straight lines, pixel by pixel."""
    centre, size = _plane_frame(template)
    steps = (np.arange(len(label)) + 0.5) / len(label) - 0.5
    side, up = np.abs(centre[0] + steps * size)[None, :], (centre[1] - steps * size)[:, None]
    garment = hems.garment_at(*np.broadcast_arrays(side, up))
    below_head = (label != 255) & (label != _GARMENTS.index("hair")) & (up < hems.collar_height)
    return np.where(below_head, garment, label).astype(np.uint8)


def _paint(
    body: BodyModel, template: np.ndarray, faces: np.ndarray, garment: np.ndarray, back: np.ndarray,
    appearance: Appearance, hems: Hems,
) -> np.ndarray:  # fmt: skip
    size = TEXTURE_SIZE
    plane = _plane(template) * size
    palette = np.array([getattr(appearance, g) for g in _GARMENTS], float)
    rng = np.random.default_rng(7)
    halves = []
    for behind in (False, True):
        image = np.zeros((size, size, 3), np.uint8)
        label = np.full((size, size), 255, np.uint8)
        own = faces[back == behind]
        own = own[np.argsort(template[own, 2].mean(axis=1) * (-1 if behind else 1))]  # what hides the rest comes last
        for corners, kind in zip(plane[own], np.sort(garment[own], axis=1)[:, 1], strict=True):
            cv2.fillConvexPoly(label, np.round(corners).astype(np.int32), int(kind))
        label = _straighten_hems(_grow(label, 12), template, hems)
        image[:] = palette[np.minimum(label, len(_GARMENTS) - 1)]
        if appearance.stripes:
            rows = (np.arange(size) // 14 % 2 == 0)[:, None]
            image[rows & (label == _GARMENTS.index("shirt"))] = np.clip(palette[2] * 0.55 + 60, 0, 255)
        if not behind:
            _paint_front(image, label, body, plane, appearance)
        grain = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), 1.5)
        folds = cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), 14)
        cloth = np.isin(label, [1, 2, 3])
        shade = 1 + 0.08 * grain / grain.std() * np.where(cloth, 1.0, 0.15) + 0.07 * folds / folds.std() * cloth
        halves.append(np.clip(image * shade[..., None], 0, 255).astype(np.uint8))
    return np.concatenate(halves, axis=1)


def _paint_front(image: np.ndarray, label: np.ndarray, body: BodyModel, plane: np.ndarray, look: Appearance) -> None:
    """Face, belt, and a print on the chest."""

    def dark(color, factor):
        return tuple(float(c) * factor for c in color)

    def at(name):
        return np.round(plane[body.vertex_ids[name]]).astype(int)

    metre = np.linalg.norm(plane[body.vertex_ids["leye"]] - plane[body.vertex_ids["reye"]]) / 0.060
    right, left, nose = at("reye"), at("leye"), at("nose")
    for eye in (right, left):
        cv2.ellipse(image, eye.tolist(), (int(0.015 * metre), int(0.007 * metre)), 0, 0, 360, (240, 238, 235), -1)
        cv2.circle(image, eye.tolist(), max(int(0.0065 * metre), 2), (45, 35, 28), -1)
        brow = eye - [0, int(0.021 * metre)]
        size = (int(0.019 * metre), int(0.005 * metre))
        cv2.ellipse(image, brow.tolist(), size, 0, 180, 360, dark(look.hair, 0.8), 3)
    below = nose + [0, int(0.016 * metre)]
    cv2.ellipse(image, below.tolist(), (int(0.014 * metre), int(0.004 * metre)), 0, 0, 180, dark(look.skin, 0.7), 2)
    mouth = nose + [0, int(0.042 * metre)]
    cv2.ellipse(image, mouth.tolist(), (int(0.024 * metre), int(0.008 * metre)), 0, 0, 360, (176, 84, 80), -1)
    corner = np.array([int(0.022 * metre), 0])
    cv2.line(image, (mouth - corner).tolist(), (mouth + corner).tolist(), (110, 50, 48), 1)
    shirt = label == _GARMENTS.index("shirt")
    rows = np.flatnonzero(shirt.any(axis=1))
    if len(rows):
        top, bottom = rows.min(), rows.max()
        centre = (image.shape[1] // 2, int(top + 0.30 * (bottom - top)))
        cv2.circle(image, centre, int(0.05 * metre), dark(look.shirt, 0.5), -1)
        cv2.circle(image, centre, int(0.03 * metre), (235, 230, 220), -1)


def _grow(label: np.ndarray, pixels: int) -> np.ndarray:
    """Spread labels over the unlabelled pixels (255) next to them, so that seams sample a garment's own colour."""
    known = label != 255
    for _ in range(pixels):
        wider = cv2.erode(label, np.ones((3, 3), np.uint8))  # the smallest neighbour; 255 is the largest
        label = np.where(known, label, wider)
        known = label != 255
    return label
