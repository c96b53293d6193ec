"""What the terms of the loss take of what is known of a window, computed once."""

from __future__ import annotations

import numpy as np
import torch

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.camera.projection import NEAREST_M
from diffmocap.compiler import array
from diffmocap.physics.contact_forces import ground_axes
from diffmocap.physics.contact_state import ContactLevels, activity_rates
from diffmocap.refinement.kernels.records import Given
from diffmocap.refinement.window.window import Window

#: Errors of the joints of one hypothesis go together: 24 count as this many.
INDEPENDENT_JOINTS = 6


def given_of(window: Window, pelvis: torch.Tensor, touching: torch.Tensor, levels: ContactLevels) -> list[Given]:
    """One for each window of the batch.

    Args:
        pelvis: [B, T, 3] m of the reference. touching: [B, T, P] bool, its contacts. levels: of contacts.
    """
    may_push = touching.cpu().numpy()
    held = may_push.astype(np.float64)
    both = held[:, 1:] * held[:, :-1]
    # Shares of each contact in the mean over all contacts of the window; none: no mean, no cost.
    held = held / np.maximum(held.sum((1, 2), keepdims=True), 1.0)
    held_steps = both / np.maximum(both.sum((1, 2), keepdims=True), 1.0)
    ground, up, rates = window.ground, array(window.ground.up), np.array(activity_rates(levels))
    parts = (
        up, ground_axes(up), array(ground.gravity)[:, 0], *_reprojection(window, array(pelvis)), *_hypotheses(window),
        held, held_steps,
    )  # fmt: skip
    rows = zip(ground.height.tolist(), may_push[:, 1:-1], *map(np.ascontiguousarray, parts))
    return [
        Given(float(window.dt_s), up, height, *others, np.ascontiguousarray(may), rates)
        for height, may, up, *others in rows
    ]


def _reprojection(window: Window, pelvis: np.ndarray) -> tuple[np.ndarray, ...]:
    """Camera, observations, confidence and metres of a pixel."""
    points, confidence, K, pose = map(array, (window.points_px, window.confidence, window.K, window.T_camera_motion))
    observed = np.where((confidence > 0)[..., None], points, 0.0)
    focal = 0.5 * (K[:, 0, 0] + K[:, 1, 1])
    depth = (pelvis @ pose[:, 2, :3, None])[..., 0] + pose[:, 2, 3, None]
    return (
        K @ pose, observed.swapaxes(-1, -2), confidence / (window.frames * observed.shape[-2]),
        np.maximum(depth, NEAREST_M) / focal[:, None],
    )  # fmt: skip


def _hypotheses(window: Window) -> tuple[np.ndarray, ...]:
    """Targets, constant, places, precision, normalised log-weights, and shares of frames that were lifted."""
    fields = window.log_weights, window.rotations, window.rotation_spread, window.pelvis, window.pelvis_precision
    believed, rotations, spread, pelvis, pelvis_precision = map(array, fields)
    believed = believed.swapaxes(1, 2)
    believed = np.where(np.isnan(believed), -np.inf, believed)
    heaviest = believed.max(-1, keepdims=True)
    lifted = window.lifted.cpu().numpy() & (heaviest[..., 0] > -np.inf)
    believed, heaviest = (np.where(lifted[..., None], x, 0.0) for x in (believed, heaviest))
    with np.errstate(invalid="ignore"):  # an infinite log-weight gives NaN, and so does the loss
        believed = believed - heaviest
        believed = believed - np.log(np.exp(believed).sum(-1, keepdims=True))
    used = lifted[..., None] & (believed > -np.inf)
    rotations = rotations.swapaxes(1, 2).reshape(*used.shape, NUM_JOINTS, 9)
    rotations = np.where(used[..., None, None], rotations, 0.0)
    spread = np.where(lifted[..., None], spread, 1.0)
    precision = (INDEPENDENT_JOINTS / NUM_JOINTS) / spread**2 * lifted[..., None]  # [B, T, 24]
    pelvis_precision = 0.5 * (pelvis_precision + pelvis_precision.swapaxes(-1, -2))
    return (
        (rotations * precision[:, :, None, :, None]).reshape(*used.shape, NUM_JOINTS * 9), 3.0 * precision.sum(-1),
        np.where(used[..., None], pelvis.swapaxes(1, 2), 0.0),
        np.where(lifted[..., None, None], pelvis_precision, 0.0), believed, lifted / window.frames,
    )  # fmt: skip
