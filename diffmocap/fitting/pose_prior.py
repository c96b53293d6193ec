"""A Gaussian prior of poses, as SMPLify has a mixture of them (Bogo et al. 2016): mean and full covariance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import roma
import torch
from safetensors.torch import save_file

from diffmocap.body.skeleton import NUM_JOINTS
from diffmocap.errors import ModelFileError
from diffmocap.files.weights_file import WeightsFile
from diffmocap.resources import verified_model

FORMAT = "diffmocap-pose-prior-1"
#: The prior of the training split, in ``models/``.
SHIPPED_PRIOR = "pose_prior.safetensors"
#: Added to the standard deviations, as some joints hardly move in the data [rad].
PRIOR_FLOOR_RAD = 0.02
#: Numbers that a pose below the root is told by.
POSE_NUMBERS = 3 * (NUM_JOINTS - 1)


@dataclass(frozen=True)
class PosePrior:
    """A Gaussian over the local rotations below the root.

    Attributes:
        mean: [24, 3, 3] rotations nearest the mean of the matrices; the root's is the identity.
        factor: [69, 69] lower triangular: turns standard normal numbers into the rotation vectors, joint after joint,
            by which a pose is turned from the mean [rad].
    """

    mean: torch.Tensor
    factor: torch.Tensor

    @classmethod
    def of_rotations(cls, rotations: torch.Tensor) -> PosePrior:
        """Of poses [N, 24, 3, 3]; headings and tilts of the root are left out."""
        rotations = rotations.double()
        mean = roma.special_procrustes(rotations.mean(0))
        mean[0] = torch.eye(3, dtype=mean.dtype)
        off = roma.rotmat_to_rotvec(mean.transpose(-1, -2) @ rotations)[:, 1:].flatten(1)
        covariance = off.T @ off / len(off) + PRIOR_FLOOR_RAD**2 * torch.eye(off.shape[1])
        return cls(mean.float(), torch.linalg.cholesky(covariance).float())

    @classmethod
    def load(cls, path: str | Path | None = None) -> PosePrior:
        """The shipped prior (None), or one that :meth:`save` wrote.

        Raises:
            ModelFileError: the file is missing, corrupt or no prior.
        """
        path = Path(path or verified_model(SHIPPED_PRIOR))
        advice = "make one with `python -m training.motions.pose_prior`"
        if not path.is_file():
            raise ModelFileError(f"the prior of poses {path} does not exist; {advice}")
        tensors = WeightsFile.read(path, FORMAT, "prior of poses", advice).tensors
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if shapes != {"mean": (NUM_JOINTS, 3, 3), "factor": (POSE_NUMBERS, POSE_NUMBERS)}:
            raise ModelFileError(f"{path} holds tensors of shapes {shapes}, which is no prior of poses; {advice}")
        return cls(tensors["mean"], tensors["factor"])

    def save(self, path: Path) -> None:
        """Writes a file for :meth:`load`."""
        save_file({"mean": self.mean.contiguous(), "factor": self.factor.contiguous()}, path, {"format": FORMAT})

    def to(self, device: torch.device | str) -> PosePrior:
        """The same on another device."""
        return PosePrior(self.mean.to(device), self.factor.to(device))

    def rotations(self, numbers: torch.Tensor) -> torch.Tensor:
        """Local rotations [B, 23, 3, 3] of joints 1 to 23 for standard normal ``numbers`` [B, 69]."""
        turned = (numbers @ self.factor.T).unflatten(-1, (-1, 3))
        return self.mean[1:] @ roma.rotvec_to_rotmat(turned)

    def numbers(self, rotations: torch.Tensor) -> torch.Tensor:
        """The inverse of :meth:`rotations`: [B, 69] of local rotations [B, 23, 3, 3]."""
        turned = roma.rotmat_to_rotvec(self.mean[1:].transpose(-1, -2) @ rotations).flatten(1)
        return torch.linalg.solve_triangular(self.factor, turned.T, upper=False).T
