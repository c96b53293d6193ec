"""Problems of the motion refinement for meta-training: lifted windows and clips on the floor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffmocap.body.mocap import load_split, retarget
from diffmocap.errors import MotionFileError, SettingsError
from diffmocap.evaluation.joint_errors import mpjpe_mm
from diffmocap.optim.adafactor_mlp import AdafactorMlp
from diffmocap.physics.tree import global_poses
from diffmocap.refinement.window.reference import reference_motion
from diffmocap.refinement.window.task import WindowTask
from training import program
from training.held_out import HELD_OUT_SUBJECT, UNEVEN_SUBJECTS
from training.motions.lifted_windows import UP, LiftedMotion, MotionLifter, cut, load_motions, save_motions, window_of
from training.optim.episodes import Episode, EvaluatedOnce, backpropagated, side_by_side
from training.optim.motion_problems import (
    MARGIN,
    DiffphyProblems,
    WindowProblems,
    diffphy_task,
    kept_walks,
    motion_problems,
    on_the_floor,
    played,
    simulated_body,
    walks,
)  # fmt: skip
from training.optim.trainer import MetaRecipe, MetaTrainer


@pytest.fixture(scope="module")
def lifter() -> MotionLifter:
    return MotionLifter(hypotheses=2, steps=2)


@pytest.fixture(scope="module")
def clips(mocap_dir, lifter):
    """Two validation walks that fit the body."""
    chosen = [c for c in load_split(mocap_dir / "cmu_smpl30_val.npz") if c.name in ("39_01", "43_01")]
    return [retarget(c, lifter.body) for c in chosen]


@pytest.fixture(scope="module")
def motion(lifter, clips) -> LiftedMotion:
    return lifter.lift(clips[0], yaw=0.3, frames=24, seed=1)


def test_lifted_motion_is_near_the_truth_and_on_its_floor(lifter, motion) -> None:
    assert len(motion) == 24 and bool(motion.lifted.all())
    joints = [global_poses(r, p, lifter.points.bones)[1].numpy() for r, p in (
        (motion.rotations[0], motion.pelvis[0]), (motion.true_rotations, motion.true_pelvis),
    )]  # fmt: skip
    assert mpjpe_mm(*joints, (0,)) < 90.0
    # The followed hypothesis is no copy of the truth, and jitters more.
    jitter = [np.linalg.norm(np.diff(j, n=2, axis=0), axis=-1).mean() for j in joints]
    assert jitter[0] > 1.5 * jitter[1]
    turned, _ = global_poses(motion.true_rotations, motion.true_pelvis, lifter.points.bones)
    placed = lifter.points.positions(turned).split(lifter.points.sizes, -1)[2].transpose(-1, -2)
    level = ((placed + motion.true_pelvis[:, None]) @ torch.tensor(UP)).amin(1) - motion.height
    assert float(level.abs().max()) < 0.05, "one foot of a walker is always on the ground"


def test_windows_are_cut_saved_and_read_again(motion, tmp_path) -> None:
    parts = cut(motion, 10)
    assert [len(p) for p in parts] == [10, 10] and torch.equal(parts[1].pelvis, motion.pelvis[:, 10:20])
    save_motions(parts, tmp_path / "motions.safetensors")
    again = load_motions(tmp_path / "motions.safetensors")
    assert all(torch.equal(getattr(a, n), getattr(b, n)) for a, b in zip(parts, again) for n in vars(a))
    window = window_of(again)
    assert window.batch == 2 and window.frames == 10 and window.rotations.shape[1] == 2
    with pytest.raises(MotionFileError, match="no lifted motions"):
        load_motions(tmp_path / "nothing.safetensors")


def test_minima_are_taken_off_and_nothing_else(lifter, motion) -> None:
    problems = WindowProblems(cut(motion, 12), lifter.points, batch=2)
    least = problems.find_minima(evaluations=12)
    task, x = problems(torch.Generator().manual_seed(0))
    index = torch.randperm(2, generator=torch.Generator().manual_seed(0))
    window = window_of([problems.windows[i] for i in index.tolist()])
    plain = WindowTask(window, lifter.points, reference_motion(window, 0))
    torch.testing.assert_close(task.loss(x), plain.loss(x) - least[index])
    assert bool((task.loss(x) > MARGIN * least[index]).all())


def test_clips_rest_on_the_floor_and_rows_are_problems_of_their_own(lifter, clips) -> None:
    body = simulated_body(lifter.body)
    floored = [on_the_floor(c, body) for c in clips]
    for clip in floored:
        turned, joints = global_poses(clip.rotations, clip.pelvis, body.segments.offsets)
        level = body.points.centres(turned, joints)[:, body.points.feet][..., 1].amin(1)
        assert abs(float(level.median())) < 0.01
    parts = [floored[0].frames(0, 6), floored[1].frames(3, 9)]
    task = diffphy_task(parts, body)
    x = 0.05 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(0))
    both = task.loss(x)
    alone = [diffphy_task([part], body).loss(x[i : i + 1])[0] for i, part in enumerate(parts)]
    torch.testing.assert_close(both, torch.stack(alone), rtol=1e-4, atol=1e-5)
    task, start = DiffphyProblems(floored, body, frames=5, batch=3)(torch.Generator().manual_seed(0))
    assert len(start) == 3 and not bool(start.any()) and bool(task.loss(start).isfinite().all())
    with pytest.raises(SettingsError, match="at least 5000 frames"):
        DiffphyProblems(floored, body, frames=5000)


def test_held_out_walks_are_not_trained_on(mocap_dir) -> None:
    path = mocap_dir / "cmu_smpl30_train.npz"
    train, held_out = walks(path), walks(path, held_out=True)
    assert train and held_out
    assert {c.subject for c in held_out} == {HELD_OUT_SUBJECT}
    assert not {c.subject for c in train} & {HELD_OUT_SUBJECT, *UNEVEN_SUBJECTS}
    with pytest.raises(SettingsError, match="unknown problems"):
        motion_problems("doors", path, 1, 1, path.parent)


def test_evaluating_once_is_the_gradient_of_evaluating_twice(lifter, motion) -> None:
    window = window_of(cut(motion, 8)[:2])
    task = WindowTask(window, lifter.points)
    x = 0.1 * torch.randn(2, task.dimension, generator=torch.Generator().manual_seed(0)).double()
    x, weight = x.requires_grad_(True), torch.tensor([0.3, -2.0]).double()
    (wanted,) = torch.autograd.grad((weight * task.loss(x)).sum(), x)
    loss, gradient = EvaluatedOnce.apply(x, task)
    (got,) = torch.autograd.grad((weight * loss).sum(), x)
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gradient * weight[:, None], wanted, rtol=1e-4, atol=1e-5)
    assert not gradient.requires_grad


def test_training_on_windows_leaves_gradients(lifter, motion) -> None:
    problems = WindowProblems(cut(motion, 12), lifter.points, batch=2)
    optimizer = AdafactorMlp()
    task, x = problems(torch.Generator().manual_seed(0))
    loss, _ = backpropagated(optimizer, [Episode.begin(optimizer, task, x, 4)], 1)
    assert bool(torch.isfinite(loss))
    assert sum(float(p.grad.abs().sum()) for p in optimizer.parameters() if p.grad is not None) > 0


def test_side_by_side_is_one_after_the_other(lifter, clips, tmp_path) -> None:
    body = simulated_body(lifter.body)
    problems = DiffphyProblems([on_the_floor(c, body) for c in clips], body, frames=5, batch=2)
    with pytest.raises(SettingsError, match="differentiable once"):  # or second derivatives would be lost
        MetaTrainer(MetaRecipe(truncation=2, shortest=4), AdafactorMlp(), problems, tmp_path)
    optimizer, generator = AdafactorMlp(), torch.Generator().manual_seed(0)
    episodes = [Episode.begin(optimizer, *problems(generator), 4) for _ in range(2)]
    episodes[1:] = backpropagated(optimizer, episodes[1:], 1)[1]  # a step ahead of the other
    found = []
    for way in (
        lambda e: backpropagated(optimizer, e, 1), lambda e: side_by_side(optimizer, e, problems.together)
    ):  # fmt: skip
        optimizer.zero_grad()
        loss, after = way(episodes)
        found.append((loss, [e.loss for e in after], [e.state.x for e in after], [e.gradient for e in after],
                      [p.grad.clone() for p in optimizer.parameters() if p.grad is not None]))  # fmt: skip
        assert [e.left for e in after] == [3, 2] and not any(e.state.x.requires_grad for e in after)
    torch.testing.assert_close(found[1], found[0], rtol=1e-3, atol=1e-5)
    assert sum(float(g.abs().sum()) for g in found[0][-1]) > 0


def test_a_clip_played_faster_is_shorter_and_moves_so_much_faster(clips) -> None:
    fast = played(clips[0], 1.5)
    assert fast.fps == clips[0].fps and abs(len(fast) - len(clips[0]) / 1.5) < 1
    speeds = [float((c.pelvis[-1] - c.pelvis[0]).norm()) / (len(c) - 1) for c in (fast, clips[0])]
    assert speeds[0] == pytest.approx(1.5 * speeds[1], rel=0.03)


def test_data_without_the_held_out_subject_is_told_before_anything_is_made(mocap_dir, tmp_path):
    data = mocap_dir / "cmu_smpl30_val.npz"
    with pytest.raises(SettingsError, match="no walk of subject '07', which runs are validated on"):
        kept_walks(tmp_path, [data], False, 1)
    with pytest.raises(SettingsError, match="no walk of subject '07'"):
        motion_problems("diffphy", data, 1, 31, 1, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error, said",
    [(SettingsError("no walk"), "^no walk$"), (FileNotFoundError(2, "No such file", "runs/x"), "^runs/x: No")],
)
def test_an_error_of_a_program_is_a_sentence(error, said):
    def main() -> None:
        raise error

    with pytest.raises(SystemExit, match=said):
        program.run(main)
