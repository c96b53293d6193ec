"""The transformer denoiser's function for live use: the same numbers from fewer and larger operations.

Queries, keys and values are one product, as are the keys and values of the condition for all decoder layers; what
depends on the time alone is computed once for each time; nothing passes through ``nn.Module``. On one CPU core and for
one person, an evaluation of the network of the ``small`` preset takes about 0.6 of the time it takes the module.
(``torch.compile`` was slower than the module there, after a minute or more of compiling.)
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from diffmocap.lifting.network.condition import Condition
from diffmocap.lifting.network.denoiser import DEPTH_UNIT_M, Attention, ConditionCode, TransformerDenoiser

Linear = tuple[torch.Tensor, torch.Tensor]


def _joined(*layers: nn.Linear) -> Linear:
    """One layer that gives the outputs of several side by side."""
    return torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])


class FusedDenoiser:
    """Stands for ``model`` where it is only evaluated; the weights are copied when this is made.

    Codes are those of the model: either may make them, either may use them.
    """

    @torch.no_grad()
    def __init__(self, model: TransformerDenoiser) -> None:
        self.model, self.config = model, model.config
        self.encode_previous, self.null_code = model.encode_previous, model.null_code
        self.standardise, self.unstandardise = model.standardise, model.unstandardise
        self._keypoint_layers = [self._encoder_layer(layer) for layer in model.keypoint_encoder]
        self._joint_layers = [self._encoder_layer(layer) for layer in model.joint_encoder]
        self._decoder_layers = [
            (
                self._norm(layer.norm1), *self._attention(layer.self_attention),
                self._norm(layer.norm2), _joined(layer.cross_attention.query), _joined(layer.cross_attention.out),
                self._norm(layer.norm3), _joined(layer.feedforward[0]), _joined(layer.feedforward[3]),
            )
            for layer in model.decoder
        ]  # fmt: skip
        self._memory = _joined(*(layer.cross_attention.key_value for layer in model.decoder))
        self._memory_norm, self._out_norm, self._out = (
            self._norm(model.memory_norm), self._norm(model.out[0]), _joined(model.out[1])
        )  # fmt: skip
        self._times: dict[int, tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]] = {}

    @staticmethod
    def _norm(layer: nn.LayerNorm) -> tuple:
        return layer.normalized_shape, layer.weight.clone(), layer.bias.clone(), layer.eps

    @staticmethod
    def _attention(layer: Attention) -> tuple[Linear, Linear]:
        return _joined(layer.query, layer.key_value), _joined(layer.out)

    def _encoder_layer(self, layer: nn.Module) -> tuple:
        return (
            self._norm(layer.norm1), *self._attention(layer.attention),
            self._norm(layer.norm2), _joined(layer.feedforward[0]), _joined(layer.feedforward[3]),
        )  # fmt: skip

    def _heads(self, x: torch.Tensor, parts: int) -> tuple[torch.Tensor, ...]:
        """``parts`` tensors [B, heads, N, width / heads] of [B, N, parts * width]."""
        c = self.config
        return x.view(*x.shape[:2], parts, c.heads, c.width // c.heads).permute(2, 0, 3, 1, 4).unbind(0)

    @staticmethod
    def _attend(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None, out: Linear
    ) -> torch.Tensor:
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return F.linear(y.transpose(1, 2).flatten(2), *out)

    def _encode(self, x: torch.Tensor, layers: list[tuple], mask: torch.Tensor | None) -> torch.Tensor:
        for norm1, qkv, out, norm2, first, second in layers:
            x = x + self._attend(*self._heads(F.linear(F.layer_norm(x, *norm1), *qkv), 3), mask, out)
            x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, *norm2), *first)), *second)
        return x

    @torch.no_grad()
    def encode_condition(self, condition: Condition) -> ConditionCode:
        """As the model's, of conditions that are all told."""
        m, confidence = self.model, condition.confidence
        scalars = torch.stack((confidence, condition.depth / DEPTH_UNIT_M, condition.depth_known), -1)
        tokens = m.keypoint_in(torch.cat([condition.points, scalars], -1)) + m.keypoint_embedding
        # Columns: time and view, which are always there, and the keypoints.
        mask = torch.zeros_like(confidence).masked_fill(confidence <= 0, float("-inf"))
        mask = F.pad(mask, (2, 0))[:, None, None]
        memory = torch.cat([m.view_in(condition.view)[:, None], tokens], 1)
        memory = F.layer_norm(self._encode(memory, self._keypoint_layers, mask[..., 1:]), *self._memory_norm)
        projected = self._heads(F.linear(memory, *self._memory), 2 * len(self._decoder_layers))
        joints = m.encode_previous(condition.previous, condition.previous_known, None, len(condition))
        return ConditionCode(list(projected[0::2]), list(projected[1::2]), mask, joints)

    def _time(self, t: int) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        """What time t adds to the joint tokens [1, 24, width], and its keys and values [1, heads, 1, width / heads]."""
        if t not in self._times:
            m = self.model
            phase = float(t) * m.frequencies
            token = m.time_mlp(torch.cat([phase.sin(), phase.cos()]))[None, None]
            projected = self._heads(F.linear(token, *self._memory), 2 * len(self._decoder_layers))
            self._times[t] = token + m.joint_embedding, list(projected[0::2]), list(projected[1::2])
        return self._times[t]

    @torch.no_grad()
    def __call__(self, x_t: torch.Tensor, t: int, code: ConditionCode) -> torch.Tensor:
        """Prediction [B, 24, 6] for x_t [B, 24, 6] at one time t for all."""
        n = len(x_t)
        embedding, time_keys, time_values = self._time(t)
        x = F.linear(x_t, self.model.joint_in.weight, self.model.joint_in.bias) + embedding + code.joints
        x = self._encode(x, self._joint_layers, None)
        for layer, k, v, time_k, time_v in zip(self._decoder_layers, code.keys, code.values, time_keys, time_values):
            norm1, qkv, out, norm2, query, cross_out, norm3, first, second = layer
            x = x + self._attend(*self._heads(F.linear(F.layer_norm(x, *norm1), *qkv), 3), None, out)
            (q,) = self._heads(F.linear(F.layer_norm(x, *norm2), *query), 1)
            k = torch.cat([time_k.expand(n, -1, -1, -1), k], 2)
            v = torch.cat([time_v.expand(n, -1, -1, -1), v], 2)
            x = x + self._attend(q, k, v, code.mask, cross_out)
            x = x + F.linear(F.gelu(F.linear(F.layer_norm(x, *norm3), *first)), *second)
        return F.linear(F.layer_norm(x, *self._out_norm), *self._out)
