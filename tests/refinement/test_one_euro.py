"""Laws of the one-euro filter on vectors and on rotations."""

from __future__ import annotations

import math

import pytest
import roma
import torch

from diffmocap.errors import SettingsError
from diffmocap.refinement.filter.one_euro import OneEuroFilter, Rotations, Vectors
from diffmocap.refinement.filter.settings import OneEuroSettings

DT = 1 / 30
SETTINGS = OneEuroSettings(min_cutoff_hz=1.0, beta=0.7)


def run(manifold, signal, settings=SETTINGS, dt_s=DT):
    one_euro = OneEuroFilter(manifold)
    return torch.stack([one_euro.filter(x, dt_s, settings) for x in signal])


def smooth_rotations(frames: int, joints: int, seed: int = 0) -> torch.Tensor:
    """[T, J, 3, 3] rotations turning at constant random speeds of about 1 rad/s."""
    generator = torch.Generator().manual_seed(seed)
    start = roma.rotvec_to_rotmat(torch.randn(joints, 3, generator=generator, dtype=torch.float64))
    speed = torch.randn(joints, 3, generator=generator, dtype=torch.float64)
    times = torch.arange(frames, dtype=torch.float64)[:, None, None] * DT
    return start @ roma.rotvec_to_rotmat(times * speed)


