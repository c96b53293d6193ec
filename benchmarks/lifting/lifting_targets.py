"""What the lifting is asked for, a row of the page's first table each."""

from __future__ import annotations

from typing import Any

from benchmarks.page.targets import Target

#: Guidance weights of the paper's table.
WEIGHTS = ("0.0", "0.5", "2.0")
#: What the real clip's frontal view is called; those that the other figures are over.
FRONTAL, OTHERS = "2", ("1", "3", "4")


def _part(f: dict, *path: str) -> Any:
    """A value of the details by its path; None where the part was not run, which the table shows as a dash."""
    value: Any = f.get("details", {})
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _row(by_weight: dict) -> str:
    return " / ".join(f"{by_weight[w]:.4f}" for w in WEIGHTS)


def _pixel(f: dict) -> tuple[str, bool]:
    e = f["pixel_error"]
    return _row(e), all(e[w] < limit for w, limit in zip(WEIGHTS, (0.010, 0.009, 0.008), strict=True))


def _mlp(f: dict) -> tuple[str, bool]:
    e, ours = f["pixel_error_mlp"], f["pixel_error"]
    return _row(e), all(ours[w] < e[w] for w in WEIGHTS)


def _best(f: dict) -> tuple[str, bool]:
    best, single = f["wild_best_of_10_mpjpe_mm"], f["wild_mpjpe_mm"]
    return f"{best:.1f} against {single:.1f} mm: {100 * (1 - best / single):.1f} % lower", best <= 0.75 * single


def _turned(f: dict) -> tuple[str, bool]:
    upright = f["wild_pa_mpjpe_mm"]
    lying, inverted = (_part(f, "wild", "turned", angle, "whole", "pa_mpjpe_mm") for angle in ("90", "180"))
    return f"{lying:.1f}; {inverted:.1f} mm", max(lying, inverted) <= 1.3 * upright


def _coverage(f: dict) -> tuple[str, bool]:
    inside = [(_part(f, "wild", "coverage", p), float(p) / 100) for p in ("50", "90")]
    text = " and ".join(f"{100 * found:.1f} %" for found, _ in inside)
    return text, all(abs(found - wanted) <= 0.05 for found, wanted in inside)


def _pair(f: dict, case: str, limits: tuple[float, float]) -> tuple[str, bool]:
    """A case of the exact protocol, and the same with depth."""
    found = [_part(f, "exact", "lifted", name, "pa_mpjpe_mm") for name in (case, f"{case}_depth")]
    text = "; ".join(f"{mm:.1f}" for mm in found) + " mm"
    return text, all(mm <= limit for mm, limit in zip(found, limits, strict=True))


def _missing(f: dict) -> tuple[str, bool]:
    mm = _part(f, "exact", "lifted", "missing", "pa_mpjpe_mm")
    return f"{mm:.1f} mm", mm <= 35


def _made(f: dict) -> tuple[str, bool]:
    found = [_part(f, "made", f"made_poses_{name}pa_mpjpe_mm") for name in ("", "depth_")]
    return "; ".join(f"{mm:.1f}" for mm in found) + " mm", found[0] <= 35 and found[1] <= 6


def _real(f: dict) -> tuple[str, bool]:
    pa, mpjpe, theirs = (f.get(f"real_{key}mpjpe_mm") for key in ("pa_", "", "baseline_pa_"))
    poses = [row["poses"] for row in dict(_part(f, "real", "lifted")).values()]
    return f"{pa:.1f}; {mpjpe:.1f} mm; MediaPipe's {theirs:.1f} mm", pa <= 52 and mpjpe <= 80 and min(poses) == 1.0


def _sides(f: dict) -> tuple[str, bool]:
    ours, theirs = (_part(f, "real", who, FRONTAL, "exchanged") for who in ("lifted", "mediapipe"))
    return f"{ours:.0f}; MediaPipe's {theirs:.0f}", ours <= 2


def _flips(f: dict) -> tuple[str, bool]:
    flips = _part(f, "real", "footage", "depth_flips")
    return f"{flips:d}", flips == 0


