"""A floor under a posed body: settling on it, standing on it, and how far each part lies above it.

The body is taken for spheres about its joints and its heels, toes and nose. Everything is batched, the world is y-up.
"""

from __future__ import annotations

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES

#: Flesh about the joints [m].
JOINT_RADIUS_M = {
    "pelvis": 0.10, "hip": 0.075, "spine1": 0.10, "spine2": 0.10, "spine3": 0.11, "neck": 0.06, "head": 0.10,
    "collar": 0.06, "shoulder": 0.06, "elbow": 0.04, "wrist": 0.03, "hand": 0.04, "knee": 0.05, "ankle": 0.05,
    "foot": 0.04,
}  # fmt: skip
#: Points of the skin that are spheres of no size.
SKIN_POINTS = ("Nose", "LHeel", "LBigToe", "LSmallToe", "RHeel", "RBigToe", "RSmallToe")

#: Segments' shares of the body's mass (Winter, Biomechanics and Motor Control of Human Movement, table 4.1), half at
#: each end.
SEGMENT_MASS = {
    ("pelvis", "spine1"): 0.142, ("spine1", "spine3"): 0.139, ("spine3", "neck"): 0.216, ("neck", "head"): 0.081,
    ("hip", "knee"): 0.100, ("knee", "ankle"): 0.0465, ("ankle", "foot"): 0.0145,
    ("shoulder", "elbow"): 0.028, ("elbow", "wrist"): 0.016, ("wrist", "hand"): 0.006,
}  # fmt: skip


def _without_side(name: str) -> str:
    return name.removeprefix("left_").removeprefix("right_")


_RADII = torch.tensor([JOINT_RADIUS_M[_without_side(name)] for name in JOINT_NAMES] + [0.0] * len(SKIN_POINTS))
_SKIN = [KEYPOINT_NAMES.index(name) for name in SKIN_POINTS]


def _mass_of_joints() -> torch.Tensor:
    mass = torch.zeros(len(JOINT_NAMES))
    for ends, share in SEGMENT_MASS.items():
        for end in ends:
            for j, name in enumerate(JOINT_NAMES):
                if _without_side(name) == end:
                    mass[j] += share / 2
    return mass / mass.sum()


_MASS = _mass_of_joints()


def surface_points(body: BodyModel, rotations: torch.Tensor) -> torch.Tensor:
    """Centres [B, 31, 3] of the spheres about the pelvis: the joints, then :data:`SKIN_POINTS`."""
    joints, keypoints = body.joints_and_keypoints(rotations, torch.zeros(len(rotations), 3, device=rotations.device))
    return torch.cat([joints, keypoints[:, _SKIN]], 1)


def centre_of_mass(points: torch.Tensor) -> torch.Tensor:
    """[B, 3] of points as from :func:`surface_points`."""
    return torch.einsum("j,bja->ba", _MASS.to(points), points[:, : len(JOINT_NAMES)])


def clearance(points: torch.Tensor) -> torch.Tensor:
    """Heights [B, 31] in m of the spheres' lowest points above the lowest of all, which is where the floor is."""
    low = points[..., 1] - _RADII.to(points)
    return low - low.amin(1, keepdim=True)


def turn_onto(start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """The shortest rotations [B, 3, 3] that take unit vectors [B, 3] onto others, which must not be opposite."""
    v = torch.linalg.cross(start, end.expand_as(start))
    c = (start * end).sum(-1)
    zero = torch.zeros_like(c)
    skew = torch.stack([zero, -v[:, 2], v[:, 1], v[:, 2], zero, -v[:, 0], -v[:, 1], v[:, 0], zero], -1).view(-1, 3, 3)
    return torch.eye(3).to(start) + skew + skew @ skew / (1 + c).clamp_min(1e-6)[:, None, None]


def settle(points: torch.Tensor, steps: int = 40, sharpness: float = 60.0, rate: float = 0.25) -> torch.Tensor:
    """How stiff bodies come to rest on a floor: rotations [B, 3, 3] that they make.

    The height of the centre of mass c above the floor is max_i(u . (c - p_i) + r_i) for the up vector u; a body rests
    where that has a local minimum. Gradient descent over u, the maximum smoothed by a softmax of the given sharpness
    [1/m].
    """
    radii = _RADII.to(points)
    offset = centre_of_mass(points)[:, None] - points
    up = torch.zeros_like(points[:, 0])
    up[:, 1] = 1.0
    for step in range(steps):
        height = (offset @ up[..., None])[..., 0] + radii
        # From blunt to sharp: early steps see all that is near the floor, late ones the contacts.
        weight = torch.softmax(sharpness * (0.3 + 1.7 * step / steps) * height, 1)
        gradient = (weight[:, None] @ offset)[:, 0]
        gradient = gradient - (gradient * up).sum(-1, keepdim=True) * up
        up = torch.nn.functional.normalize(up - rate * (1 - 0.7 * step / steps) * gradient, dim=-1)
    vertical = torch.tensor([0.0, 1.0, 0.0]).to(points)
    return turn_onto(up, vertical)


def lay_on(points: torch.Tensor, supports: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turns bodies so that what carries them lies on one level.

    Args:
        points: [B, 31, 3] as from :func:`surface_points`.
        supports: [B, 31] weights of the points that carry, three or more of them above 0.

    Returns:
        Rotations [B, 3, 3] that make the plane through the supports' lowest points (least squares) level and put the
        centre of mass above it, and [B] bool whether a body could stay so: the centre of mass lies no farther out than
        the supports.
    """
    vertical = torch.tensor([0.0, 1.0, 0.0]).to(points)
    share = supports / supports.sum(1, keepdim=True)
    mass = centre_of_mass(points)
    up = vertical.expand(len(points), 3)
    for _ in range(2):  # the lowest points of the spheres depend on where up is
        low = points - _RADII.to(points)[:, None] * up[:, None]
        middle = (share[..., None] * low).sum(1)
        offset = (low - middle[:, None]) * supports[..., None]
        _, vectors = torch.linalg.eigh(offset.mT @ offset)
        up = vectors[..., 0]
        up = up * torch.where(((mass - middle) * up).sum(-1, keepdim=True) < 0, -1.0, 1.0)
    lean = mass - middle
    lean = (lean - (lean * up).sum(-1, keepdim=True) * up).norm(dim=-1)
    stable = lean < 0.75 * offset.norm(dim=-1).amax(1)
    return turn_onto(up, vertical), stable
