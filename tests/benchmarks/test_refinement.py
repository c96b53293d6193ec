"""The refinement benchmark's own logic: motions, cache, runs, page and JSON line; little is solved."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.refinement import __main__ as refinement
from benchmarks.refinement.__main__ import headline, parser, part_figures
from benchmarks.refinement.ablations import ABLATIONS, hopping, order, over_seeds
from benchmarks.refinement.cache import Cache, code_version
from benchmarks.refinement.clips import Cut, cuts_of, domains, spread
from benchmarks.refinement.diffphy import DiffphyBench
from benchmarks.refinement.filters import Kalman
from benchmarks.refinement.page import TARGETS, page
from benchmarks.refinement.parts import Bench, races, tables
from benchmarks.refinement.scores import BFGS, Curves
from benchmarks.refinement.settings import RATES, SMALLEST, Settings
from benchmarks.refinement.solvers import ADAM, OPTIMUS, Solver, searching, solve, solve_alone, tuned_rate
from diffmocap.body.motion_clip import MotionClip
from diffmocap.optim.first_order import Adam
from tests.optim.function_task import FunctionTask
from training.motions.lifted_windows import MotionLifter
from training.optim.motion_problems import simulated_body

#: What the JSON line has of each loss.
ASKED = {
    "evals_to_bfgs_loss", "seconds_to_bfgs_loss", "mpjpe_g_in_domain_mm", "mpjpe_g_out_of_domain_mm", "before", "after",
    "one_euro", "kalman", "loss_ms_32",
}  # fmt: skip


def take(name: str, subject: str, action: str, frames: int) -> MotionClip:
    return MotionClip(name, subject, action, 30.0, torch.zeros(frames, 24, 3, 3), torch.zeros(frames, 3),
                      torch.zeros(24, 3))  # fmt: skip


def test_stretches_do_not_overlap_and_stay_off_the_ends():
    for length in (40, 75, 100, 333):
        starts = spread(length, 32, 4)
        assert all(b - a >= 32 for a, b in zip(starts, starts[1:]))
        assert starts[0] >= 3 and starts[-1] + 32 <= length - 3
    assert len(spread(333, 32, 4)) == 4 and len(spread(40, 32, 4)) == 1


def test_walks_of_test_subjects_are_in_domain_and_nothing_else():
    takes = [take("39_01", "39", "walk", 90), take("17_03", "17", "walk stealthily", 90),
             take("17_10", "17", "boxing", 90), take("94_01", "94", "Unknown", 90), take("135_02", "135", "Empi", 90),
             take("94_02", "94", "Unknown", 20)]  # fmt: skip
    found = domains(takes, 32, 2, None)
    assert {(c.take.name, c.in_domain) for c in found} == {
        ("39_01", True), ("17_03", True), ("17_10", False), ("94_01", False), ("135_02", False)
    }  # fmt: skip


def test_a_limit_takes_subjects_in_turn_and_is_the_same_every_time():
    takes = [take(f"39_{i}", "39", "walk", 90) for i in range(9)] + [take("27_01", "27", "walk", 90)]
    chosen = cuts_of(takes, 32, 2, 3, seed=1)
    assert [c.name for c in chosen] == [c.name for c in cuts_of(takes, 32, 2, 3, seed=1)]
    assert {c.take.subject for c in chosen} == {"27", "39"} and len(chosen) == 3


@pytest.mark.parametrize(("above", "lifted"), [(-0.03, 0.03), (0.05, 0.0)])
def test_clips_to_follow_elsewhere_begin_out_of_the_ground_and_end_as_observed(above, lifted):
    body = simulated_body()
    standing = torch.eye(3).expand(4, 24, 3, 3).contiguous()
    placed = body.configuration(standing[:1], torch.zeros(1, 3)).positions[0, 24:, 1] - body.points.radius
    pelvis = torch.tensor([0.0, float(-placed.min()) + above, 0.0]).expand(4, 3).contiguous()
    clip = MotionClip("39_01", "39", "walk", 30.0, standing, pelvis, torch.zeros(24, 3))
    task = DiffphyBench(body, None, Cache(None, "")).followed_elsewhere([Cut(clip, 0, 4)])
    assert torch.equal(task.pelvis[0], pelvis)
    assert float(task.start.pelvis[0, 1] - pelvis[0, 1]) == pytest.approx(lifted, abs=1e-5)


def test_the_cache_computes_once_and_again_for_other_code(tmp_path):
    calls = []

    def compute() -> dict:
        calls.append(1)
        return {"x": torch.arange(3)}

    cache = Cache(tmp_path, "a")
    assert torch.equal(cache.get(compute, what="w", cap=3)["x"], cache.get(compute, what="w", cap=3)["x"])
    assert len(calls) == 1
    cache.get(compute, what="w", cap=4)
    Cache(tmp_path, "b").get(compute, what="w", cap=3)
    Cache(None, "a").get(compute, what="w", cap=3)
    assert len(calls) == 4


def test_compiled_code_is_code_too(tmp_path):
    """A change anywhere below a package makes what was kept out of date."""
    for part in ("optim", "physics", "refinement/kernels", "lifting", "body"):
        (tmp_path / "diffmocap" / part).mkdir(parents=True)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/human.urdf").write_text("<robot/>")
    deep = tmp_path / "diffmocap/refinement/kernels/loss.py"
    deep.write_text("a = 1")
    before = code_version(tmp_path)
    deep.write_text("a = 2")
    assert code_version(tmp_path) != before


def test_parts_that_are_not_run_come_from_the_last_full_run(tmp_path, monkeypatch):
    record = {"date": "2020-01-02", "commit": "abc", "hardware": "an abacus",
              "figures": {"details": {part: {"of": part} for part in refinement.PARTS}}}  # fmt: skip
    (tmp_path / "full.json").write_text(json.dumps(record))
    monkeypatch.setattr(refinement, "FULL_RUN", tmp_path / "full.json")
    details = {"window": {"of": "now"}}
    origins = refinement.taken_over(details)
    assert details == {"window": {"of": "now"}, "diffphy": {"of": "diffphy"}, "ablations": {"of": "ablations"}}
    assert set(origins) == {"diffphy", "ablations"}
    assert all(word in origins["diffphy"] for word in ("2020-01-02", "abc", "an abacus"))
    record["figures"]["origins"] = {"diffphy": "an older run"}  # which took over a part itself
    (tmp_path / "full.json").write_text(json.dumps(record))
    assert refinement.taken_over({"window": {}}) == origins | {"diffphy": "an older run"}
    monkeypatch.setattr(refinement, "FULL_RUN", tmp_path / "none.json")
    with pytest.raises(SystemExit, match="run all parts"):
        refinement.taken_over({})


class Bowl(FunctionTask):
    """A quadratic from 1."""

    def __init__(self) -> None:
        super().__init__(lambda x: (x * torch.tensor([1.0, 9.0]).to(x)).square().sum(-1), 2)

    def init(self, count: int, generator=None) -> torch.Tensor:
        return torch.ones(count, 2)


def test_curves_of_all_problems_stand_side_by_side_up_to_the_cap():
    tasks, counts = [Bowl(), Bowl()], [2, 1]
    for solver in (*searching(), Solver.with_rate(ADAM, 0.1)):
        found = solve(solver, tasks, counts, 12)
        assert found.curves.best.shape == (12, 3) and [len(x) for x in found.x] == [2, 1]
        assert bool((found.curves.best.diff(dim=0) <= 0).all())
        torch.testing.assert_close(found.curves.best[-1], found.loss.double())
        assert float(found.curves.best[0, 0]) == pytest.approx(82.0)


def test_seconds_grow_with_every_evaluation_of_each_problem_alone():
    curves = solve_alone(Solver.with_rate(ADAM, 0.1), [Bowl(), Bowl()], 6)
    assert curves.seconds.shape == (6, 2) and bool((curves.seconds.diff(dim=0) > 0).all())


def test_the_rate_that_ends_lowest_is_chosen():
    rate, tried = tuned_rate(ADAM, [Bowl()], [1], 10)
    assert tried[f"{rate:g}"] == min(tried.values()) and rate > min(map(float, tried))


def test_basin_hopping_ends_no_higher_than_the_run_it_begins_with():
    solver = Solver("Adam", Adam(0.1), True, "")
    alone = solve(solver, [Bowl()], [2], 12)
    hopped = solve(hopping(solver, 0.1, 12), [Bowl()], [2], 20)
    assert bool((hopped.loss <= alone.loss + 1e-9).all())
    assert hopped.evaluations.tolist() == [20, 20]


def test_the_papers_order_is_compared_by_neighbours():
    by = "mpjpe_g_mm"
    rows = {name: {by: [30.0 + i, 0, 0], "loss": [9.0 - i, 0, 0]} for i, name in enumerate(ABLATIONS)}
    rows |= {"Optimus, 50 evaluations": {by: [29.0, 0, 0], "loss": [1.0, 0, 0]}}
    assert len(order(rows, by)) == 5 and all(order(rows, by).values())
    assert sum(order(rows, "loss").values()) == 1
    rows["Optimus, no state"] = {by: [50.0, 0, 0]}
    assert order(rows, by)["Optimus, no state < Optimus, no structure"] is False
    for name in ("Optimus, 50 evaluations", "Optimus"):  # the criterion ended none
        rows[name] = {by: [29.0, 0, 0], "loss": [1.0, 0, 0], "evaluations": 50.0}
    assert "Optimus, 50 evaluations < Optimus" not in order(rows, by)


def test_a_network_trained_with_several_seeds_counts_with_their_mean():
    errors = np.array([[10.0, 20.0, 30.0], [14.0, 24.0, 34.0]])
    found = [
        SimpleNamespace(loss=torch.tensor([1.0, 2.0, 3.0]), evaluations=torch.tensor([50, 50, 20])),
        SimpleNamespace(loss=torch.tensor([3.0, 4.0, 5.0]), evaluations=torch.tensor([50, 30, 40])),
    ]
    row = over_seeds(errors, found, ["a", "a", "b"])
    assert row["mpjpe_g_mm"][0] == 22.0 and row["of_seeds_mm"] == [20.0, 24.0]
    assert row["mpjpe_g_mm"][1] == 17.0 and row["mpjpe_g_mm"][2] == 32.0  # one clip or the other
    assert row["loss"][0] == 3.0 and row["evaluations"] == 40.0


def made_up() -> dict:
    """A part as the window part returns it, with known figures."""
    halving = Curves(torch.tensor([[8.0] * 4, [4.0] * 4, [2.0] * 4, [1.0] * 4], dtype=torch.float64),
                     torch.arange(1.0, 5.0)[:, None].repeat(1, 4))  # fmt: skip
    quick = Curves(torch.tensor([[8.0] * 4] + 3 * [[1.0] * 4], dtype=torch.float64), 0.1 * halving.seconds)
    inside, clips = np.array([True, True, True, False]), ("a", "a", "b", "c")
    part = races({BFGS: halving, OPTIMUS: quick}, {BFGS: halving, OPTIMUS: quick}, inside, clips, 4)
    keys = ("mpjpe_mm", "mpjpe_g_mm", "pa_mpjpe_mm", "mpjpe_2d_px", "tv", "foot_skate_pct", "foot_skate_raw_pct",
            "root_residual", "root_residual_median", "root_force_pct", "root_moment_nm")  # fmt: skip
    sizes = {"before": 100.0, BFGS: 20.0, OPTIMUS: 10.0, "one_euro": 40.0, "one_euro_tuned": 30.0, "kalman": 35.0,
             "kalman_tuned": 30.0, "source motion": 1.0}  # fmt: skip
    figures = {name: {k: np.array([size, size, size, 2 * size]) for k in keys} for name, size in sizes.items()}
    part |= tables(figures, clips, inside, OPTIMUS)
    seconds = {"before": [0.5, 0.4, 0.6], "after": [1.5, 1.0, 2.0], "kalman": [0.7, 0.6, 0.8]}
    tracked = {"clips": 2, "clip_s": 3.0, "in_domain": 1, "seconds": seconds,
               "censored": {"before": 0, "after": 1}, "change": [3.0, 2.0, 4.0]}  # fmt: skip
    mm = {BFGS: [20.0, 19.0, 21.0], OPTIMUS: [10.0, 9.0, 11.0]}
    return part | {
        "rates": {ADAM: 0.1}, "tuning": {}, "filters": {"one_euro": "OneEuro()", "kalman": "Kalman()"},
        "after_by": OPTIMUS, "mpjpe_g_mm": {"in_domain": mm, "out_of_domain": mm}, "pybullet": tracked,
        "motions": {"in_domain": {"39": 3}, "out_of_domain": {"94": 1}},
        "loss_ms_32": {"start": {"1": [3.5, 3.4], "2": [9, 8]}, "solution": {"1": [4.0, 3.9], "2": [6.0, 5]}},
    }  # fmt: skip


def test_the_json_line_has_what_is_asked_for():
    details = {"window": made_up(), "diffphy": made_up()}
    found = json.loads(json.dumps(headline(details)))
    for loss in ("window", "diffphy"):
        assert set(found[loss]) == ASKED
        assert set(found[loss]["after"]) == {"mpjpe_mm", "tv", "foot_skate_pct", "root_residual", "pybullet_seconds"}
    window = part_figures(made_up())
    assert window["evals_to_bfgs_loss"] == {BFGS: 1.0, OPTIMUS: 0.5}
    assert window["seconds_to_bfgs_loss"][OPTIMUS] == pytest.approx(0.05)
    assert window["after"]["root_residual"] == 12.5 and window["after"]["pybullet_seconds"] == 1.5
    assert window["kalman"]["pybullet_seconds"] == 0.7 and window["one_euro"]["pybullet_seconds"] is None
    assert found["loss_ms_32"] == 4.0 and found["kalman"]["tv"] == 43.75


def test_the_page_says_what_was_met_and_what_was_not_measured():
    figures = headline({"window": made_up()}) | {
        "subset": {"quick": True}, "details": {"window": made_up()}
    }  # fmt: skip
    images = {"window-convergence": "c.png", "window-trade": "t.png"}
    text = page(figures, ["- head"], None, images)
    rows = {row.split("|")[1].strip(): row for row in text.splitlines() if row.startswith("| ")}
    assert rows[TARGETS[0].figure].endswith("| met |") and rows[TARGETS[1].figure].endswith("| – | – |")
    assert "**missed**" not in rows["root wrench unexplained by contact"]
    worse = json.loads(json.dumps(figures))
    worse["window"]["after"]["root_residual"] = 99.0
    assert "**missed**" in page(worse, [], None, images)


def test_plots_are_drawn(tmp_path):
    from benchmarks.refinement.plots import convergence_plot, trade_plot

    part = made_up()
    assert convergence_plot(part, tmp_path / "a.png").stat().st_size > 10_000
    assert trade_plot(part["figures"]["all"], OPTIMUS, tmp_path / "b.png").stat().st_size > 10_000


def test_help_names_the_parts(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["--help"])
    assert "--quick" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        refinement.main(["--parts", "nothing"])


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench.of(Settings(SMALLEST), Cache(None, ""))


@pytest.fixture(scope="module")
def walk(bench) -> Cut:
    return replace(bench.cuts("window", 16, 1, (1, 0))[0], frames=16)


def test_refined_windows_jitter_less_than_what_lifting_made(bench, walk, one_thread):
    """The real chain on half a second: camera, noise, lifting, refinement, judge."""
    windows = bench.windows.lifted([walk], MotionLifter(bench.model, hypotheses=2, steps=2))
    solver = next(s for s in searching() if s.name == "L-BFGS")
    motions = {"before": windows.raw(), "after": bench.windows.refined(solver, windows, 24)}
    found = {k: bench.referee.figures(*(x.numpy() for x in m), windows.truth) for k, m in motions.items()}
    assert float(found["after"]["tv"][0]) < 0.3 * float(found["before"]["tv"][0])
    assert float(found["after"]["root_residual"][0]) < 0.5 * float(found["before"]["root_residual"][0])
    assert 10.0 < float(found["before"]["mpjpe_mm"][0]) < 200.0
    tv = bench.windows.jitter_of(motions["after"], windows)
    equal = bench.windows.at_jitter(Kalman(), windows, tv)
    assert bench.windows.errors_of(equal, windows)[1] == pytest.approx(tv, rel=5e-3)


def test_simulated_clips_are_compared_with_what_was_observed(bench, one_thread):
    cut = replace(bench.cuts("diffphy", 31, 1, (1, 0))[0], frames=5)
    found = bench.diffphy.solved(Solver.with_rate(ADAM, 0.01), [cut], 3)
    errors = bench.diffphy.mpjpe_g_mm([cut], found.x)
    figures = bench.referee.figures(*bench.diffphy.simulated([cut], found.x), bench.diffphy.truth([cut]))
    np.testing.assert_allclose(errors, figures["mpjpe_g_mm"], rtol=1e-4)
    assert 0.1 < float(errors[0]) < 100.0
    still = bench.diffphy.truth([cut])
    assert float(bench.referee.figures(still.rotations, still.pelvis, still)["mpjpe_g_mm"][0]) == 0.0


@pytest.mark.parametrize("loss, pairs", [("window", 16), ("diffphy", 100)])
def test_what_is_not_learned_stands_beside_optimus_with_as_many_pairs(loss, pairs):
    solvers = {solver.name: solver for solver in Settings(SMALLEST).chosen(loss, RATES[loss])}
    assert list(solvers)[0] == BFGS and solvers[PLAIN_STEP].optimizer.pairs == pairs
    assert solvers[OPTIMUS].optimizer.settings.features.pairs == pairs and solvers[PLAIN_STEP].parameters == 0
    assert PLAIN_STEP not in {s.name for s in Settings(SMALLEST, solvers=(BFGS,)).chosen(loss, {})}
