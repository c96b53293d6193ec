"""People over half a second before cameras, and what a detector says of them: examples for a denoiser that knows time.

Beyond ``views.py`` a person has a past, limbs of other lengths, keypoints that sit elsewhere than the body model's, any
attitude in space, and cameras that look down and are rolled; the condition may say where up is.

Noise that is told as 0 means exact keypoints of the mean body: other bodies are told at least :data:`MISMATCH_NOISE`,
so that the network can be precise where the input is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import roma
import torch

from diffmocap.body.kinematics import bone_offsets, forward_kinematics
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import sixd_from_matrix
from diffmocap.body.skeleton import JOINT_MIRROR, KEYPOINT_MIRROR, KEYPOINT_NAMES, NUM_JOINTS, NUM_KEYPOINTS, PARENTS
from diffmocap.evaluation.paper_protocol import paper_distance
from diffmocap.lifting.network.condition import (
    FACING,
    MID_HIP,
    PAST_LAGS_S,
    Condition,
    condition_from_rays,
    depth_beyond_mid_hip,
    past_keypoints,
    root_to_network,
)
from diffmocap.lifting.network.ray_head import CARRIERS
from training.motions.poses import PoseSampler
from training.views.detector_noise import DetectorNoise
from training.views.simulated_detector import MEASURED_NOISE, MIN_CONFIDENCE, NEAR_PLANE_M, body_yaw
from training.views.views import ViewConfig, occlusion, pitch_roll, random_places, uniform

NECK = KEYPOINT_NAMES.index("Neck")
#: The same lags in frames of 30 Hz.
PAST_LAGS = tuple(round(30 * lag) for lag in PAST_LAGS_S)
#: Noise that is told at least where the body is another one.
MISMATCH_NOISE = 0.01
#: Depth noise [m] over the keypoints' noise over the half-size: 2 % go with 50 mm.
DEPTH_NOISE_M = 2.5
#: Sum of squares [m²] of the keypoints' places across the trunk below which they tell no slope of the depths.
NARROW_M2 = 0.15


@dataclass(frozen=True)
class SequenceConfig:
    """Shares are probabilities, lengths in metres, angles in degrees.

    Attributes:
        paper_share: the paper's framing, exact. exact_share: exact keypoints of the mean body elsewhere.
        measured_share: with the errors that were measured of MediaPipe; the rest have independent noise.
        depth_share: have depths, other than in the paper's framing. partial_share: of these lack each depth with a
            chance of ``missing_depths``.
        depth_shrink: a detector's guesses are nearer to the mid-hip than the truth by up to this share, as the best
            guess of whoever is in doubt is; where errors are measured. turn_shrink: the slope of the depths across the
            trunk is smaller than the true one by up to this share beside, as if people faced the camera more than they
            do. depth_tilt: standard deviation of the slope by which the whole body leans in them, in x and y. All are a
            person's, and stay over the past.
        other_noise_share: of those with measured errors, told another noise than the usual, by a factor whose
            logarithm has a standard deviation of ``other_noise``.
        made_share: poses that no one was captured in. turned_share: whole bodies turned by any rotation.
        past_share: know some of the past; ``lag_share``: each lag of it.
        speed_m_s: standard deviation of the velocity at which a person moves through the scene, in each direction.
        up_share: know where up is, to ``up_error_deg``.
        previous_share: know the pose a thirtieth of a second ago, with rotation noise of up to ``previous_error`` rad;
            ``previous_wrong`` of them somebody else's.
        missing_share: miss each keypoint with a chance of ``missing_keypoints``, beside what is hidden or cut off.
        exchanged_share: of those with measured errors, in whose films the detector exchanges the sides for up to
            ``exchange_s`` seconds; ``exchanged_depth`` of them have front and back exchanged, too, as of a person who
            is seen from the other side. In each image of such a film head, arms or legs lie between both sides with a
            chance of ``torn_parts``.
        steep_share: cameras pitched by any angle of ``steep_deg`` downwards. rolled_share: rolled by a normal angle of
            ``rolled_deg``.
        limb_std: standard deviation of the logarithm of each limb's length. offset_std: of a person's keypoints from
            those of the model [m].
    """

    paper_share: float = 0.1
    exact_share: float = 0.3
    measured_share: float = 0.4
    depth_share: float = 0.6
    measured_depth_share: float = 0.9
    partial_share: float = 0.1
    missing_depths: float = 0.3
    depth_shrink: float = 0.35
    turn_shrink: float = 0.8
    depth_tilt: float = 0.1
    other_noise_share: float = 0.2
    other_noise: float = 0.5
    made_share: float = 0.25
    turned_share: float = 0.08
    past_share: float = 0.6
    lag_share: float = 0.85
    speed_m_s: float = 0.6
    up_share: float = 0.4
    up_error_deg: float = 2.0
    previous_share: float = 0.25
    previous_error: float = 0.3
    previous_wrong: float = 0.1
    missing_share: float = 0.25
    missing_keypoints: float = 0.2
    exchanged_share: float = 0.2
    exchange_s: float = 0.8
    exchanged_depth: float = 0.7
    torn_parts: float = 0.12
    steep_share: float = 0.3
    steep_deg: tuple[float, float] = (-5.0, 35.0)
    rolled_share: float = 0.1
    rolled_deg: float = 20.0
    limb_std: float = 0.04
    offset_std: float = 0.012
    max_noise: float = 0.06
    noise_correlation: float = 0.8
    outlier_share: float = 0.02
    outlier_noise: float = 0.25
    view: ViewConfig = field(default_factory=ViewConfig)


@dataclass
class Example:
    """A batch of people of now.

    Attributes:
        rotations: [B, 24, 3, 3] with the root in the optical frame; pelvis: [B, 3] m there. points: [B, 25, 3] m
            their keypoints, of bodies of their own.
        previous: [B, 24, 3, 3] the pose a thirtieth of a second ago, optical frame. condition: what is known of them.
    """

    rotations: torch.Tensor
    pelvis: torch.Tensor
    points: torch.Tensor
    previous: torch.Tensor
    condition: Condition


def across_trunk(beside: torch.Tensor) -> torch.Tensor:
    """Places [..., 25] m across the trunk of keypoints ``beside`` [..., 25, 2] m the mid-hip, in the image plane."""
    trunk = beside[..., NECK, :]
    x, y = trunk.unbind(-1)
    normal = torch.stack([-y, x], -1) / trunk.norm(dim=-1, keepdim=True).clamp_min(1e-3)
    return (beside * normal[..., None, :]).sum(-1)


class SequenceSampler:
    """Draws examples; seeded by ``generator``.

    Args:
        poses: captured frames and their augmentation. made: [M, 24, 3, 3] poses that were made, root in the y-up
            world; empty: none. detector: measured errors; None: independent noise in their place.
    """

    def __init__(
        self, body: BodyModel, poses: PoseSampler, made: torch.Tensor, detector: DetectorNoise | None,
        generator: torch.Generator, config: SequenceConfig = SequenceConfig(),
    ) -> None:  # fmt: skip
        self.body, self.poses, self.made, self.detector = body, poses, made, detector
        self.generator, self.config, self.device = generator, config, body.device
        self._paper_distance = paper_distance(body)

    def _chance(self, share: float, *shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device) < share

    def _normal(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def __call__(self, batch: int) -> Example:
        """``batch`` examples."""
        c, g, n, device = self.config, self.generator, batch, self.device
        world, in_clip = self._motions(n)
        kind = torch.rand(n, generator=g, device=device)
        paper = kind < c.paper_share
        exact = ~paper & (kind < c.paper_share + c.exact_share)
        measured = kind >= 1 - (c.measured_share if self.detector else 0.0)
        clean = paper | exact
        R_camera_world = self._cameras(n, paper)
        rotations = torch.cat([(R_camera_world[:, None] @ world[:, :, 0])[:, :, None], world[:, :, 1:]], 2)
        pelvis, border = self._places(n, paper)
        points = self._keypoints(rotations, self._before(pelvis), clean)
        now = points[:, 0]
        in_front = now[..., 2] > NEAR_PLANE_M
        rays = now[..., :2] / now[..., 2:].clamp_min(NEAR_PLANE_M)
        inside = (rays.abs() < border[:, None]).all(-1) & in_front
        seen = torch.where(paper[:, None], in_front, inside & ~occlusion(g, n, device))
        # A good part of the exact ones are whole: that is how they are judged.
        whole = exact & self._chance(0.5, n)
        missing = self._chance(c.missing_share, n, 1) & self._chance(c.missing_keypoints, n, NUM_KEYPOINTS)
        seen &= ~(missing & ~paper[:, None])
        seen = torch.where(whole[:, None] | (seen.sum(1) < 6)[:, None], in_front, seen)
        condition = self._detect(points, rotations[:, 0], rays, seen, clean, measured, paper, in_clip)
        self._tell_up(condition, R_camera_world)
        self._tell_previous(condition, rotations[:, 1])
        return Example(rotations[:, 0], pelvis, now, rotations[:, 1], condition)

    def _motions(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Poses [n, 1 + L, 24, 3, 3] of now and before, root in the y-up world, and which of these are known [n, L]."""
        c, g = self.config, self.generator
        world, in_clip = self.poses.windows(n, PAST_LAGS)
        if len(self.made):
            made = self._chance(c.made_share, n).nonzero()[:, 0]
            pose = self.made[torch.randint(len(self.made), (len(made),), generator=g, device=self.device)].float()
            # They move as somebody did, who was captured.
            motion = world[made, :1].transpose(-1, -2) @ world[made, 1:]
            world = world.index_copy(0, made, torch.cat([pose[:, None], pose[:, None] @ motion], 1))
        turned = self._chance(c.turned_share, n)
        Q = roma.unitquat_to_rotmat(torch.nn.functional.normalize(self._normal(n, 4), dim=-1))
        root = torch.where(turned[:, None, None, None], Q[:, None] @ world[:, :, 0], world[:, :, 0])
        return torch.cat([root[:, :, None], world[:, :, 1:]], 2), in_clip

    def _cameras(self, n: int, level: torch.Tensor) -> torch.Tensor:
        """R_camera_world [n, 3, 3] of cameras in a y-up world; level where the framing is the paper's."""
        c, g, device = self.config, self.generator, self.device
        tilt = pitch_roll(g, n, c.view, device)
        pitch = torch.deg2rad(uniform(g, (n,), *c.steep_deg, device)) * self._chance(c.steep_share, n)
        # A camera that looks down sees the world turned by that about its x axis, which points right.
        down = roma.rotvec_to_rotmat(torch.stack([pitch, torch.zeros_like(pitch), torch.zeros_like(pitch)], -1))
        roll = torch.deg2rad(c.rolled_deg * self._normal(n)) * self._chance(c.rolled_share, n)
        rolled = roma.rotvec_to_rotmat(torch.stack([torch.zeros_like(roll), torch.zeros_like(roll), roll], -1))
        tilt = torch.where(level[:, None, None], torch.eye(3, device=device), rolled @ tilt @ down)
        return tilt @ torch.tensor(FACING, device=device).diag()

    def _places(self, n: int, paper: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pelvis [n, 3] m and the image's border [n, 2] at depth 1; in the paper's framing its place is fixed."""
        pelvis, border = random_places(self.generator, n, self.config.view, self.device, whole_share=0.65)
        fixed = torch.tensor([0.0, 0.0, self._paper_distance], device=self.device)
        return torch.where(paper[:, None], fixed, pelvis), border

    def _before(self, pelvis: torch.Tensor) -> torch.Tensor:
        """Where the pelvis [n, 3] m is and was, [n, 1 + L, 3]: on a straight way."""
        ago = torch.tensor((0.0, *PAST_LAGS_S), device=self.device)[:, None]
        return pelvis[:, None] - ago * (self.config.speed_m_s * self._normal(len(pelvis), 1, 3))

    def _keypoints(self, rotations: torch.Tensor, pelvis: torch.Tensor, mean_body: torch.Tensor) -> torch.Tensor:
        """Keypoints [B, 1 + L, 25, 3] m of people with bodies of their own, where not of the mean one; ``pelvis`` is
        [B, 1 + L, 3] m."""
        c, n, times = self.config, len(rotations), rotations.shape[1]
        other = (~mean_body).float()
        betas = c.view.beta_std * self._normal(n, 10) * other[:, None]
        scale = (c.limb_std * other[:, None] * self._normal(n, NUM_JOINTS)).exp()
        both = 0.5 * (scale + scale[:, list(JOINT_MIRROR)])  # limbs differ less between the sides than between people
        scale = torch.lerp(both, scale, 0.2)
        rest = self.body.rest_joints(betas)
        flat, rows = rotations.flatten(0, 1), torch.arange(n, device=self.device).repeat_interleave(times)
        place = pelvis.flatten(0, 1)
        joints, keypoints = self.body.joints_and_keypoints(flat, place, betas[rows])
        longer = _with_limbs(rest, scale)
        turned, own_joints = forward_kinematics(flat, place, longer[rows])
        moved = own_joints - joints
        offset = c.offset_std * self._normal(n, NUM_KEYPOINTS, 3) * other[:, None, None]
        mirrored = offset[:, list(KEYPOINT_MIRROR)] * offset.new_tensor([-1.0, 1.0, 1.0])
        offset = 0.7 * (offset + mirrored)
        carriers = list(CARRIERS)
        shift = moved[:, carriers] + (turned[:, carriers] @ offset[rows][..., None])[..., 0]
        return (keypoints + shift).unflatten(0, (n, times))

    def _detect(
        self, points: torch.Tensor, rotations: torch.Tensor, rays: torch.Tensor, seen: torch.Tensor,
        clean: torch.Tensor, measured: torch.Tensor, paper: torch.Tensor, in_clip: torch.Tensor,
    ) -> Condition:  # fmt: skip
        """The condition that a detector with errors makes of keypoints [B, 1 + L, 25, 3]."""
        c, g, n = self.config, self.generator, len(points)
        times = points.shape[1]
        crop = condition_from_rays(rays, seen.to(rays.dtype))
        R, half = crop.R_camera_crop, crop.half_size
        offset, confidence, depth_error, told = self._independent(n, times, seen, clean)
        known = in_clip
        with_depth = self._chance(c.depth_share, n) & ~paper
        if self.detector is not None:
            history, there = self.detector.draw_history(body_yaw(rotations, rays, seen), PAST_LAGS, g)
            sure = torch.where(history.confidence < MIN_CONFIDENCE, 0.0, history.confidence) * seen[:, None]
            enough = (sure[:, 0] > 0).sum(1) >= 6
            rows = (measured & enough)[:, None, None]
            offset = torch.where(rows[..., None], history.offset, offset)
            confidence = torch.where(rows, sure, confidence)
            depth_error = torch.where(rows, history.depth_error, depth_error)
            told = torch.where(rows[:, 0], self._told_of_measured(n), told)
            known = known & torch.where((measured & enough)[:, None], there, True)
            with_depth = torch.where(measured, self._chance(c.measured_depth_share, n), with_depth)
        turned = points @ R[:, None]
        guessed = (measured & enough) if self.detector is not None else torch.zeros_like(measured)
        depth = self._guessed_depths(turned, depth_beyond_mid_hip(points, R[:, None]), guessed) + depth_error
        untold = self._chance(c.partial_share, n, 1) & self._chance(c.missing_depths, n, NUM_KEYPOINTS)
        depth = torch.where((with_depth[:, None] & ~untold)[:, None], depth, float("nan"))
        plane = turned[..., :2] / turned[..., 2:].clamp_min(NEAR_PLANE_M) + offset * half[:, None, None, None]
        plane, depth, confidence = self._exchange(plane, depth, confidence, measured)
        back = torch.cat([plane, torch.ones_like(plane[..., :1])], -1) @ R.transpose(-1, -2)[:, None]
        back = back[..., :2] / back[..., 2:].clamp_min(1e-2)
        condition = condition_from_rays(back[:, 0], confidence[:, 0], told, depth[:, 0])
        known = known & self._chance(c.past_share, n, 1) & self._chance(c.lag_share, n, times - 1)
        past = confidence[:, 1:] * known[..., None]
        condition.past = past_keypoints(condition, back[:, 1:], past, depth[:, 1:])
        return condition

    def _told_of_measured(self, n: int) -> torch.Tensor:
        """The noise [n, 1] that is told for measured errors."""
        c = self.config
        return MEASURED_NOISE * (c.other_noise * self._normal(n, 1) * self._chance(c.other_noise_share, n, 1)).exp()

    def _guessed_depths(self, points: torch.Tensor, depth: torch.Tensor, guessed: torch.Tensor) -> torch.Tensor:
        """Depths [B, 1 + L, 25] m of points [B, 1 + L, 25, 3] in the crop frame, shrunk, facing the camera and tilted
        where they are ``guessed`` [B] as measured detectors do."""
        c, n = self.config, len(points)
        share = uniform(self.generator, (n, 1, 1), 0.0, c.depth_shrink, self.device)
        turned = uniform(self.generator, (n, 1, 1), 0.0, c.turn_shrink, self.device)
        slope = c.depth_tilt * self._normal(n, 1, 1, 2)
        beside = points[..., :2] - points[..., MID_HIP, None, :2]
        across = across_trunk(beside)
        facing = (across * depth).sum(-1, keepdim=True) / (across.square().sum(-1, keepdim=True) + NARROW_M2)
        guess = (1 - share) * (depth - turned * facing * across) + (slope * beside).sum(-1)
        return torch.where(guessed[:, None, None], guess, depth)

    def _independent(self, n: int, times: int, seen: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Normal noise, correlated over time: offset [n, T, 25, 2], confidence [n, T, 25], depth error [n, T, 25] m and
        the noise that is told [n, 25]."""
        c, g, device = self.config, self.generator, self.device
        level = torch.where(clean, 0.0, uniform(g, (n,), 0.0, c.max_noise, device))
        factor = torch.where(self._chance(0.5, n)[:, None], (0.5 * self._normal(n, NUM_KEYPOINTS) - 0.125).exp(), 1.0)
        sigma = level[:, None] * factor
        # Half of the detectors are as sure of bad keypoints as of good ones.
        doubt = uniform(g, (n, NUM_KEYPOINTS), 0.0, 10.0, device) * self._chance(0.5, n, 1)
        confidence = torch.where(clean[:, None], 1.0, (-doubt * sigma).exp().clamp(0.05, 1.0)) * seen
        told = torch.where(clean[:, None], 0.0, (sigma.square() + MISMATCH_NOISE**2).sqrt())
        wrong = ~clean[:, None] & self._chance(c.outlier_share, n, NUM_KEYPOINTS)
        sigma = torch.where(wrong, c.outlier_noise, sigma)
        rho = torch.tensor([c.noise_correlation**lag for lag in PAST_LAGS], device=device)[:, None, None]
        now = self._normal(n, 1, NUM_KEYPOINTS, 3)
        before = rho * now + (1 - rho**2).sqrt() * self._normal(n, times - 1, NUM_KEYPOINTS, 3)
        noise = torch.cat([now, before], 1)
        depth_error = DEPTH_NOISE_M * level[:, None, None] * noise[..., 2]
        return (
            sigma[:, None, :, None] * noise[..., :2], confidence[:, None].expand(-1, times, -1), depth_error, told,
        )  # fmt: skip

    def _exchange(self, plane, depth, confidence, measured) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Some detectors take left for right for a part of a second, most of them then front for back as well."""
        c, g, n, times = self.config, self.generator, len(plane), plane.shape[1]
        film = measured & self._chance(c.exchanged_share, n)
        # The exchange lasts from one time before now to another, which may be after now.
        middle = uniform(g, (n, 1), -0.3, 0.5, self.device)
        half = uniform(g, (n, 1), 0.02, c.exchange_s, self.device) / 2
        when = torch.tensor((0.0, *PAST_LAGS_S), device=self.device)
        exchanged = film[:, None] & ((when - middle).abs() < half)
        mirror = list(KEYPOINT_MIRROR)
        # Before it has decided, it puts keypoints of a part of the body somewhere between both sides.
        parts = torch.tensor(_PART_OF, device=self.device)
        torn = film[:, None, None] & self._chance(c.torn_parts, n, times, 3)
        share = torch.where(torn, torch.rand(n, times, 3, generator=g, device=self.device), 0.0)[..., parts, None]
        plane = torch.lerp(plane, plane[:, :, mirror], share)
        turned = torch.where(self._chance(c.exchanged_depth, n, 1, 1), -1.0, 1.0)
        return (
            torch.where(exchanged[..., None, None], plane[:, :, mirror], plane),
            torch.where(exchanged[..., None], turned * depth[:, :, mirror], depth),
            torch.where(exchanged[..., None], confidence[:, :, mirror], confidence),
        )

    def _tell_up(self, condition: Condition, R_camera_world: torch.Tensor) -> None:
        c, n = self.config, len(R_camera_world)
        error = roma.rotvec_to_rotmat(math.radians(c.up_error_deg) * self._normal(n, 3))
        up = (condition.R_camera_crop.transpose(-1, -2) @ error @ R_camera_world)[..., 1]
        condition.up = up * self._chance(c.up_share, n, 1)

    def _tell_previous(self, condition: Condition, before: torch.Tensor) -> None:
        c, g, n = self.config, self.generator, len(before)
        level = uniform(g, (n, 1, 1), 0.0, c.previous_error, self.device)
        noisy = before @ roma.rotvec_to_rotmat(level * self._normal(n, NUM_JOINTS, 3))
        wrong = self._chance(c.previous_wrong, n)
        noisy = torch.where(wrong[:, None, None, None], before.roll(1, 0), noisy)
        condition.previous = sixd_from_matrix(root_to_network(noisy, condition.R_camera_crop))
        condition.previous_known = self._chance(c.previous_share, n).float()


def _part_of(name: str) -> int:
    """0: head, 1: arms, 2: legs."""
    if any(part in name for part in ("Nose", "Eye", "Ear")):
        return 0
    return 1 if any(part in name for part in ("Neck", "Shoulder", "Elbow", "Wrist")) else 2


_PART_OF = [_part_of(name) for name in KEYPOINT_NAMES]


def _with_limbs(rest: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Rest joints [B, 24, 3] whose bone to each joint is ``scale`` [B, 24] times as long."""
    bones = bone_offsets(rest) * scale[..., None]
    out = [rest[:, 0]]
    for joint in range(1, NUM_JOINTS):
        out.append(out[PARENTS[joint]] + bones[:, joint])
    return torch.stack(out, 1)
