"""How far joints are bent beyond their limits, differentiable everywhere and in few operations."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch

from diffmocap.body.joint_angles import AXES, JOINT_AXES, SMPL_FROM_URDF_AXIS, angle_limits
from diffmocap.body.skeleton import NUM_JOINTS


def _chain() -> tuple[torch.Tensor, torch.Tensor]:
    """Places [5, 23] of the entries ac, bc, cc, ab, aa of R in a pose's 216 numbers, and signs [3, 23] of the sines."""
    places, signs = [], []
    for joint, order in enumerate(JOINT_AXES, start=1):
        a, b, c = (SMPL_FROM_URDF_AXIS[AXES.index(axis)] for axis in order)
        places.append([9 * joint + e for e in (3 * a + c, 3 * b + c, 3 * c + c, 3 * a + b, 3 * a + a)])
        parity = 1.0 if order in ("xyz", "yzx", "zxy") else -1.0
        signs.append([-parity, parity, -parity])
    return torch.tensor(places).T.contiguous(), torch.tensor(signs).T.contiguous()


_PLACES, _SIGNS = _chain()


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _constants(device: torch.device, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    low, high = angle_limits().to(device, dtype).unflatten(0, (NUM_JOINTS - 1, 3)).permute(2, 1, 0)
    return _PLACES.flatten().to(device), _SIGNS.to(device, dtype), 0.5 * (low + high), 0.5 * (high - low)


class LimitExcess:
    """Like :func:`diffmocap.body.joint_angles.limit_excess` where no joint is in gimbal lock; there, finite gradients.

    A joint in lock is beyond its limits already, as middle angles are limited to less than 90 degrees.

    Attributes:
        places: [5 * 23] of the entries of R that matter in a pose's 216 numbers. signs: [3, 23] of the sines.
        middle, half: [3, 23] rad, the range of each angle.
    """

    def __init__(self, like: torch.Tensor) -> None:
        self.places, self.signs, self.middle, self.half = _constants(like.device, like.dtype)

    def evaluate(self, rotations: torch.Tensor) -> tuple[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]]:
        """Excess [..., 3, 23] rad of the three angles of joints 1 to 23, for local rotations [..., 24, 3, 3], and
        what takes its gradient to that of the rotations."""
        flat = rotations.flatten(-3)
        ac, bc, cc, ab, aa = flat.index_select(-1, self.places).unflatten(-1, (5, NUM_JOINTS - 1)).unbind(-2)
        across = torch.addcmul(aa.square().add_(1e-12), ab, ab).sqrt_()
        sines, cosines = torch.stack([bc, ac, ab], -2) * self.signs, torch.stack([cc, across, aa], -2)
        beyond = torch.atan2(sines, cosines) - self.middle
        excess = (beyond.abs() - self.half).clamp_min_(0.0)

        def pull(above: torch.Tensor) -> torch.Tensor:
            # No excess, no gradient: where there is none, ``above`` counts for nothing.
            turning = above * beyond.sign() * (excess > 0)
            turning = turning / torch.addcmul(sines.square(), cosines, cosines).clamp_min_(1e-30)
            of_bc, of_ac, of_ab = (turning * cosines * self.signs).unbind(-2)
            of_cc, of_across, of_aa = (turning * sines).neg_().unbind(-2)
            ratio = of_across / across
            of_places = torch.stack([of_ac, of_bc, of_cc, of_ab + ratio * ab, of_aa + ratio * aa], -2)
            return torch.zeros_like(flat).index_copy_(-1, self.places, of_places.flatten(-2)).view_as(rotations)

        return excess, pull
