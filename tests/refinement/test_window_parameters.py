"""Knots of increments: a partition of unity, and what zero and one knot mean."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from diffmocap.errors import SettingsError
from diffmocap.refinement.kernels.units import PELVIS_UNIT, ROTATION_UNIT
from diffmocap.refinement.window.parameters import WindowParameters, spline_matrix


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 31, 32, 100])
@pytest.mark.parametrize("spacing", [1, 3, 4])
def test_splines_sum_to_one_and_every_knot_moves_a_frame(frames, spacing):
    matrix = spline_matrix(frames, spacing)
    # Cubic splines reach one knot beyond either end.
    assert matrix.shape == (frames, 1 if frames == 1 else math.ceil((frames - 1) / spacing) + 3)
    torch.testing.assert_close(matrix.sum(1), torch.ones(frames, dtype=torch.float64))
    assert bool((matrix >= 0).all()) and bool((matrix.amax(0) > 0.1).all())


def test_splines_hold_cubics_and_have_continuous_curvature():
    """Uniform cubic B-splines: third differences over dense frames are bounded, and linear knots give linear values."""
    frames, spacing = 81, 20
    matrix = spline_matrix(frames, spacing)
    line = matrix @ (torch.arange(matrix.shape[1], dtype=torch.float64) - 1)
    torch.testing.assert_close(line, torch.arange(frames, dtype=torch.float64) / spacing)
    wild = matrix @ torch.randn(matrix.shape[1], generator=torch.Generator().manual_seed(0)).double()
    jumps = wild.diff(n=2).diff().abs().max() * spacing**3
    assert float(jumps) < 20  # |third derivative| of unit normal knots; a kink would give spacing^2 of it


def test_zero_is_the_reference_and_units_are_what_they_say():
    reference = roma.random_rotmat((2, 10, 24)).double(), torch.randn(2, 10, 3).double()
    parameters = WindowParameters.around(*reference)
    rotations, pelvis = parameters.decode(torch.zeros(2, parameters.shape[0] * parameters.shape[1]).double())
    torch.testing.assert_close(rotations, reference[0], rtol=0, atol=1e-14)
    torch.testing.assert_close(pelvis, reference[1], rtol=0, atol=0)
    x = torch.zeros(2, *parameters.shape, dtype=torch.float64)
    x[:, :, 3 * 5], x[:, :, -1] = 2.0, 3.0  # the same at all knots: a constant increment
    rotations, pelvis = parameters.decode(x.flatten(1))
    turn = torch.tensor([2 * ROTATION_UNIT, 0.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(rotations[:, :, 5], reference[0][:, :, 5] @ roma.rotvec_to_rotmat(turn))
    torch.testing.assert_close(rotations[:, :, 6], reference[0][:, :, 6], rtol=0, atol=1e-14)
    up = torch.tensor([0.0, 0.0, 3 * PELVIS_UNIT], dtype=torch.float64)
    torch.testing.assert_close(pelvis - reference[1], up.expand_as(pelvis))


def test_windows_of_no_frames_are_refused():
    with pytest.raises(SettingsError, match="at least 1 frame"):
        spline_matrix(0, 4)


def test_gradients_of_decoded_motions_are_finite_differences():
    """At zero, at small and at large angles; of what a rotation can follow, as the gradient knows no other way."""
    g = torch.Generator().manual_seed(2)
    reference = roma.rotvec_to_rotmat(torch.randn(2, 5, 24, 3, generator=g, dtype=torch.float64))
    parameters = WindowParameters.around(reference, torch.randn(2, 5, 3, generator=g, dtype=torch.float64))
    above = torch.randn(2, 5, 24, 3, 3, generator=g, dtype=torch.float64)
    aside = torch.randn(2, 5, 3, generator=g, dtype=torch.float64)

    def value(x):
        rotations, pelvis = parameters.decode(x)
        return (rotations * above).sum() + (pelvis * aside).sum()

    count = parameters.shape[0] * parameters.shape[1]
    for size in (0.0, 1e-4, 1.0, 20.0):
        x = size * torch.randn(2, count, generator=g, dtype=torch.float64)
        direction = torch.randn(2, count, generator=g, dtype=torch.float64)
        (slope,) = torch.autograd.grad(value(x.requires_grad_()), x)
        numeric = (value(x + 1e-5 * direction) - value(x - 1e-5 * direction)) / 2e-5
        torch.testing.assert_close((slope * direction).sum(), numeric.detach(), rtol=1e-6, atol=1e-6)
