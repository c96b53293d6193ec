"""The correction's machine code against what its first code said, made of torch operations."""

from __future__ import annotations

import pytest
import torch

from diffmocap.body.model import BodyModel
from diffmocap.lifting.correction.lift_correction import LiftCorrection
from tests.lifting.golden_correction import CASES, Case, GoldenCorrection, covariances

#: Numbers of rotation matrices. One unit in the last digit of a pelvis moves the old results by up to 4e-10.
ALIKE = 1e-9


@pytest.fixture(scope="module")
def golden() -> GoldenCorrection:
    return GoldenCorrection.load()


@pytest.fixture(scope="module")
def correct() -> LiftCorrection:
    return LiftCorrection(BodyModel.load(), covariances())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_poses_are_those_of_the_first_code(golden, correct, case: Case):
    arguments = golden.input(case)
    start = arguments[1].clone()
    found, wanted = correct(*arguments), golden[case.name]
    torch.testing.assert_close(found, wanted, atol=ALIKE, rtol=0, equal_nan=True)
    assert torch.equal(start, arguments[1]) or start.isnan().any()  # what came in is the caller's
    # Most poses change, and those that are NaN stay as they are.
    changed = (found != start).flatten(1).any(1) & ~start.flatten(1).isnan().any(1)
    assert float(changed.double().mean()) > 0.7
    broken = start.flatten(1).isnan().any(1)
    assert torch.equal(found[broken].isnan(), start[broken].isnan())
    assert torch.equal(found[broken].nan_to_num(), start[broken].nan_to_num())


def test_rows_of_a_batch_do_not_see_each_other(golden, correct):
    condition, rotations, pelvis, steps, mean_first = golden.input(CASES[6])
    whole = correct(condition, rotations, pelvis, steps, mean_first).unflatten(0, (len(condition), -1))
    for b in range(len(condition)):
        own = slice(b * CASES[6].samples, (b + 1) * CASES[6].samples)
        row = torch.tensor([b])
        alone = correct(condition.rows(row), rotations[own], pelvis[own], steps, mean_first)
        torch.testing.assert_close(alone, whole[b], atol=1e-9, rtol=0, equal_nan=True)
