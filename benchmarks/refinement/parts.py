"""The parts of ``benchmarks.refinement``: what is run, and the figures that come of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.refinement.cache import Cache
from benchmarks.refinement.clips import Cut, cuts_of, domains, takes_of
from benchmarks.refinement.diffphy import DiffphyBench
from benchmarks.refinement.filters import Filter, Kalman, Motions, OneEuro
from benchmarks.refinement.judge import RootJudge
from benchmarks.refinement.metrics import Referee, change
from benchmarks.refinement.pybullet_rollout import JUDGE
from benchmarks.refinement.scores import Curves, compare
from benchmarks.refinement.settings import RATES, Settings
from benchmarks.refinement.solvers import ADAM, MOMENTUM, Solver, loss_ms, tuned_rate
from benchmarks.refinement.windows import WindowBench, Windows
from diffmocap.body.model import BodyModel
from diffmocap.body.urdf import read_urdf
from diffmocap.evaluation.bootstrap import interval, summarise
from diffmocap.optim.task import Task
from diffmocap.physics.articulated import ArticulatedBody
from diffmocap.refinement.window.body_points import BodyPoints
from training.held_out import HELD_OUT_SUBJECT
from training.optim.motion_problems import on_the_floor, simulated_body

#: Frames of a window, and of a second of DiffPhy with its first frame.
FRAMES = {"window": 32, "diffphy": 31}
DOMAINS = ("in_domain", "out_of_domain")


@dataclass(frozen=True)
class Bench:
    """Body, motions, judges, and what was asked for."""

    settings: Settings
    cache: Cache
    referee: Referee
    body: ArticulatedBody
    windows: WindowBench
    diffphy: DiffphyBench
    model: BodyModel

    @classmethod
    def of(cls, settings: Settings, cache: Cache) -> Bench:
        """With the shipped body."""
        model = BodyModel.load()
        body = simulated_body(model)
        referee = Referee(model, RootJudge(read_urdf(), body.points))
        points = BodyPoints.from_body(model, body.segments, body.points).to(dtype=torch.float32)
        windows = WindowBench(points, referee, cache, seed=settings.seed)
        return cls(settings, cache, referee, body, windows, DiffphyBench(body, referee, cache), model)

    @property
    def precise(self) -> ArticulatedBody:
        """The body in float64, for PyBullet."""
        return ArticulatedBody(*(x.to(dtype=torch.float64) for x in (self.body.segments, self.body.points)))

    def cuts(self, loss: str, frames: int, a_take: int, limit: tuple[int, int]) -> list[Cut]:
        """Of the test subjects."""
        takes = takes_of(("val", "test"), self.model, self.settings.data)
        return domains(self._grounded(loss, takes), frames, a_take, limit, self.settings.seed)

    def held_out(self, loss: str, frames: int, count: int) -> list[Cut]:
        """Walks of the subject of the training split that nothing is trained on."""
        takes = takes_of(("train",), self.model, self.settings.data, (HELD_OUT_SUBJECT,))
        walks = [take for take in takes if "walk" in take.action.lower()]
        return cuts_of(self._grounded(loss, walks), frames, 3, count, self.settings.seed)

    def _grounded(self, loss: str, takes: list) -> list:
        return [on_the_floor(take, self.body) for take in takes] if loss == "diffphy" else takes


def window_part(bench: Bench) -> dict:
    """Solvers on lifted windows; motions before and after, and beside filters."""
    s, w = bench.settings.amounts["window"], bench.windows
    held = w.lifted(bench.held_out("window", FRAMES["window"], s.held_out))
    windows = w.lifted(bench.cuts("window", FRAMES["window"], s.a_take, s.cuts))
    rates, tuning = learning_rates("window", bench, lambda: w.tasks(held))
    solvers = bench.settings.chosen("window", rates)
    inside = np.array([cut.in_domain for cut in windows.cuts])
    solved = {solver.name: w.solved(solver, windows, s.cap) for solver in solvers}
    curves = {name: found.curves for name, found in solved.items()}
    which = spread(np.flatnonzero(inside), s.timed)
    timed = {solver.name: w.timed(solver, windows, which, s.cap) for solver in solvers}
    result = races(curves, timed, inside, windows.truth.clips, s.cap) | {"rates": rates, "tuning": tuning}

    motions = {"before": windows.raw(), "start": w.start(windows)} | {
        solver.name: w.refined(solver, windows, s.cap) for solver in solvers
    }
    best = next(solver for solver in solvers if solver.name == bench.settings.after)
    filters, found = filtered(w, windows, held, motions[best.name], w.refined(best, held, s.cap))
    motions |= found
    figures = {name: bench.referee.figures(*(x.numpy() for x in m), windows.truth) for name, m in motions.items()}
    truth = bench.referee.figures(windows.truth.rotations, windows.truth.pelvis, windows.truth)
    result |= tables(figures | {"source motion": truth}, windows.truth.clips, inside, best.name)
    result |= {
        "filters": {name: repr(one) for name, one in filters.items()}, "after_by": best.name,
        "mpjpe_g_mm": domain_means(
            {solver.name: figures[solver.name]["mpjpe_g_mm"] for solver in solvers}, inside, windows.truth.clips),
        "pybullet": long_windows(bench, best, filters), "motions": described(windows.cuts),
        "loss_ms_32": loss_ms(w.tasks(windows)[0][0].row(0), solved[best.name].x[0][:1]),
    }  # fmt: skip
    return result


def diffphy_part(bench: Bench) -> dict:
    """Solvers on DiffPhy's clips; the simulated motion before and after."""
    s, d = bench.settings.amounts["diffphy"], bench.diffphy
    cuts = bench.cuts("diffphy", FRAMES["diffphy"], s.a_take, s.cuts)
    rates, tuning = learning_rates(
        "diffphy", bench, lambda: d.tasks(bench.held_out("diffphy", FRAMES["diffphy"], s.held_out))
    )
    solvers = bench.settings.chosen("diffphy", rates)
    inside = np.array([cut.in_domain for cut in cuts])
    solved = {solver.name: d.solved(solver, cuts, s.cap) for solver in solvers}
    which = [cuts[i] for i in spread(np.flatnonzero(inside), s.timed)]
    timed = {solver.name: d.timed(solver, which, s.cap) for solver in solvers}
    truth, clips = d.truth(cuts), tuple(cut.take.name for cut in cuts)
    result = races({n: x.curves for n, x in solved.items()}, timed, inside, clips, s.cap)
    result |= {"rates": rates, "tuning": tuning}
    best = next(solver for solver in solvers if solver.name == bench.settings.after)
    motions = {"before": d.simulated(cuts, None)}
    motions |= {name: d.simulated(cuts, x.x) for name, x in solved.items()}
    figures = {name: bench.referee.figures(*m, truth) for name, m in motions.items()}
    source = bench.referee.figures(truth.rotations, truth.pelvis, truth)
    result |= tables(figures | {"source motion": source}, clips, inside, best.name)
    return result | {
        "after_by": best.name, "motions": described(cuts),
        "loss_ms_32": loss_ms(d.task(cuts[:1]), solved[best.name].x[0][:1]),
        "mpjpe_g_mm": domain_means({x.name: figures[x.name]["mpjpe_g_mm"] for x in solvers}, inside, clips),
        "pybullet": long_clips(bench, best),
    }  # fmt: skip


