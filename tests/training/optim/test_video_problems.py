"""Motions from video for meta-training: DiffPhy's whole loss on what is reconstructed from simulated detections."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffmocap.body.mocap import load_split
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.optim.adafactor_mlp import AdafactorMlp
from diffmocap.optim.in_metric import InMetric
from diffmocap.optim.quasi_newton import Lbfgs
from diffmocap.optim.stopping import Budget
from diffmocap.refinement.diffphy.horizon import HorizonSimulator
from diffmocap.refinement.diffphy.settings import SimulationSettings
from training.held_out import HELD_OUT_SUBJECT, UNEVEN_SUBJECTS
from training.motions.lifted_windows import UP
from training.optim.episodes import Episode, backpropagated
from training.optim.problems import AboveMinima, FunctionProblems, TwoKinds
from training.optim.trainer import MetaRecipe, MetaTrainer
from training.optim.video_problems import (
    MARGIN,
    VideoMotion,
    VideoProblems,
    clips_of,
    load_video_motions,
    reconstructed_clips,
    save_video_motions,
)  # fmt: skip

SHORT = SimulationSettings(window_s=0.3, overlap_s=0.1)  # 10 frames
WHOLE = {"reprojection", "slip", "penetration", "self_contact", "stance", "start_turn", "start_penetration"}


@pytest.fixture(scope="module")
def motions(mocap_dir) -> list[VideoMotion]:
    """Half a second of a validation walk, from two sides."""
    clips = [clip.frames(0, 14) for clip in load_split(mocap_dir / "cmu_smpl30_val.npz") if clip.name == "39_01"]
    return reconstructed_clips(clips, 2, seed=3, least_frames=12)


@pytest.fixture(scope="module")
def problems(motions) -> VideoProblems:
    return VideoProblems(motions, batch=2, settings=SHORT)


def test_the_loss_is_the_whole_one_and_the_initial_state_is_unknown(problems, motions) -> None:
    scaled, y = problems(torch.Generator().manual_seed(0))
    assert isinstance(scaled, InMetric) and len(y) == 2 and y.dtype == torch.float32 and not y.any()
    task, x = scaled.task, scaled.point(y)
    terms = task.terms(x)
    assert terms.keys() >= WHOLE and torch.equal(sum(terms.values()), scaled.loss(y.double()))
    assert task.dimension == task.knots(x).shape[1] + 192  # 150 numbers of a state fill four rows of 48
    assert float(terms["reprojection"].min()) > 0.1, "keypoints are noisy, and so is the motion"
    assert len({float(motion.height) for motion in motions}) == 1 and motions[0].ground.up.tolist() == list(UP)


def test_windows_are_those_that_the_simulation_begins_with(problems, motions) -> None:
    """The horizon's first window, from the same first guess to the same loss."""
    task, x = problems.task(0, [0])
    simulator, observed = problems._observed(motions[0])
    found = Lbfgs().minimize(task, x, Budget(evaluations=3))
    horizon = HorizonSimulator(
        simulator, Lbfgs(), replace(SHORT, evaluations=3, stray_m=1.0), points=problems._body.points,
        self_contact=problems._body.self_contact,
    )  # fmt: skip
    first = observed.frames(slice(0, problems._length))
    kept = horizon.simulate(first.rotations, first.pelvis, first.touching, 1 / 30, seen=first.seen)
    assert kept.losses[0] == pytest.approx(float(found.losses[0]), rel=0.05)  # leading turns of its ends differ
    assert kept.losses[1] == pytest.approx(float(found.loss), rel=0.05)


def test_rows_are_windows_of_one_motion_side_by_side(problems) -> None:
    task, x = problems.task(1, [0, 3])
    x = x + 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([problems.task(1, [start])[0].loss(x[i : i + 1]) for i, start in enumerate((0, 3))])
    torch.testing.assert_close(task.loss(x), alone)
    assert float((alone[0] - alone[1]).abs()) > 1e-3


def test_minima_are_taken_off_and_their_windows_alone_are_drawn(motions) -> None:
    problems = VideoProblems(motions, batch=2, settings=SHORT)
    problems.find_minima(Lbfgs(), a_motion=2, evaluations=3)
    assert problems.least.shape == (4,) and problems.windows[:, 0].tolist() == [0, 0, 1, 1]
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        task, x = problems(generator)
        assert isinstance(task, AboveMinima)
        whole, (loss, gradient) = task.task.loss_and_gradient(x), task.loss_and_gradient(x)
        torch.testing.assert_close(loss, whole[0] - task.least)
        torch.testing.assert_close(gradient, whole[1])
        ends = Lbfgs().minimize(task, x, Budget(evaluations=3)).loss
        left = task.least * (1 / (1 - MARGIN) - 1)
        torch.testing.assert_close(ends, left, rtol=1e-3, atol=1e-4, check_dtype=False)
        torch.testing.assert_close(task.row(1).loss(x[1:]), loss[1:])


def test_both_kinds_train_one_network(problems, tmp_path) -> None:
    mixed = TwoKinds(FunctionProblems(("Sphere",), 4, 4, batch=2), problems, 0.5)
    with pytest.raises(SettingsError, match="differentiable once"):
        MetaTrainer(MetaRecipe(truncation=2, shortest=4), AdafactorMlp(), mixed, tmp_path)
    generator, optimizer = torch.Generator().manual_seed(0), AdafactorMlp()
    drawn = [mixed(generator) for _ in range(8)]
    dimensions = [task.dimension for task, _ in drawn]
    assert set(dimensions) == {4, problems.task(0, [0])[0].dimension}
    last = dimensions.index(max(dimensions))
    backpropagated(optimizer, [Episode.begin(optimizer, *drawn[last], 4)], 1, second_order=True)
    assert sum(float(p.grad.abs().sum()) for p in optimizer.parameters()) > 0
    with pytest.raises(SettingsError, match="a share of problems"):
        TwoKinds(mixed, mixed, 1.5)


def test_motions_are_saved_and_read_again(motions, tmp_path) -> None:
    save_video_motions(motions, tmp_path / "motions.safetensors")
    again = load_video_motions(tmp_path / "motions.safetensors")
    assert all(torch.equal(getattr(a, n), getattr(b, n)) for a, b in zip(motions, again) for n in vars(a))
    with pytest.raises(MotionFileError, match="no motions from video"):
        load_video_motions(tmp_path / "nothing.safetensors")


def test_held_out_motions_are_not_trained_on(mocap_dir) -> None:
    path = mocap_dir / "cmu_smpl30_train.npz"
    train, held_out = clips_of(path), clips_of(path, held_out=True)
    assert {clip.subject for clip in held_out} == {HELD_OUT_SUBJECT}
    assert not {clip.subject for clip in train} & {HELD_OUT_SUBJECT, *UNEVEN_SUBJECTS}
    assert not {"14_06.0", "14_24"} & {clip.name for clip in train}, "the bundled clip shows these"
