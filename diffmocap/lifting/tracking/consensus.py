"""One pose out of the hypotheses that show the same one.

Samples of one image that agree on a pose differ in what the image leaves open; the mean over them has on average less
error than a sample. Samples of another pose (a limb before the body and not behind it) stay out: a mean of two poses is
neither.
"""

from __future__ import annotations

import torch

from diffmocap.types import PoseHypotheses


def consensus_shares(
    poses: PoseHypotheses, distances: torch.Tensor, followed: int, radius_m: float, score_scale: float
) -> torch.Tensor:
    """[K] that sum to 1: shares of the hypotheses in the consensus, 0 for those farther than ``radius_m`` from the
    followed one.

    Each counts by how many samples it is worth and by how well it explains the image.

    Args:
        distances: [K, K] m among the hypotheses. score_scale: difference of the score that is worth one nat.
    """
    belief = poses.score / score_scale
    if poses.worth is not None:
        belief = belief + poses.worth.log()
    near = distances[followed] < radius_m
    near[followed] = True
    return belief.masked_fill(~near, -torch.inf).softmax(0)


def consensus(poses: PoseHypotheses, shares: torch.Tensor) -> PoseHypotheses:
    """The mean pose as a single hypothesis: rotations by their chordal mean (the rotation nearest to the weighted mean
    of matrices; Moakher 2002), the rest as numbers.

    Args:
        shares: [K] that sum to 1.
    """
    mean = (shares @ poses.rotations.flatten(1)).view(poses.rotations.shape[1:])
    return PoseHypotheses(
        _nearest_rotation(mean)[None], (shares @ poses.pelvis)[None], (shares @ poses.score)[None],
        poses.stamp_ns,
    )  # fmt: skip


def _nearest_rotation(matrices: torch.Tensor) -> torch.Tensor:
    """Of each of [J, 3, 3] (Schönemann 1966; what roma checks beside it takes longer than the decomposition)."""
    U, _, Vt = torch.linalg.svd(matrices)
    signs = torch.ones_like(matrices[:, 0])
    signs[:, 2] = torch.linalg.det(U @ Vt)
    return (U * signs[:, None]) @ Vt
