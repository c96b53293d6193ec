"""A ray denoiser as live sampling calls it on a CPU: times encoded once, half-precision weights, the head as machine
code."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from diffmocap.body.kinematics import bone_offsets
from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.half_linear import half_linear
from diffmocap.lifting.network.ray_denoiser import LOG_SPREAD, POSE_SIZE, RayCode, RayDenoiser


class FusedRayDenoiser:
    """Equals the model in evaluation, for times that are one number for the batch; keeps no gradient.

    The head's machine code is compiled when it is first called.
    """

    def __init__(self, model: RayDenoiser) -> None:
        from diffmocap.lifting.network.ray_kernel import assemble

        self.model, self.config, self._assemble = model, model.config, assemble
        self.encode_previous, self.null_code = model.encode_previous, model.null_code
        self.with_guidance = model.with_guidance
        self.standardise, self.unstandardise = model.standardise, model.unstandardise
        self._condition_in, self._pose_in, self._out = map(half_linear, (model.condition_in, model.pose_in, model.out))
        self._layers = [
            (layer[0].weight.shape, layer[0].weight, layer[0].bias, half_linear(layer[1])) for layer in model.layers
        ]
        self._times: dict[int, torch.Tensor] = {}
        head = model.head
        bones = bone_offsets(head.rest_joints)
        self._constants = tuple(
            x.detach().cpu().contiguous().numpy()
            for x in (
                model.pose_mean, model.pose_std, bones, head.offsets, head.carrier, head.vectors, head.has_secondary,
                head.turn_of, head.facing,
            )
        )  # fmt: skip

    @torch.no_grad()
    def encode_condition(self, condition: Condition) -> RayCode:
        """As the model's, of conditions that are all told."""
        return self.model.code_of(condition, self._condition_in(self.model.features(condition)))

    def _time(self, t: int) -> torch.Tensor:
        """What time t adds to the first layer [1, width]."""
        if t not in self._times:
            phase = float(t) * self.model.frequencies
            self._times[t] = self.model.time_mlp(torch.cat([phase.sin(), phase.cos()]))[None]
        return self._times[t]

    @torch.no_grad()
    def spread_m(self, code: RayCode) -> torch.Tensor:
        """As the model's."""
        raw = self._trunk(torch.zeros(1, NUM_JOINTS * 6), self.config.diffusion_steps - 1, code)
        return (raw[:, POSE_SIZE + NUM_JOINTS : POSE_SIZE + 2 * NUM_JOINTS] + LOG_SPREAD).exp()

    def _trunk(self, x: torch.Tensor, t: int, code: RayCode) -> torch.Tensor:
        """What the trunk says for x_t [B or 1, 144]: see ``ray_kernel.assemble``."""
        m = self.model
        x = self._pose_in(x) + code.observed + code.joints + self._time(t)
        for shape, norm_weight, norm_bias, linear in self._layers:
            x = x + F.gelu(linear(F.layer_norm(x, shape, norm_weight, norm_bias)))
        norm = m.out_norm
        return self._out(F.layer_norm(x, norm.normalized_shape, norm.weight, norm.bias))

    @torch.no_grad()
    def __call__(self, x_t: torch.Tensor, t: int, code: RayCode) -> torch.Tensor:
        """x0 [B, 24, 6] for x_t [B, 24, 6] at one time t for all."""
        raw = self._trunk(x_t.flatten(1), t, code)
        out = torch.empty(len(raw), NUM_JOINTS, 6)
        fields = (raw, code.points, code.half_size, code.depth, code.depth_known, code.seen, code.told)
        self._assemble(*(x.contiguous().numpy() for x in fields), *self._constants, out.numpy())
        return out
