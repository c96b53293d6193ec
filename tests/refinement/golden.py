"""Golden values of the window loss and of DiffPhy: what the code of one commit computed, on inputs kept beside it.

See ``tests/data/README.md``. Rotations are kept as single-precision rotation vectors, from which both the code that
recorded the values and the tests make the double-precision matrices that go in.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import roma
import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.physics.contact_points import ContactPoints
from diffmocap.physics.ground import Ground
from diffmocap.physics.segments import BodySegments
from diffmocap.physics.simulation import Simulator
from diffmocap.refinement.diffphy.task import DiffphyTask
from diffmocap.refinement.window.body_points import BodyPoints
from diffmocap.refinement.window.task import WindowTask
from diffmocap.refinement.window.weights import UNITS, RefinementWeights
from diffmocap.refinement.window.window import Window

DATA = Path(__file__).resolve().parents[1] / "data"
WINDOWS, DIFFPHY = DATA / "golden_window_loss.npz", DATA / "golden_diffphy.npz"
#: Terms whose values are recorded; terms that came later are left out of these losses.
RECORDED = (
    "reprojection", "hypotheses", "root_force", "root_moment", "slip", "contact_gap", "penetration", "torque",
    "torque_rate", "joint_limits", "jerk",
)  # fmt: skip
#: A walk; a tilted world in which much is missing, under other weights; jumping jacks on a floor of unknown height.
NAMES = ("walk", "tilted", "jacks")


@dataclass(frozen=True)
class GoldenWindow:
    """A window's arrays, its name before the dot taken off."""

    arrays: dict[str, np.ndarray]

    @classmethod
    def load(cls, name: str) -> GoldenWindow:
        with np.load(WINDOWS, allow_pickle=False) as data:
            return cls({key.removeprefix(f"{name}."): data[key] for key in data if key.startswith(f"{name}.")})

    def __getitem__(self, key: str) -> torch.Tensor:
        found = torch.as_tensor(self.arrays[key])
        return found.double() if found.is_floating_point() else found

    def task(self, points: BodyPoints) -> WindowTask:
        """The window's task, in float64, around the recorded reference."""
        window = Window(
            dt_s=float(self["dt_s"]), rotations=roma.rotvec_to_rotmat(self["rotations"]), pelvis=self["pelvis"],
            log_weights=self["log_weights"], lifted=self["lifted"], rotation_spread=self["rotation_spread"],
            pelvis_precision=self["pelvis_precision"], points_px=self["points_px"], confidence=self["confidence"],
            K=self["K"], T_camera_motion=self["T_camera_motion"], ground=Ground(self["up"], self["height"]),
        )  # fmt: skip
        later = dict.fromkeys(set(UNITS) - set(RECORDED), 0.0)
        values = dict(zip(weight_names(), self["weights"].tolist(), strict=True)) | later
        reference = roma.rotvec_to_rotmat(self["reference"]), self["reference_pelvis"]
        return WindowTask(window, points, reference, RefinementWeights(**values), spacing=int(self["spacing"]))


def weight_names() -> list[str]:
    """Names of the weights in the order in which they are recorded."""
    return [*RECORDED, "robust_m", "robust_force", "robust_moment"]


def diffphy_task(body: BodyModel, rotations: np.ndarray, pelvis: np.ndarray) -> DiffphyTask:
    """One second of a motion on the floor at height zero: [31, 24, 3] rad and [31, 3] m, simulated in float64."""
    segments = BodySegments.from_urdf(read_urdf()).to(dtype=torch.float64)
    simulated = ArticulatedBody(segments, ContactPoints.from_body(body).to(dtype=torch.float64))
    simulator = Simulator(simulated, Ground(torch.tensor([0.0, 1.0, 0.0]), torch.tensor(0.0)))
    turned = roma.rotvec_to_rotmat(torch.from_numpy(rotations).double())
    return DiffphyTask(simulator, turned[None], torch.from_numpy(pelvis).double()[None], 1 / 30)