def learning_rates(
    loss: str, bench: Bench, tasks: Callable[[], tuple[list[Task], list[int]]]
) -> tuple[dict[str, float], dict]:
    """Of Adam and momentum: chosen on the held-out subject's motions, or those that were chosen before."""
    amounts, kept = bench.settings.amounts[loss], {}
    for name in (ADAM, MOMENTUM):
        if amounts.tune and name in bench.settings.solvers:

            def choose(name: str = name) -> dict:
                rate, tried = tuned_rate(name, *tasks(), amounts.cap)
                return {"rate": rate, "tried": tried}

            kept[name] = bench.cache.get(choose, what="rate", loss=loss, solver=name, amounts=repr(amounts))
    rates = {name: kept[name]["rate"] if name in kept else rate for name, rate in RATES[loss].items()}
    return rates, {name: found["tried"] for name, found in kept.items()}


def filtered(
    bench: WindowBench, windows: Windows, held: Windows, refined: tuple[torch.Tensor, torch.Tensor],
    refined_held: tuple[torch.Tensor, torch.Tensor],
) -> tuple[dict[str, Filter], dict[str, Motions]]:  # fmt: skip
    """Both filters, tuned and at the jitter that refinement leaves, and their motions."""
    chosen, motions = {}, {}
    tv, tv_held = bench.jitter_of(refined, windows), bench.jitter_of(refined_held, held)
    for key, kind in (("one_euro", OneEuro), ("kalman", Kalman)):
        tuned = bench.tuned(kind, held)
        equal = bench.at_jitter(bench.shaped(kind, held, tv_held), windows, tv)
        for name, one in ((f"{key}_tuned", tuned), (key, equal)):
            motions[name], chosen[name] = one(windows.raw(), windows.truth.dt_s), one
    return chosen, motions


