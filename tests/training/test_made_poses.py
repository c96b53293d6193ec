"""Made-up poses are poses that a body could take, and what they are said to be."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.joint_angles import limit_excess
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import JOINT_MIRROR, JOINT_NAMES
from training.lifting.plausibility import self_intersects
from training.motions.anatomy import arm_rotations, to_side
from training.motions.floor import JOINT_RADIUS_M, centre_of_mass, lay_on, settle, surface_points
from training.motions.made_poses import KINDS, MadePoses, MadePoseShares
from training.motions.pose_kinds import ARMS, DEFAULTS, FEET, FLOOR, SHARES, WAYS
from training.motions.poses import load_rotations, mirror

#: The mean body's own bones are not quite straight at rest, and knees have some degrees of freedom beside flexion.
BONES_DEG = 12.0


@pytest.fixture(scope="module")
def body():
    return BodyModel.load()


@pytest.fixture(scope="module")
def made(body):
    return MadePoses(body, torch.Generator().manual_seed(5)).draw(3000)


@pytest.fixture(scope="module")
def joints(body, made):
    return body.forward_kinematics(made.rotations, torch.zeros(len(made.way), 3))[1]


def bend_deg(joints: torch.Tensor, a: int, b: int, c: int) -> torch.Tensor:
    """Angle [B] between the bones a-b and b-c of joints [B, 24, 3], 0 where they are in line."""
    first, second = joints[:, b] - joints[:, a], joints[:, c] - joints[:, b]
    return torch.rad2deg(torch.atan2(torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)))


def of_way(made, name: str) -> torch.Tensor:
    """[B] bool: the kinds with that in their ``carried_by`` or ``kind``."""
    return torch.tensor([name in (WAYS[w].kind, WAYS[w].carried_by) for w in made.way.tolist()])


def test_every_pose_is_within_limits_and_apart_from_itself(body, made):
    assert float(limit_excess(made.rotations).max()) <= 0
    assert not self_intersects(body, made.rotations).any()
    identity = torch.eye(3).expand(len(made.way), 24, 3, 3)
    assert torch.allclose(made.rotations @ made.rotations.mT, identity, atol=1e-5)


def test_the_seed_decides_everything(body):
    captured = mirror(MadePoses(body, torch.Generator().manual_seed(1))(20))
    a, b, c = (MadePoses(body, torch.Generator().manual_seed(s), captured)(50) for s in (2, 2, 3))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_kinds_come_in_their_shares(made):
    n = len(made.way)
    for kind in KINDS:
        share = float(of_way(made, kind).float().mean())
        assert share == pytest.approx(SHARES[kind], abs=4 * (SHARES[kind] / n) ** 0.5)
    assert sum(SHARES.values()) == pytest.approx(1)
    assert float(made.turned.float().mean()) == pytest.approx(MadePoseShares().turned, abs=0.02)


def test_left_and_right_are_alike(body, made):
    local = made.rotations.clone()
    local[:, 0] = torch.eye(3)
    joints = body.forward_kinematics(local, torch.zeros(len(local), 3))[1]
    other = body.forward_kinematics(mirror(local), torch.zeros(len(local), 3))[1]
    error = (joints.var(0) / len(joints) * 2).sqrt() + 1e-4
    assert float(((joints.mean(0) - other.mean(0)) / error).abs().max()) < 4.5
    # The distribution, not only its mean: largest distance of the two sides' cumulative shares of knee flexion.
    left, right = (bend_deg(joints, *leg).sort().values for leg in ((1, 4, 7), (2, 5, 8)))
    share = torch.arange(len(left)) / len(left)
    assert float((torch.searchsorted(right, left) / len(right) - share).abs().max()) < 1.95 * (2 / len(left)) ** 0.5


def test_either_leg_kicks_as_often(made, joints):
    """The ways to kick name the left leg; mirrored halves make up for it."""
    kicking = of_way(made, "kicking") & (made.mixed == 0)
    down = -made.rotations[:, 0, :, 1]
    along = torch.einsum("nsa,na->ns", joints[:, [4, 5]] - joints[:, [1, 2]], down)
    left = (along[kicking, 0] < along[kicking, 1]).float()  # the thigh that hangs less is the kicking one
    assert abs(float(left.mean()) - 0.5) < 4 * 0.5 / len(left) ** 0.5


def test_headings_are_free(made):
    forward = made.rotations[~made.turned & of_way(made, "standing"), 0, :, 2]
    heading = torch.atan2(forward[:, 0], forward[:, 2])
    assert float(heading.cos().mean().abs()) < 0.25 and float(heading.sin().mean().abs()) < 0.25


@pytest.mark.parametrize("leg", ["left", "right"])
def test_knees_bend_as_far_as_their_way_says(made, joints, leg):
    left = (made.flipped == (leg == "right"))[:, None]  # the way's left is the pose's right where it was flipped
    bends = torch.where(left, *(bend_deg(joints, *chain)[:, None] for chain in ((1, 4, 7), (2, 5, 8))))[:, 0]
    first = leg == "left"
    for i, way in enumerate(WAYS):
        low, high = (way.legs if first or way.right is None else way.right).get("knee", DEFAULTS["knee"])
        knee = bends[made.way == i]
        assert float(knee.min()) > low - BONES_DEG and float(knee.max()) < high + BONES_DEG
        assert float(knee.max() - knee.min()) > 0.6 * (high - low)


def test_elbows_bend_as_far_as_their_style_says(made, joints):
    left, right = bend_deg(joints, 16, 18, 20), bend_deg(joints, 17, 19, 21)
    first = torch.where(made.flipped, right, left)
    for i, (name, style) in enumerate(ARMS.items()):
        elbow = first[made.arms[:, 0] == i]
        low, high = style["elbow"]
        assert float(elbow.min()) > low - BONES_DEG and float(elbow.max()) < high + BONES_DEG, name
        assert float(elbow.max() - elbow.min()) > 0.6 * (high - low), name


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [("chair", 60, 128), ("squatting", 45, 128), ("kicking", 45, 115), ("bent", 45, 115), ("floor_sitting", 60, 125)],
)
def test_the_more_bent_hip_reaches_its_range(made, joints, kind, low, high):
    """Angle between thigh and pelvis' axis, the larger of both sides: at 5 and 95 % of the poses."""
    down = -made.rotations[:, 0, :, 1]
    thighs = joints[:, [4, 5]] - joints[:, [1, 2]]
    angle = torch.rad2deg((torch.nn.functional.normalize(thighs, dim=-1) * down[:, None]).sum(-1).acos()).amax(1)
    mine = angle[of_way(made, kind)].quantile(torch.tensor([0.05, 0.95]))
    assert low - 15 < float(mine[0]) < low + 30 and high - 25 < float(mine[1]) < high + 10


