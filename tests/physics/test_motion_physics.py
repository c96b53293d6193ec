"""The physics of whole motions: motion capture, jumps, lying and sitting."""

from __future__ import annotations

import pytest
import roma
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.physics.ground import Ground
from tests.physics.motion_physics import motion_physics

UP = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
FLOOR = Ground(UP, torch.zeros((), dtype=torch.float64))


def physics_of(clip, segments, points):
    return motion_physics(clip.rotations.double(), clip.pelvis.double(), 1 / clip.fps, segments, points, FLOOR)


def test_standing_frames_carry_the_weight(clips, segments, points):
    """Where nearly nothing moves the ground's vertical force is m g within 10 %, and the contacts explain it."""
    weight, seen = float(segments.total_mass) * FLOOR.gravity_m_s2, 0
    for clip in clips:
        physics = physics_of(clip, segments, points)
        motion = physics.motion
        still = (motion.velocity.norm(dim=-1).amax(-1) < 0.3) & (motion.acceleration.norm(dim=-1).amax(-1) < 1.5)
        seen += int(still.sum())
        vertical = physics.needed.force[still, 1]
        assert bool(((vertical - weight).abs() < 0.1 * weight).all()), clip.name
        standing = still & physics.touching[:, :8].any(-1)
        carried = physics.contacts.force[standing].sum(-2)[:, 1]
        assert not len(carried) or abs(float(carried.median()) - weight) < 0.1 * weight, clip.name
    assert seen > 100


def test_a_walk_is_mostly_explained(clips, segments, points):
    walks = [clip for clip in clips if clip.action.startswith("walk")]
    shares, contact = [], []
    for clip in walks[:6]:
        physics = physics_of(clip, segments, points)
        shares.append(physics.contacts.residual.force.norm(dim=-1) / physics.needed.force.norm(dim=-1))
        contact.append(physics.touching[:, :8].any(-1))
    assert float(torch.cat(shares).median()) < 0.15 and float(torch.cat(contact).double().mean()) > 0.95


def test_a_jump_has_a_flight(mocap_dir, body, segments, points):
    """While both feet are up nothing pushes, and little is needed: people fall freely there."""
    jumps = [c for c in load_split(mocap_dir / "cmu_smpl30_train.npz") if "jump" in c.action.lower()][:12]
    weight, needed = float(segments.total_mass) * FLOOR.gravity_m_s2, []
    for clip in jumps:
        physics = physics_of(retarget(clip, body), segments, points)
        flight = physics.gap.amin(-1) > 0.1
        assert float(physics.contacts.force[flight].abs().sum()) == 0.0
        torch.testing.assert_close(physics.contacts.residual.force[flight], physics.needed.force[flight])
        needed.append(physics.needed.force[flight, 1] / weight)
    needed = torch.cat(needed)
    assert len(needed) > 20 and abs(float(needed.median())) < 0.35


@pytest.mark.parametrize("pose", ["lying", "sitting", "upside down", "below the floor"])
def test_any_pose_gives_finite_numbers(pose, segments, points):
    rotations = torch.eye(3, dtype=torch.float64).repeat(2, 6, NUM_JOINTS, 1, 1).requires_grad_()
    turn = {"lying": (-1.57, 0, 0), "upside down": (3.14159265, 0, 0)}.get(pose, (0, 0, 0))
    first = roma.rotvec_to_rotmat(torch.tensor(turn, dtype=torch.float64)) @ rotations[:, :, 0]
    bent = rotations[:, :, 1:3]
    if pose == "sitting":
        bent = roma.rotvec_to_rotmat(torch.tensor((-1.5, 0, 0), dtype=torch.float64)) @ bent
    full = torch.cat([first[:, :, None], bent, rotations[:, :, 3:]], 2)
    height = -1.0 if pose == "below the floor" else 0.12
    pelvis = torch.tensor([0.0, height, 0.0], dtype=torch.float64).repeat(2, 6, 1).requires_grad_()
    physics = motion_physics(full, pelvis, 1 / 30, segments, points, FLOOR)
    outputs = (physics.contacts.force, physics.contacts.residual.force, physics.contacts.residual.moment,
               physics.loads.torque)  # fmt: skip
    assert all(bool(torch.isfinite(x).all()) for x in outputs)
    sum(x.square().sum() for x in outputs).backward()
    assert bool(torch.isfinite(rotations.grad).all() and torch.isfinite(pelvis.grad).all())
    made = physics.contacts.force.sum(-2) + physics.contacts.residual.force
    torch.testing.assert_close(made, physics.needed.force)


def test_root_load_is_the_residual(clips, segments, points):
    """The two ways to the unexplained wrench: over the whole body, and through the joints to the pelvis."""
    physics = physics_of(clips[0], segments, points)
    torch.testing.assert_close(physics.loads.force[:, 0], physics.contacts.residual.force, rtol=1e-7, atol=1e-6)
    moment = physics.contacts.residual.about(physics.motion.joints[:, 0])
    torch.testing.assert_close(physics.loads.torque[:, 0], moment, rtol=1e-6, atol=1e-6)


def test_gradients_of_the_whole_are_finite_differences(clips, segments, points):
    clip = clips[1].frames(20, 25)
    rotations, pelvis = clip.rotations.double(), clip.pelvis.double()
    torch.manual_seed(2)
    direction = 1e-3 * torch.randn(5, NUM_JOINTS, 3, dtype=torch.float64)

    def value(step):
        turned = rotations @ roma.rotvec_to_rotmat(step * direction)
        physics = motion_physics(turned, pelvis, 1 / 30, segments, points, FLOOR)
        return physics.loads.torque.square().mean() + physics.contacts.residual.force.square().mean()

    step = torch.zeros((), dtype=torch.float64, requires_grad=True)
    value(step).backward()
    with torch.no_grad():
        h = 1e-3
        numeric = (value(torch.tensor(h, dtype=torch.float64)) - value(torch.tensor(-h, dtype=torch.float64))) / (2 * h)
    assert float(step.grad) == pytest.approx(float(numeric), rel=1e-3)
