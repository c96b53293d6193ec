"""How far the published pose may be from the truth: covariances of the joint rotations and of the pelvis.

Rotation errors are right perturbations: ``R_true = R_estimate exp(v)`` with ``v`` [rad] in the axes of the estimated
joint itself, so that turning the parent or the camera leaves a covariance alone.

Where K hypotheses were sampled their spread is an estimate of the covariance from few samples. It is shrunk to what
the errors of this joint were on motion capture, as an inverse Wishart prior would do it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from diffmocap.body.rotations import rotation_vector
from diffmocap.body.skeleton import JOINT_NAMES, KEYPOINT_NAMES, NUM_JOINTS
from diffmocap.errors import ModelFileError
from diffmocap.lifting.tracking.track import TrackedPoses
from diffmocap.resources import verified_model

DEFAULT_ERRORS = "pose_errors.json"
#: Added to the diagonals [rad^2, m^2]: no direction is ever certain.
FLOOR = 1e-6

#: Keypoints that show how a joint is turned; for the sides' joints those of their own side.
_SEEN_BY = {
    "pelvis": ("LHip", "RHip"), "spine1": ("LHip", "RHip"),
    "spine2": ("LShoulder", "RShoulder"), "spine3": ("LShoulder", "RShoulder"),
    "neck": ("Nose", "LEar", "REar"), "head": ("Nose", "LEar", "REar"),
    "hip": ("Knee", "Ankle"), "knee": ("Knee", "Ankle"), "ankle": ("BigToe", "Heel"), "foot": ("BigToe", "Heel"),
    "collar": ("Shoulder", "Elbow"), "shoulder": ("Elbow", "Wrist"), "elbow": ("Elbow", "Wrist"),
    "wrist": ("Elbow", "Wrist"), "hand": ("Elbow", "Wrist"),
}  # fmt: skip


def _observers() -> torch.Tensor:
    """[24, 25], rows sum to 1."""
    table = torch.zeros(NUM_JOINTS, len(KEYPOINT_NAMES))
    for joint, name in enumerate(JOINT_NAMES):
        side, _, part = name.rpartition("_")
        names = [side[:1].upper() + keypoint for keypoint in _SEEN_BY[part]]
        table[joint, [KEYPOINT_NAMES.index(n) for n in names]] = 1.0 / len(names)
    return table


OBSERVERS = _observers()


def joint_visibility(confidence: torch.Tensor) -> torch.Tensor:
    """[..., 24] share of the keypoints that show each joint's rotation and are there, from confidences [..., 25]."""
    return (confidence > 0).to(OBSERVERS.dtype) @ OBSERVERS.T


