"""The measurement of a network's errors for the correction."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.error_covariance import KINDS
from diffmocap.lifting.network.mlp_denoiser import MlpConfig, MlpDenoiser
from diffmocap.lifting.network.weights import load_weights, save_weights
from tests.lifting.test_corrected_lifting import CLIPS
from training.lifting.error_covariance import (
    condition_of,
    detector_covariance,
    main,
    seen_by_cameras,
    shrunk_covariance,
)
from training.views.detector_noise import DetectorNoise


def test_the_shrunk_covariance_is_nearer_to_the_truth_and_well_conditioned():
    """Of fewer samples than entries, from a known law."""
    g = torch.Generator().manual_seed(0)
    factor = torch.eye(72, dtype=torch.float64) + 0.15 * torch.randn(72, 72, generator=g, dtype=torch.float64)
    truth = factor @ factor.T
    errors = torch.randn(60, 72, generator=g, dtype=torch.float64) @ factor.T
    plain, shrunk = errors.T @ errors / 60, shrunk_covariance(errors)
    assert torch.linalg.eigvalsh(plain)[0] < 1e-9 < torch.linalg.eigvalsh(shrunk)[0]
    assert (shrunk - truth).norm() < 0.9 * (plain - truth).norm()
    torch.testing.assert_close(shrunk.diagonal(), plain.diagonal())
    many = torch.randn(50_000, 72, generator=g, dtype=torch.float64) @ factor.T
    torch.testing.assert_close(shrunk_covariance(many), truth, atol=0.15, rtol=0)


def test_the_detectors_covariance_is_its_banks():
    noise = DetectorNoise.load()
    covariance = detector_covariance(noise)
    assert torch.linalg.eigvalsh(covariance)[0] > 0
    wrist = noise.confidence[:, 7] > 0
    for row, values in ((7, noise.offset[:, 7, 0]), (32, noise.offset[:, 7, 1]), (57, noise.depth_error[:, 7])):
        assert float(covariance[row, row]) == pytest.approx(float(values[wrist].double().square().mean()), rel=0.02)
    assert float(covariance.diagonal()[[20, 45, 70]].min()) > 1e-4  # the small toe, which the detector has not


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_of_their_kind(kind):
    body, g = BodyModel.load(), torch.Generator().manual_seed(0)
    frames = torch.as_tensor(load_split(CLIPS)[0].rotations[:40:2]).float()
    truth, pelvis = seen_by_cameras(frames, g)
    condition = condition_of(kind, body, truth, pelvis, g)
    missing = float((condition.confidence == 0).float().mean())
    assert (0.15 < missing < 0.4) if kind == "missing" else missing == 0.0
    assert bool(condition.depth_known.all()) == kind.endswith("depth")
    assert float(condition.view[0, 3]) == pytest.approx(0.02 if kind.startswith("noisy") else 0.0)
    if kind.startswith("exact"):  # the truth covers its keypoints
        points = body.keypoints(truth, pelvis) @ condition.R_camera_crop
        rays = points[..., :2] / points[..., 2:]
        torch.testing.assert_close(condition.rays, rays, atol=1e-4, rtol=0)
        if condition.depth_known.any():
            torch.testing.assert_close(condition.depth, points[..., 2] - points[:, 8, None, 2], atol=1e-4, rtol=0)


def test_the_command_adds_errors_to_weights(tmp_path, capsys):
    torch.manual_seed(0)
    path = tmp_path / "weights.safetensors"
    save_weights(MlpDenoiser(MlpConfig(width=16, layers=1)), path, {"step": 3})
    main(["--data", str(CLIPS), "--weights", str(path), "--frames", "32"])
    found = load_weights(path).error_covariances
    # An untrained network knows nothing, whatever it is told.
    assert (found.poses.diagonal(dim1=-2, dim2=-1).sum(-1).sqrt() > 1.0).all()
    assert "exact" in capsys.readouterr().out
    for wrong in (["--weights", str(path), "--ship"], ["--weights", ""], ["--weights", "student"]):
        with pytest.raises(SystemExit):
            main(["--data", str(CLIPS), *wrong])
