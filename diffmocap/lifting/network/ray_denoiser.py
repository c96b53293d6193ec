"""A denoiser that places the joints along the keypoints' rays: a residual MLP before :class:`RayHead`.

Everything that the condition says goes into one vector: keypoints with the noise that each is told to have, their
rays, the vectors between neighbours, depths, the view, up, and keypoints of the last half second. Its share of the
first layer is computed once a frame. Layers are the MLP denoiser's (``mlp_denoiser.py``): pre-norm, GELU, each added
to its input.

The trunk gives a pose as it is diffused, and what the head needs. The prediction of x0 mixes the two joint by joint: a
gate decides whether the joint is as the head turned it, or as the trunk has it, whose mean over several possible poses
may be no rotation, as the mean of DDPM's posterior is. The null condition has no rays; there the trunk's pose stands
alone.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.body.skeleton import KEYPOINT_EDGES, NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.errors import SettingsError
from diffmocap.lifting.network.condition import PAST_LAGS_S, Condition
from diffmocap.lifting.network.denoiser import DEPTH_UNIT_M
from diffmocap.lifting.network.guidance_input import GuidanceInput
from diffmocap.lifting.network.mlp_denoiser import POSE_SIZE, MlpCode, MlpConfig
from diffmocap.lifting.network.ray_head import HEAD_SIZE, RayHead

#: Logarithm of the spread [m] where the trunk says 0.
LOG_SPREAD = -3.0
#: Unit in which the network hears noise over the half-size.
NOISE_UNIT = 0.03
#: Displacements of the past are heard this many times larger: most are small.
PAST_SCALE = 4.0
#: Place, ray, confidence, noise, depth and whether that is known, for each keypoint; vectors between neighbours; view;
#: up; the past.
CONDITION_SIZE = NUM_KEYPOINTS * 8 + len(KEYPOINT_EDGES) * 4 + 4 + 3 + len(PAST_LAGS_S) * NUM_KEYPOINTS * 4


@dataclass(frozen=True)
class RayConfig(MlpConfig):
    """Size of the network; it predicts x0. ``guided``: it hears the weight of guidance, a student of guided paths."""

    guided: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.parameterisation != "x0":
            raise SettingsError(f"a denoiser with a ray head predicts x0, not {self.parameterisation}")

    def as_dict(self) -> dict:
        """For the weights file."""
        return {"architecture": "ray", **asdict(self)}


@dataclass
class RayCode(MlpCode):
    """What a condition gives the denoiser, computed once a frame.

    Beside the contributions to the first layer: what the head needs, as in
    :class:`~diffmocap.lifting.network.condition.Condition`; ``told`` [B]: 0 for the null condition.
    """

    points: torch.Tensor
    half_size: torch.Tensor
    depth: torch.Tensor
    depth_known: torch.Tensor
    seen: torch.Tensor
    told: torch.Tensor


@dataclass
class RayPrediction:
    """All that the network says of a batch.

    Attributes:
        x0: [B, 24, 6] in units of the standardised pose. trunk: [B, 24, 6] the same without the head.
        turned: [B, 24, 6] the head's alone. placed: [B, 25, 3] m keypoints in the crop frame.
        log_spread: [B, 24] log of the standard deviation of each joint's position about the mid-hip, per axis [m].
    """

    x0: torch.Tensor
    trunk: torch.Tensor
    turned: torch.Tensor
    placed: torch.Tensor
    log_spread: torch.Tensor


class RayDenoiser(nn.Module):
    """x0_theta(x_t, t, y) of the whole pose, in units of the standardised pose.

    ``pose_mean`` and ``pose_std`` [24, 6] standardise the 6D rotations; they travel with the weights, and so does the
    body in ``head``. ``student``: see ``weights.load_weights``.
    """

    def __init__(self, config: RayConfig = RayConfig()) -> None:
        super().__init__()
        c = self.config = config
        self.student: dict | None = None
        self.pose_in = nn.Linear(POSE_SIZE, c.width)
        self.condition_in = nn.Linear(CONDITION_SIZE, c.width)
        self.previous_in = nn.Linear(POSE_SIZE + 1, c.width, bias=False)
        self.null_vector = nn.Parameter(0.02 * torch.randn(c.width))
        self.guidance_in = GuidanceInput(c.time_width, c.width) if c.guided else None
        self.time_mlp = nn.Sequential(
            nn.Linear(c.time_width, c.time_width), nn.GELU(), nn.Linear(c.time_width, c.width)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, c.width), nn.GELU(), nn.Dropout(c.dropout))
            for _ in range(c.layers)
        )
        self.out_norm = nn.LayerNorm(c.width)
        self.out = nn.Linear(c.width, POSE_SIZE + 2 * NUM_JOINTS + HEAD_SIZE)
        self.head = RayHead()
        self.register_buffer("pose_mean", torch.zeros(NUM_JOINTS, 6))
        self.register_buffer("pose_std", torch.ones(NUM_JOINTS, 6))
        edges = torch.tensor(KEYPOINT_EDGES)
        self.register_buffer("edge_start", edges[:, 0].clone(), persistent=False)
        self.register_buffer("edge_end", edges[:, 1].clone(), persistent=False)
        half = c.time_width // 2
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def features(self, condition: Condition) -> torch.Tensor:
        """[B, CONDITION_SIZE] all that the condition says, zeros for what is missing."""
        c, seen = condition, condition.confidence > 0
        scalars = torch.stack((c.confidence, c.noise / NOISE_UNIT, c.depth / DEPTH_UNIT_M, c.depth_known), -1)
        keypoints = torch.where(seen[..., None], torch.cat([c.points, c.rays, scalars], -1), 0.0)
        start, end = keypoints.index_select(1, self.edge_start), keypoints.index_select(1, self.edge_end)
        both = (start[..., 4:5] > 0) & (end[..., 4:5] > 0)
        deep = both[..., 0] & (start[..., 7] > 0) & (end[..., 7] > 0)
        edges = end - start
        flat = 4.0 * torch.where(both, edges[..., :2], 0.0)
        rise = torch.stack([torch.where(deep, edges[..., 6], 0.0), deep.float()], -1)
        view = torch.cat([c.view[:, :3], c.view[:, 3:] / NOISE_UNIT, c.up], -1)
        if c.past is None:
            past = keypoints.new_zeros(len(c), len(PAST_LAGS_S) * NUM_KEYPOINTS * 4)
        else:
            past = (c.past * c.past.new_tensor([PAST_SCALE, PAST_SCALE, PAST_SCALE, 1.0])).flatten(1)
        return torch.cat([keypoints.flatten(1), flat.flatten(1), rise.flatten(1), view, past], -1)

    def encode_condition(self, condition: Condition, keep: torch.Tensor | None = None) -> RayCode:
        """Encodes y once. ``keep`` [B] bool: False replaces a row's condition by the null condition."""
        return self.code_of(condition, self.condition_in(self.features(condition)), keep)

    def code_of(self, condition: Condition, observed: torch.Tensor, keep: torch.Tensor | None = None) -> RayCode:
        """The code of a condition whose features the first layer made ``observed`` [B, width] of."""
        c = condition
        told = torch.ones_like(c.half_size)
        if keep is not None:
            observed = torch.where(keep[:, None], observed, self.null_vector.to(observed.dtype))
            told = keep.to(told.dtype)
        joints = self.encode_previous(c.previous, c.previous_known, keep, len(c))
        return RayCode(observed, joints, c.points, c.half_size, c.depth, c.depth_known, c.confidence > 0, told)

    def encode_previous(
        self, previous: torch.Tensor | None, known: torch.Tensor | None, keep: torch.Tensor | None, batch: int
    ) -> torch.Tensor:
        """The share [B, width] of previous poses [B, 24, 6]: zero where ``known`` or ``keep`` [B] is false."""
        if previous is None:
            return self.null_vector.new_zeros(batch, self.config.width)
        known = known if keep is None else known * keep
        vector = F.pad(self.standardise(previous).flatten(1), (0, 1), value=1.0)
        return self.previous_in(torch.where(known[:, None] > 0, vector, 0.0))

    def with_guidance(self, code: RayCode, weight: torch.Tensor) -> RayCode:
        """The code of a network that is ``guided``, told the weights [B or 1] of guidance."""
        return replace(code, joints=code.joints + self.guidance_in(weight))

    def null_code(self, batch: int) -> RayCode:
        """The code of the null condition for ``batch`` rows."""
        observed = self.null_vector.expand(batch, -1)
        per_keypoint = observed.new_zeros(batch, NUM_KEYPOINTS)
        return RayCode(
            observed, torch.zeros_like(observed), observed.new_zeros(batch, NUM_KEYPOINTS, 2), observed.new_ones(batch),
            per_keypoint, per_keypoint, per_keypoint > 0, observed.new_zeros(batch),
        )  # fmt: skip

    def predict(self, x_t: torch.Tensor, t: torch.Tensor | int, code: RayCode) -> RayPrediction:
        """Everything for x_t [B, 24, 6] at integer times t, [B] or one for all."""
        if isinstance(t, int):
            t = torch.full((len(x_t),), t, device=x_t.device)
        phase = t.to(self.frequencies.dtype)[:, None] * self.frequencies
        time = self.time_mlp(torch.cat([phase.sin(), phase.cos()], -1))
        # Sums are formed in single precision where products are of half precision.
        x = (self.pose_in(x_t.flatten(1)) + code.observed + code.joints + time).float()
        for layer in self.layers:
            x = x + layer(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return self._assemble(self.out(self.out_norm(x)), code)

    def _assemble(self, raw: torch.Tensor, code: RayCode) -> RayPrediction:
        pose, gate, log_spread, head = raw.split([POSE_SIZE, NUM_JOINTS, NUM_JOINTS, HEAD_SIZE], -1)
        trunk = pose.unflatten(-1, (NUM_JOINTS, 6))
        placed = self.head.place(head, code.points, code.half_size, code.depth, code.depth_known, code.seen)
        rotations = self.head.turn(matrix_from_6d(self.unstandardise(trunk)), placed)
        turned = self.standardise(sixd_from_matrix(rotations))
        share = torch.sigmoid(gate + 2.0)[..., None] * code.told[:, None, None]
        return RayPrediction(torch.lerp(trunk, turned, share), trunk, turned, placed, log_spread + LOG_SPREAD)

    def spread_m(self, code: RayCode) -> torch.Tensor:
        """[B, 24] m: standard deviation per axis of each joint's place about the mid-hip, as sampling begins."""
        start = code.observed.new_zeros(len(code), NUM_JOINTS, 6)
        return self.predict(start, self.config.diffusion_steps - 1, code).log_spread.exp()

    def forward(self, x_t: torch.Tensor, t: torch.Tensor | int, code: RayCode) -> torch.Tensor:
        """x0 [B, 24, 6] for x_t [B, 24, 6] at integer times t, [B] or one for all."""
        return self.predict(x_t, t, code).x0

    def standardise(self, sixd: torch.Tensor) -> torch.Tensor:
        """6D rotations [B, 24, 6] to the units that are diffused."""
        return (sixd - self.pose_mean) / self.pose_std

    def unstandardise(self, x: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`standardise`."""
        return x * self.pose_std + self.pose_mean