def test_bent_trunks_are_bent_and_standing_ones_upright(made, joints):
    trunk = joints[:, 12] - joints[:, 0]
    tilt = torch.rad2deg((trunk[:, 1] / trunk.norm(dim=-1)).clamp(-1, 1).acos())
    bent, standing = (tilt[of_way(made, kind) & ~made.turned] for kind in ("bent", "standing"))
    assert 44 < float(bent.min()) and float(bent.quantile(0.95)) > 95 and float(standing.max()) < 46
    lying = tilt[of_way(made, "lying") & ~made.turned]
    assert 40 < float(lying.min()) and float(lying.max()) < 130


def test_the_floor_is_below_the_whole_skin_and_touched_where_it_is_said(body, made):
    """By the body's skin, where the generator looks at spheres about joints."""
    owner, mirrored, gaps = body.skin_weights.argmax(1), torch.tensor(JOINT_MIRROR), []
    for i in (of_way(made, FLOOR) & ~made.turned).nonzero()[:80, 0].tolist():
        way, flipped = WAYS[int(made.way[i])], bool(made.flipped[i])
        height = body.vertices(made.rotations[i : i + 1], torch.zeros(1, 3))[0, :, 1]
        height = height - height.min()
        for group in way.touching:
            parts = torch.tensor([JOINT_NAMES.index(name) for name in group])
            parts = mirrored[parts] if flipped else parts
            # The front of the knee is skin of the thigh.
            parts = torch.cat([parts, parts[(parts == 4) | (parts == 5)] - 3])
            gaps.append(float(height[torch.isin(owner, parts)].min()))
        if way.kind in ("floor_sitting", "kneeling"):
            assert float(height[torch.isin(owner, torch.tensor([9, 12, 15]))].min()) > 0.05
    assert len(gaps) > 60 and max(gaps) < 0.12 and float(torch.tensor(gaps).median()) < 0.04