def races(
    curves: Mapping[str, Curves], timed: Mapping[str, Curves], inside: np.ndarray, clips: Sequence[str], cap: int
) -> dict:
    """Evaluations and seconds to BFGS's final loss, in each domain and at smaller caps, and the curves to draw."""
    groups = {name: np.flatnonzero(inside == (name == DOMAINS[0])) for name in DOMAINS}
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    some = {name: {k: Curves(c.best[:, rows]) for k, c in curves.items()} for name, rows in groups.items()}
    return {
        "cap": cap, "race": {
            name: compare(of, cap, timed if name == DOMAINS[0] else None, [clips[i] for i in groups[name]])
            for name, of in some.items()
        },
        "race_at_cap": {str(c): {name: compare(of, c) for name, of in some.items()}
                        for c in (cap // 4, cap // 2) if c > 1},
        "curves": {name: {k: quartiles(c.best) for k, c in of.items()} for name, of in some.items()},
        "timed_curves": {k: {"seconds": c.seconds.median(1).values.tolist(), "loss": c.best.median(1).values.tolist()}
                         for k, c in timed.items()},
    }  # fmt: skip


def quartiles(best: torch.Tensor) -> list[list[float]]:
    """Lower quartile, median and upper quartile by evaluation, five digits."""
    rows = torch.quantile(best, torch.tensor([0.25, 0.5, 0.75]).to(best), 1)
    return [[float(f"{v:.5g}") for v in row] for row in rows.tolist()]


def tables(figures: dict[str, dict[str, np.ndarray]], clips: Sequence[str], inside: np.ndarray, best: str) -> dict:
    """Means with intervals of every method, over all motions and by domain, and what changes by the refinement."""
    groups = {"all": np.ones(len(inside), bool), DOMAINS[0]: inside, DOMAINS[1]: ~inside}
    result: dict = {"figures": {}, "change": {}}
    for group, rows in groups.items():
        if not rows.any():
            continue
        of = [c for c, row in zip(clips, rows) if row]
        result["figures"][group] = {
            name: summarise({k: v[rows] for k, v in found.items()}, of) for name, found in figures.items()
        }
        before, after = figures["before"], figures[best]
        result["change"][group] = {k: change(before[k][rows], after[k][rows], of) for k in before}
    return result


def domain_means(values: dict[str, np.ndarray], inside: np.ndarray, clips: Sequence[str]) -> dict[str, dict]:
    """Mean and interval of a figure by domain and solver."""
    found = {}
    for domain, rows in zip(DOMAINS, (inside, ~inside)):
        of = [c for c, row in zip(clips, rows) if row]
        found[domain] = {k: [round(x, 3) for x in interval([v[rows]], of)] for k, v in values.items()} if of else {}
    return found


def long_windows(bench: Bench, solver: Solver, filters: Mapping[str, Filter]) -> dict:
    """PyBullet's character on 3 s windows, driven by the lifted poses, the refined ones, and what filters make."""
    s, w = bench.settings.amounts["window"], bench.windows
    frames = round(30 * bench.settings.seconds) + 1
    cuts = bench.cuts("window", frames, 1, s.long)
    if not cuts:
        return {}
    windows = w.lifted(cuts)
    motions = {"before": windows.raw(), "after": w.refined(solver, windows, s.long_evaluations)}
    motions |= {name: one(windows.raw(), windows.truth.dt_s) for name, one in filters.items()}
    made_by = {key: repr(filters[key]) if key in filters else solver.key for key in motions}
    found = {
        key: bench.cache.get(lambda m=m: as_tensors(w.rollouts(m, windows, bench.precise)), what="window rollouts",
                             judge=JUDGE, cuts=[c.name for c in windows.cuts], frames=frames, of=key, key=made_by[key],
                             evaluations=s.long_evaluations, seed=bench.settings.seed) for key, m in motions.items()
    }  # fmt: skip
    return tracking({k: (v["seconds"].numpy(), v["censored"].numpy()) for k, v in found.items()}, windows.cuts)


def long_clips(bench: Bench, solver: Solver) -> dict:
    """The same with DiffPhy's controls, found in stages."""
    s = bench.settings.amounts["diffphy"]
    cuts = bench.cuts("diffphy", round(30 * bench.settings.seconds) + 1, 1, s.long)
    if not cuts:
        return {}
    rows = bench.diffphy.rollouts(solver, cuts, s.long_evaluations, bench.precise)
    found = {key: (rows[f"{key}_s"], rows[f"{key}_censored"]) for key in ("before", "after")}
    mm = summarise({"mpjpe_g_mm": rows["mpjpe_g_mm"]}, [c.take.name for c in cuts])
    return tracking(found, cuts) | {"mpjpe_g_mm": mm["mpjpe_g_mm"], "evaluations_a_stage": s.long_evaluations}


def as_tensors(found: tuple[np.ndarray, np.ndarray]) -> dict[str, torch.Tensor]:
    """For the cache."""
    return {"seconds": torch.as_tensor(found[0]), "censored": torch.as_tensor(found[1])}


def tracking(found: dict[str, tuple[np.ndarray, np.ndarray]], cuts: Sequence[Cut]) -> dict:
    """Mean seconds with intervals, how many were tracked to their end, and the ratio."""
    clips = [cut.take.name for cut in cuts]
    return {
        "clips": len(cuts), "clip_s": (cuts[0].frames - 1) / cuts[0].take.fps,
        "in_domain": int(sum(c.in_domain for c in cuts)),
        "seconds": {k: summarise({"s": v[0]}, clips)["s"] for k, v in found.items()},
        "median_s": {k: float(np.median(v[0])) for k, v in found.items()},
        "censored": {k: int(v[1].sum()) for k, v in found.items()},
        "change": change(found["before"][0], found["after"][0], clips),
    }  # fmt: skip


def described(cuts: Sequence[Cut]) -> dict:
    """How many motions of whom, in domain and out of it."""
    counts: dict[str, dict[str, int]] = {name: {} for name in DOMAINS}
    for cut in cuts:
        of = counts[DOMAINS[not cut.in_domain]]
        of[cut.take.subject] = of.get(cut.take.subject, 0) + 1
    return counts


def spread(rows: np.ndarray, count: int) -> list[int]:
    """``count`` of the rows, evenly."""
    return [int(rows[round(k * (len(rows) - 1) / max(1, count - 1))]) for k in range(min(count, len(rows)))]
