"""Where a body may touch the ground: points of the soles, palms and knees, riding on their segments."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from diffmocap.body.model import BodyModel
from diffmocap.errors import ModelFileError

_SIDES = (("left", 7, 10, 4, 22, 1.0), ("right", 8, 11, 5, 23, -1.0))
#: Points a foot.
FOOT_POINTS = ("heel", "ball_inner", "ball_outer", "toe")
#: Parts of the foot's length, from the heel's end on, whose lowest skin is a point.
_HEEL, _BALL, _TOE = (0.0, 0.25), (0.6, 0.78), (0.9, 1.0)
#: Skin that counts as lowest [m].
_PATCH = 0.005


@dataclass(frozen=True)
class ContactPoints:
    """P balls, most of them points, fixed in segments.

    Attributes:
        names: P names such as ``left_heel``.
        segment: [P] int64, the joint whose segment carries it.
        offset: [P, 3] centre relative to that joint in segment axes (x left, y up, z forward at rest) [m].
        radius: [P] from the centre to the skin [m]; zero for points on the skin.
    """

    names: tuple[str, ...]
    segment: torch.Tensor
    offset: torch.Tensor
    radius: torch.Tensor

    @classmethod
    def from_body(cls, body: BodyModel, betas: torch.Tensor | None = None) -> ContactPoints:
        """Heel, both ends of the ball and the toe of each foot; each hand at its knuckles; each knee.

        The sole is read off the skin in the rest pose. Hands and knees are balls about their joints, since they touch
        with any side. float32.

        Raises:
            ModelFileError: a part of the foot has no skin.
        """
        shape = torch.zeros(1, body.shape_dirs.shape[-1], device=body.device) if betas is None else betas
        # Sums in double precision, so that they round to the same numbers on every processor.
        vertices = body.template.double() + torch.einsum("vck,k->vc", body.shape_dirs.double(), shape[0].double())
        rest = body.rest_joints(betas)[0].double()
        owner = body.skin_weights.argmax(1)
        names, segment, offset, radius = [], [], [], []
        for side, ankle, toes, knee, hand, left in _SIDES:
            foot = vertices[(owner == ankle) | (owner == toes)]
            start, length = foot[:, 2].min(), foot[:, 2].max() - foot[:, 2].min()
            along, across = (foot[:, 2] - start) / length, left * foot[:, 0]
            ball = (along > _BALL[0]) & (along < _BALL[1])
            if not bool(ball.any()):
                raise ModelFileError("the body's feet have no skin at the ball; its skin weights are not SMPL's")
            inner, outer = across[ball].amin(), across[ball].amax()
            parts = (
                (along >= _HEEL[0]) & (along < _HEEL[1]),
                ball & (across < inner + 0.35 * (outer - inner)),
                ball & (across > outer - 0.35 * (outer - inner)),
                (along > _TOE[0]) & (along <= _TOE[1]),
            )
            for name, part in zip(FOOT_POINTS, parts, strict=True):
                skin = foot[part]
                if len(skin) == 0:
                    raise ModelFileError(f"the body's {side} foot has no skin at the {name}")
                carrier = toes if name == "toe" else ankle
                lowest = skin[skin[:, 1] < skin[:, 1].min() + _PATCH].mean(0)
                names.append(f"{side}_{name}")
                segment.append(carrier)
                offset.append(lowest - rest[carrier])
                radius.append(vertices.new_zeros(()))
            for name, joint in (("hand", hand), ("knee", knee)):
                away = vertices - rest[joint]
                if name == "knee":  # one kneels on the front
                    away = away[away[:, 2] > 0.7 * away.norm(dim=1)]
                names.append(f"{side}_{name}")
                segment.append(joint)
                offset.append(vertices.new_zeros(3))
                radius.append(away.norm(dim=1).min())
        segments = torch.tensor(segment, device=body.device)
        return cls(tuple(names), segments, torch.stack(offset).float(), torch.stack(radius).float())

    @property
    def feet(self) -> list[int]:
        """Indices of the points on the soles, the left foot's first."""
        return [i for i, name in enumerate(self.names) if name.split("_", 1)[1] in FOOT_POINTS]

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> ContactPoints:
        """The same on another device or in another floating-point type."""
        offset, radius = self.offset.to(device=device, dtype=dtype), self.radius.to(device=device, dtype=dtype)
        return ContactPoints(self.names, self.segment.to(device=device), offset, radius)

    def centres(self, rotations: torch.Tensor, joints: torch.Tensor) -> torch.Tensor:
        """Centres [..., P, 3] m for global rotations [..., 24, 3, 3] and joints [..., 24, 3] m."""
        turned = rotations.index_select(-3, self.segment) @ self.offset[..., None]
        return joints.index_select(-2, self.segment) + turned[..., 0]
