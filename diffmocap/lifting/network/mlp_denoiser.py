"""The MLP denoiser that the diffusion paper holds its transformer against (sections 5.2 and 5.3: 27M parameters).

Pose, condition and time enter as one vector and go through wide layers. The paper leaves everything else open; here:
pre-norm layers with GELU, each added to its input, because without that they do not train well at this depth. The
condition's share of the first layer is a term of its own, computed once a frame and used at every step.

It is conditioned on the same as the transformer (see ``condition.py``) and shares its interface.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields

import torch
from torch import nn
from torch.nn import functional as F

from diffmocap.body.skeleton import NUM_JOINTS, NUM_KEYPOINTS
from diffmocap.errors import SettingsError
from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.denoiser import DEPTH_UNIT_M

POSE_SIZE = NUM_JOINTS * 6
#: A keypoint's place, confidence, depth and whether that is known; the view.
CONDITION_SIZE = NUM_KEYPOINTS * 5 + 4


@dataclass(frozen=True)
class MlpConfig:
    """Size of the network and what it predicts."""

    width: int = 768
    layers: int = 6
    time_width: int = 256
    dropout: float = 0.0
    parameterisation: str = "x0"
    schedule: str = "cosine"
    diffusion_steps: int = 1000

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise SettingsError(f"an MLP needs at least one layer, got {self.layers}")
        if self.time_width < 2 or self.time_width % 2:
            raise SettingsError(f"time_width holds sines and cosines and must be even, got {self.time_width}")

    def as_dict(self) -> dict:
        """For the weights file."""
        return {"architecture": "mlp", **asdict(self)}


@dataclass
class MlpCode:
    """Contributions to the first layer before its activation, [B, width] each: ``observed`` of keypoints and view,
    ``joints`` of the previous pose."""

    observed: torch.Tensor
    joints: torch.Tensor

    def __len__(self) -> int:
        return len(self.observed)

    def stack(self, other: MlpCode) -> MlpCode:
        """Both codes as one batch."""
        return type(self)(*(torch.cat([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))

    def repeat(self, times: int) -> MlpCode:
        """Every row ``times`` times, its copies side by side."""
        if times == 1:
            return self
        return type(self)(*(getattr(self, f.name).repeat_interleave(times, 0) for f in fields(self)))


class MlpDenoiser(nn.Module):
    """eps_theta(x_t, t, y) on the whole pose as one vector, in units of the standardised pose.

    ``pose_mean`` and ``pose_std`` [24, 6] standardise the 6D rotations; they travel with the weights.
    ``student``: what a few-step student was made for, see ``weights.load_weights``; None for all others.
    """

    def __init__(self, config: MlpConfig = MlpConfig()) -> None:
        super().__init__()
        c = self.config = config
        self.student: dict | None = None
        self.pose_in = nn.Linear(POSE_SIZE, c.width)
        self.condition_in = nn.Linear(CONDITION_SIZE, c.width)
        self.previous_in = nn.Linear(POSE_SIZE + 1, c.width, bias=False)
        self.null_vector = nn.Parameter(0.02 * torch.randn(c.width))
        self.time_mlp = nn.Sequential(
            nn.Linear(c.time_width, c.time_width), nn.GELU(), nn.Linear(c.time_width, c.width)
        )
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, c.width), nn.GELU(), nn.Dropout(c.dropout))
            for _ in range(c.layers)
        )
        self.out = nn.Sequential(nn.LayerNorm(c.width), nn.Linear(c.width, POSE_SIZE))
        self.register_buffer("pose_mean", torch.zeros(NUM_JOINTS, 6))
        self.register_buffer("pose_std", torch.ones(NUM_JOINTS, 6))
        half = c.time_width // 2
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def encode_condition(self, condition: Condition, keep: torch.Tensor | None = None) -> MlpCode:
        """Encodes y once. ``keep`` [B] bool: False replaces a row's condition by the null condition."""
        c, seen = condition, condition.confidence > 0
        keypoints = torch.cat([c.points, torch.stack((c.confidence, c.depth / DEPTH_UNIT_M, c.depth_known), -1)], -1)
        keypoints = torch.where(seen[..., None], keypoints, 0.0).flatten(1)
        observed = self.condition_in(torch.cat([keypoints, c.view], -1))
        if keep is not None:
            observed = torch.where(keep[:, None], observed, self.null_vector)
        return MlpCode(observed, self.encode_previous(c.previous, c.previous_known, keep, len(c)))

    def encode_previous(
        self, previous: torch.Tensor | None, known: torch.Tensor | None, keep: torch.Tensor | None, batch: int
    ) -> torch.Tensor:
        """The share [B, width] of previous poses [B, 24, 6]: zero where ``known`` or ``keep`` [B] is false."""
        if previous is None:
            return self.null_vector.new_zeros(batch, self.config.width)
        known = known if keep is None else known * keep
        vector = F.pad(self.standardise(previous).flatten(1), (0, 1), value=1.0)
        return self.previous_in(torch.where(known[:, None] > 0, vector, 0.0))

    def null_code(self, batch: int) -> MlpCode:
        """The code of the null condition for ``batch`` rows."""
        observed = self.null_vector.expand(batch, -1)
        return MlpCode(observed, torch.zeros_like(observed))

    def forward(self, x_t: torch.Tensor, t: torch.Tensor | int, code: MlpCode) -> torch.Tensor:
        """Prediction [B, 24, 6] for x_t [B, 24, 6] at integer times t, [B] or one for all."""
        if isinstance(t, int):
            t = torch.full((len(x_t),), t, device=x_t.device)
        phase = t.to(self.frequencies.dtype)[:, None] * self.frequencies
        time = self.time_mlp(torch.cat([phase.sin(), phase.cos()], -1))
        x = self.pose_in(x_t.flatten(1)) + code.observed + code.joints + time
        for layer in self.layers:
            x = x + layer(x)
        return self.out(x).unflatten(-1, (NUM_JOINTS, 6))

    def standardise(self, sixd: torch.Tensor) -> torch.Tensor:
        """6D rotations [B, 24, 6] to the units that are diffused."""
        return (sixd - self.pose_mean) / self.pose_std

    def unstandardise(self, x: torch.Tensor) -> torch.Tensor:
        """Inverse of :meth:`standardise`."""
        return x * self.pose_std + self.pose_mean