def test_those_on_their_feet_stand_over_them(body, made):
    standing = (of_way(made, FEET) & ~made.turned).nonzero()[:300, 0]
    points = surface_points(body, made.rotations[standing])
    feet = points[:, [7, 8, 10, 11, *range(25, 31)]]
    assert torch.equal(points[..., 1].amin(1), feet[..., 1].amin(1))
    trunk = points[:, [0, 3, 6, 9, 12]].mean(1)  # most of the mass
    away = (trunk[:, None, [0, 2]] - feet[..., [0, 2]]).norm(dim=-1).amin(1)
    assert float(away.max()) < 0.45 and float(away.median()) < 0.2


def test_halves_of_captured_frames(body, mocap_dir):
    captured = load_rotations([mocap_dir / "cmu_smpl30_val.npz"])[::40]
    made = MadePoses(body, torch.Generator().manual_seed(0), captured).draw(600)
    frames = torch.cat([captured, mirror(captured)])
    for mixed, part in ((1, [3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19]), (2, [1, 2, 4, 5, 7, 8])):
        poses = made.rotations[made.mixed == mixed]
        same = (poses[:, None, part] - frames[None, :, part]).abs().amax((2, 3, 4)).amin(1)
        assert len(poses) > 30 and float(same.max()) < 1e-6
    assert float(limit_excess(made.rotations).max()) <= 0


def test_a_stiff_body_comes_to_rest_on_its_broad_side(body):
    """A T-pose that tips over lies on its back or its belly with the trunk level."""
    lean = torch.deg2rad(torch.tensor(40.0))
    turn = torch.tensor([[1.0, 0, 0], [0, lean.cos(), -lean.sin()], [0, lean.sin(), lean.cos()]])
    pose = torch.eye(3).repeat(1, 24, 1, 1)
    pose[:, 0] = turn
    points = surface_points(body, pose)
    rested = points @ settle(points, steps=200).mT
    trunk = rested[0, 12] - rested[0, 0]
    assert abs(float(trunk[1] / trunk.norm())) < 0.35


def test_three_supports_come_to_lie_on_one_level_below_the_body(body, made):
    points = surface_points(body, made.rotations[:200])
    supports = torch.zeros(len(points), 31)
    supports[:, [4, 8, 10]] = 1.0  # a knee and both feet
    rotations, stable = lay_on(points, supports)
    laid = points @ rotations.mT
    low = laid[:, [4, 8, 10], 1] - torch.tensor([JOINT_RADIUS_M[name] for name in ("knee", "ankle", "foot")])
    assert float((low.amax(1) - low.amin(1)).median()) < 2e-3
    assert (centre_of_mass(laid)[:, 1] > low.mean(1)).all() and 0 < int(stable.sum()) < 200


def test_arms_point_where_their_angles_say(body):
    """Known poses: hanging, sideways, forward with the elbow bent upwards, overhead."""
    rows = torch.tensor([[0, 0, 0, 0], [0, 90, 0, 0], [90, 90, 0, 90], [45, 180, 0, 0]])
    angles = torch.nn.functional.pad(torch.deg2rad(rows.float()), (0, 2))
    poses = torch.eye(3).repeat(4, 24, 1, 1)
    for joints, right in (([13, 16, 18, 20], False), ([14, 17, 19, 21], True)):
        poses[:, joints] = to_side(arm_rotations(angles, torch.zeros(4, 4)), right)
    joints = body.forward_kinematics(poses, torch.zeros(4, 3))[1]
    for shoulder, out in ((16, 1.0), (17, -1.0)):
        bones = [joints[:, shoulder + 2 * k] - joints[:, shoulder + 2 * k - 2] for k in (1, 2)]
        upper, fore = (torch.nn.functional.normalize(bone, dim=-1) for bone in bones)
        expected = torch.tensor([[0, -1.0, 0], [out, 0, 0], [0, 0, 1], [0, 1, 0]])
        assert float((upper * expected).sum(-1).min()) > 0.98
        assert float(fore[2, 1]) > 0.97