def rotation_scatter(rotations: torch.Tensor, weights: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    """[J, 3, 3] rad^2: weighted mean of ``v v^T`` where ``rotations[k] = estimate exp(v_k)``.

    Args:
        rotations: [K, J, 3, 3], weights: [K] that sum to 1, estimate: [J, 3, 3].
    """
    v = rotation_vector(estimate.mT @ rotations)
    return torch.einsum("k,kja,kjb->jab", weights, v, v)


def position_scatter(positions: torch.Tensor, weights: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    """[3, 3] weighted mean of ``d d^T`` with the differences d of [K, 3] from [3]."""
    d = positions - estimate
    return torch.einsum("k,ka,kb->ab", weights, d, d)


def shrunk(prior: torch.Tensor, scatter: torch.Tensor, samples: torch.Tensor, prior_samples: float) -> torch.Tensor:
    """Covariances [..., 3, 3] between ``prior``, worth ``prior_samples``, and the ``scatter`` of ``samples``.

    One sample has no scatter about itself and counts for nothing.
    """
    degrees = (samples - 1.0).clamp_min(0.0)
    return (prior_samples * prior + degrees * scatter) / (prior_samples + degrees)


@dataclass(frozen=True)
class PoseErrors:
    """Errors of published poses as they were measured (``benchmarks/refinement/pose_errors.py``).

    Attributes:
        visible, hidden: [24, 3, 3] rad^2, second moments of the rotation errors where all keypoints that show the
            joint are there, and where none is.
        pelvis_visible, pelvis_hidden: (across, along) the line of sight, standard deviation of the pelvis over its
            distance from the camera, where the hips are there, and where none is.
        prior_samples: hypotheses that these tables are worth.
        spread_scale: of the hypotheses' scatter, to be that of the error.
    """

    visible: torch.Tensor
    hidden: torch.Tensor
    pelvis_visible: tuple[float, float]
    pelvis_hidden: tuple[float, float]
    prior_samples: float
    spread_scale: float

    def __post_init__(self) -> None:
        for name in ("visible", "hidden"):
            table = getattr(self, name)
            if table.shape != (NUM_JOINTS, 3, 3) or not bool((torch.linalg.eigvalsh(table) > 0).all()):
                raise ModelFileError(f"the table of pose errors '{name}' must be [24, 3, 3] and positive definite")
        if not len(self.pelvis_visible) == len(self.pelvis_hidden) == 2:
            raise ModelFileError("the pelvis has two figures, across and along the line of sight")
        numbers = (*self.pelvis_visible, *self.pelvis_hidden, self.prior_samples, self.spread_scale)
        if not all(0.0 < x < float("inf") for x in numbers):
            raise ModelFileError(f"figures of pose errors must be positive and finite, got {numbers}")

    @classmethod
    def load(cls, path: str | Path | None = None) -> PoseErrors:
        """The shipped figures (None), or those of a file.

        Raises:
            ModelFileError: the file is missing, corrupt or of another kind.
        """
        path = Path(path or verified_model(DEFAULT_ERRORS))
        try:
            data = json.loads(path.read_text())
            return cls(
                torch.tensor(data["visible"]), torch.tensor(data["hidden"]),
                tuple(data["pelvis_visible"]), tuple(data["pelvis_hidden"]),
                float(data["prior_samples"]), float(data["spread_scale"]),
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, OverflowError) as e:
            raise ModelFileError(f"{path} holds no figures of pose errors: {e}") from e

    def rotation_prior(self, confidence: torch.Tensor) -> torch.Tensor:
        """[24, 3, 3] rad^2 for keypoint confidences [25]."""
        share = joint_visibility(confidence)[:, None, None]
        return share * self.visible + (1.0 - share) * self.hidden

    def pelvis_prior(self, confidence: torch.Tensor, pelvis: torch.Tensor) -> torch.Tensor:
        """[3, 3] m^2 in the optical frame, for a pelvis at [3] m."""
        share = float(joint_visibility(confidence)[0])
        across, along = (share * a**2 + (1.0 - share) * b**2 for a, b in zip(self.pelvis_visible, self.pelvis_hidden))
        distance = pelvis.norm()
        sight = pelvis / distance
        return distance**2 * (across * torch.eye(3) + (along - across) * torch.outer(sight, sight))

    def covariances(
        self, tracked: TrackedPoses, rotations: torch.Tensor, pelvis: torch.Tensor, confidence: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of a pose ([24, 3, 3], [3] m) that was made from the hypotheses: [24, 3, 3] rad^2, and [3, 3] m^2.

        ``confidence`` [25]: of the keypoints behind the hypotheses.
        """
        rotation, position = self.rotation_prior(confidence), self.pelvis_prior(confidence, pelvis)
        weights = tracked.weights
        if len(weights) > 1:
            samples = 1.0 / weights.square().sum()
            spread = self.spread_scale * rotation_scatter(tracked.poses.rotations, weights, rotations)
            rotation = shrunk(rotation, spread, samples, self.prior_samples)
            spread = self.spread_scale * position_scatter(tracked.poses.pelvis, weights, pelvis)
            position = shrunk(position, spread, samples, self.prior_samples)
        floor = FLOOR * torch.eye(3)
        return 0.5 * (rotation + rotation.mT) + floor, 0.5 * (position + position.mT) + floor