def _views(f: dict, key: str, low: float, high: float) -> tuple[str, bool]:
    found = [_part(f, "real", "lifted", v, key) for v in OTHERS]
    return ", ".join(f"{x:.1f}" for x in found), all(low <= x <= high for x in found)


def _straight(f: dict) -> tuple[str, bool]:
    knees = _part(f, "real", "footage", "straight_knees")
    found = [knees[name]["lifted_deg"] for name in sorted(knees)]
    return ", ".join(f"{x:.1f}" for x in found), all(x <= 10 for x in found)


def _synthetic(f: dict) -> tuple[str, bool]:
    ours, theirs = f["synthetic_pa_mpjpe_mm"], f["synthetic_baseline_pa_mpjpe_mm"]
    films = (_part(f, "synthetic", "by_film") or {}).values()
    worse = sum(film["pa_mpjpe_mm"] >= film["baseline_pa_mpjpe_mm"] for film in films)
    text = f"{ours:.1f} against {theirs:.1f} mm: {100 * (1 - ours / theirs):.1f} % lower; higher on {worse} films"
    return text, ours <= 0.60 * theirs and not worse


def _live(f: dict) -> tuple[str, bool]:
    ms, slow, ratio = f["live_ms"], f["ddim50_ms"], f["mean_error_ratio"]
    met = ms < 15 and slow >= 10 * ms and ratio <= 1.05
    return f"{ms:.1f} against {slow:.0f} ms: {slow / ms:.1f} times faster; error of means x {ratio:.3f}", met


TARGETS = (
    Target("pixel alignment error, paper protocol, w = 0 / 0.5 / 2", "paper: 0.080 / 0.068 / 0.058",
           "below 0.010 / 0.009 / 0.008", _pixel),
    Target("the MLP under the same recipe", "paper: 0.382 / 0.223 / 0.241", "the transformer wins at each w", _mlp),
    Target("wild protocol, single sample, PA-MPJPE, whole body in view", "none", "at most 45 mm",
           lambda f: (f"{f['wild_pa_mpjpe_mm']:.1f} mm", f["wild_pa_mpjpe_mm"] <= 45)),
    Target("the same, bodies turned by 90 degrees; by 180", "", "within 1.3 times", _turned),
    Target("wild protocol, best of 10 against single sample, MPJPE", "", "25 % lower", _best),
    Target("spread against error, Spearman over frames within a joint, mean over joints", "", "at least 0.6",
           lambda f: (f"{f['spread_error_rank_correlation']:.3f}", f["spread_error_rank_correlation"] >= 0.6)),
    Target("truths in the regions of 50 and 90 %", "", "within 5 points", _coverage),
    Target("exact 2D, own body, PA-MPJPE; with exact depth", "", "20; 2 mm", lambda f: _pair(f, "exact", (20, 2))),
    Target("body shapes and 2 % noise; with depth of 50 mm noise", "", "42; 20 mm",
           lambda f: _pair(f, "shapes_noise", (42, 20))),
    Target("small toes and a fifth of the keypoints missing, exact 2D", "", "35 mm", _missing),
    Target("made poses, exact 2D; with exact depth", "", "35; 6 mm", _made),
    Target("real clip, mean of four views, PA-MPJPE; MPJPE", "MediaPipe's world landmarks, same frames",
           "52; 80 mm, a pose in every image", _real),
    Target("real clip, frontal view, frames with exchanged sides", "MediaPipe", "at most 2", _sides),
    Target("footage, depth flips of the raised leg", "", "0", _flips),
    Target("real clip, other views, acceleration [m/s²]; the truth's is 9", "", "8 to 11",
           lambda f: _views(f, "acceleration", 8, 11)),
    Target("real clip, other views, lean [degrees]", "", "at most 6", lambda f: _views(f, "lean_deg", 0, 6)),
    Target("footage, flexion of knees straight in the image [degrees]", "", "at most 10", _straight),
    Target("synthetic video, PA-MPJPE", "MediaPipe's world landmarks, same frames", "40 % lower, lower on every film",
           _synthetic),
    Target("live sampler, one hypothesis", "DDIM with 50 steps, same run",
           "10 times faster, under 15 ms, error of means within 5 %", _live),
)  # fmt: skip