def angle(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return roma.rotmat_geodesic_distance(a, b)


def scalar_reference(signal, dt_s, settings):
    """Algorithm 1 of the paper's appendix, written out for one number."""

    def alpha(cutoff):
        tau = 1.0 / (2.0 * math.pi * cutoff)
        return 1.0 / (1.0 + tau / dt_s)

    x_hat, dx_hat, out = signal[0], 0.0, [signal[0]]
    for x in signal[1:]:
        a = alpha(settings.speed_cutoff_hz)
        dx_hat = a * (x - x_hat) / dt_s + (1 - a) * dx_hat
        a = alpha(settings.min_cutoff_hz + settings.beta * abs(dx_hat))
        x_hat = a * x + (1 - a) * x_hat
        out.append(x_hat)
    return out


def test_matches_the_papers_algorithm_on_a_scalar():
    signal = (torch.cumsum(torch.randn(100, generator=torch.Generator().manual_seed(1)), 0) * 0.1).double()
    filtered = run(Vectors(), signal[:, None, None])[:, 0, 0]
    assert filtered.tolist() == pytest.approx(scalar_reference(signal.tolist(), DT, SETTINGS), abs=1e-12)


def test_rotations_about_one_axis_follow_the_scalar_filter():
    angles = (torch.cumsum(torch.randn(100, generator=torch.Generator().manual_seed(2)), 0) * 0.02).double()
    axis = torch.tensor([1.0, 2.0, -2.0], dtype=torch.float64) / 3
    rotations = roma.rotvec_to_rotmat(angles[:, None, None] * axis)
    expected = torch.tensor(scalar_reference(angles.tolist(), DT, SETTINGS), dtype=torch.float64)
    filtered = roma.rotmat_to_rotvec(run(Rotations(), rotations))[:, 0] @ axis
    assert torch.allclose(filtered, expected, atol=1e-9)


def test_a_constant_input_is_a_fixed_point():
    rotation = roma.random_rotmat(24).double()
    assert angle(run(Rotations(), rotation.expand(30, -1, -1, -1)), rotation).max() < 1e-6
    point = torch.randn(1, 3)
    assert torch.equal(run(Vectors(), point.expand(30, 1, 3)), point.expand(30, 1, 3))


@pytest.mark.parametrize("side", ["left", "right"])
def test_turning_the_input_turns_the_output(side):
    signal = smooth_rotations(40, 24) @ roma.rotvec_to_rotmat(
        0.1 * torch.randn(40, 24, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    )
    turn = roma.random_rotmat().double()
    filtered = run(Rotations(), signal)
    turned = run(Rotations(), turn @ signal if side == "left" else signal @ turn)
    assert angle(turned, turn @ filtered if side == "left" else filtered @ turn).max() < 1e-6


def test_vector_filter_commutes_with_rigid_motion():
    signal = torch.randn(40, 1, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    turn = roma.rotvec_to_rotmat(torch.tensor([0.3, -1.1, 0.7], dtype=torch.float64))  # to double precision
    shift = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    moved = run(Vectors(), signal @ turn.mT + shift)
    assert torch.allclose(moved, run(Vectors(), signal) @ turn.mT + shift, atol=1e-12)


def test_noise_on_a_still_body_is_reduced():
    generator = torch.Generator().manual_seed(5)
    truth = roma.random_rotmat(24).double()
    noise = 0.05 * torch.randn(150, 24, 3, generator=generator, dtype=torch.float64)
    filtered = run(Rotations(), truth @ roma.rotvec_to_rotmat(noise))[15:]
    assert angle(filtered, truth).mean() < 0.6 * noise[15:].norm(dim=-1).mean()
    steps, raw_steps = angle(filtered[1:], filtered[:-1]).mean(), (noise[1:] - noise[:-1]).norm(dim=-1).mean()
    assert steps < 0.35 * raw_steps


def test_lag_on_a_ramp_is_bounded_and_falls_with_beta():
    """At constant speed w a first-order filter trails by w tau, tau = 1 / (2 pi f_c) with the raised cutoff."""
    speed = 3.0
    angles = torch.arange(300, dtype=torch.float64) * DT * speed
    signal = roma.rotvec_to_rotmat(angles[:, None, None] * torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    lags = []
    for beta in (0.0, 0.7, 3.0):
        filtered = run(Rotations(), signal, OneEuroSettings(min_cutoff_hz=1.0, beta=beta))
        lag_s = angle(filtered, signal)[-1].item() / speed
        assert lag_s <= 1.0 / (2.0 * math.pi * (1.0 + beta * speed)) + 1e-6
        lags.append(lag_s)
    assert lags[0] > lags[1] > lags[2]


def test_half_turns_do_not_break_it():
    """A flip by pi has no unique geodesic, but the output stays a rotation and arrives."""
    flip = roma.rotvec_to_rotmat(torch.tensor([[0.0, math.pi, 0.0]], dtype=torch.float64))
    signal = torch.cat([torch.eye(3, dtype=torch.float64).expand(5, 1, 3, 3), flip.expand(60, 1, 3, 3)])
    filtered = run(Rotations(), signal)
    assert torch.isfinite(filtered).all()
    assert torch.allclose(filtered @ filtered.mT, torch.eye(3, dtype=torch.float64).expand_as(filtered), atol=1e-9)
    assert angle(filtered[-1], flip).max() < 1e-3


@pytest.mark.parametrize("short_of", [0.0, 1e-7, 1e-3])
def test_machine_code_gets_over_a_half_turn_too(short_of):
    """As in a live frame: single precision, no gradients; near a half turn the logarithm has no axis left."""
    flip = roma.rotvec_to_rotmat(torch.tensor([[0.0, math.pi - short_of, 0.0]]))
    flip = flip if short_of else torch.diag(torch.tensor([-1.0, 1.0, -1.0]))[None]
    with torch.no_grad():
        filtered = run(Rotations(), torch.cat([torch.eye(3).expand(5, 1, 3, 3), flip.expand(60, 1, 3, 3)]))
    assert angle(filtered[-1], flip).max() < 1e-2


def test_what_was_put_in_may_be_overwritten():
    smooth, first = OneEuroFilter(Vectors()), torch.ones(1, 3)
    smooth.filter(first, 1 / 30, SETTINGS)
    first.zero_()
    torch.testing.assert_close(smooth.filter(torch.ones(1, 3), 1 / 30, SETTINGS), torch.ones(1, 3))


def test_rotations_stay_orthonormal_in_float32():
    signal = smooth_rotations(20, 24).float().repeat(100, 1, 1, 1)
    last = run(Rotations(), signal)[-1]
    assert torch.allclose(last @ last.mT, torch.eye(3).expand_as(last), atol=1e-5)


def test_time_that_does_not_advance_is_refused():
    """It would be an infinite speed, or one of the wrong sign; who has stamps sorts them before."""
    one_euro = OneEuroFilter(Vectors())
    one_euro.filter(torch.zeros(1, 3), 0.0, SETTINGS)
    held = one_euro.filter(torch.ones(1, 3), DT, SETTINGS)
    for dt_s in (0.0, -DT, math.nan):
        with pytest.raises(SettingsError, match="must be positive"):
            one_euro.filter(torch.full((1, 3), 9.0), dt_s, SETTINGS)
    assert torch.equal(one_euro.filter(held, DT, SETTINGS), held), "it left a trace"


def test_time_step_does_not_change_the_response_to_a_step():
    """Twice the rate, same time constant: outputs agree at common times within the discretisation."""
    step = torch.ones(1, 1, dtype=torch.float64)
    slow, fast = OneEuroFilter(Vectors()), OneEuroFilter(Vectors())
    settings = OneEuroSettings(min_cutoff_hz=0.5, beta=0.0)
    for f in (slow, fast):
        f.filter(torch.zeros(1, 1, dtype=torch.float64), 0.0, settings)
    for _ in range(30):
        at_slow = slow.filter(step, 0.01, settings)
        fast.filter(step, 0.005, settings)
        at_fast = fast.filter(step, 0.005, settings)
    assert at_slow.item() == pytest.approx(at_fast.item(), abs=0.01)


@pytest.mark.parametrize(
    "bad", [{"min_cutoff_hz": 0.0}, {"min_cutoff_hz": float("nan")}, {"beta": -1.0}, {"speed_cutoff_hz": -1.0}]
)
def test_bad_settings_are_refused(bad):
    with pytest.raises(SettingsError):
        OneEuroSettings(**bad)
