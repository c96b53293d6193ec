"""The dated page of ``benchmarks.lifting``: what was asked against what was measured, tables, plots, definitions."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.lifting.baselines import Baseline
from benchmarks.lifting.figures import PAPER
from benchmarks.lifting.lifting_targets import TARGETS, WEIGHTS
from benchmarks.lifting.protocol_sections import (
    EXACT_PROTOCOL,
    MADE_POSES,
    REAL_PROTOCOL,
    exact_section,
    made_section,
    real_section,
)
from benchmarks.page.report import RESULTS, provenance
from benchmarks.page.targets import target_table
from diffmocap.lifting.sampling.guidance import GUIDANCE_INTERVAL

#: The last full run, whose figures stand beside those of a quick one.
FULL_RUN = RESULTS / "lifting_full.json"
#: What its author has to say of the figures, misses above all; it becomes a part of every page.
REMARKS = RESULTS / "lifting_remarks.md"
PAPER_PROTOCOL = (
    "**Paper protocol.** Square image, vertical field of view 50 degrees, fixed level camera with the pelvis on its "
    "optical axis at the distance where the projection of the standing body is 80 % of the image high, heading as "
    "captured, betas 0, the true translation given and used to project the sample, clean keypoints, nothing clipped, "
    "one seeded sample by DDIM with 50 steps. The error is the mean absolute difference over 25 keypoints and both "
    "coordinates over the image size. The paper does not give its framing, and trains and tests on AMASS: its "
    "figures are for orientation. The paper guides at every step; here guidance acts where the ratio of noise to "
    f"signal is from {GUIDANCE_INTERVAL[0]:g} to {GUIDANCE_INTERVAL[1]:g}, for every network "
    "(`diffmocap/lifting/sampling/guidance.py` says why)."
)
WILD_PROTOCOL = (
    "**Wild protocol** (`diffmocap/evaluation/wild_views.py`; apart from the training recipe). For every frame, from "
    "a seed of its own: the heading is any; the camera stands 1.5 to 8 m away (every doubling alike), has a vertical "
    "field of view of 35 to 75 degrees, a pitch of 10 and a roll of 3 degrees (standard deviations); images are "
    "16:9, 4:3 or 9:16; shapes have betas of standard deviation 0.8 (9 cm of height). Half of the frames show the "
    "whole body, a quarter is cut by the image's border with head and shoulders inside, a quarter has a rectangle "
    "before a part of the body. Keypoints have noise of 0.5, 1, 2 or 4 % of the half-size of the person's box, times "
    "a factor of each keypoint (log-normal, 0.5); 1 % are wrong altogether (25 %) and their confidence does not "
    "tell; 2 % are missed; small toes always. The model is told 2 % whatever the level, no depth and no previous "
    "pose. Samples have all of the noise (temperature 1); w was chosen on the validation split.\n\nA sample is a "
    "pose of the mean body, the truth is the person's own: knowing all rotations would leave an MPJPE of about 23 mm "
    "and a PA-MPJPE of 5 mm. MPJPE is over 24 joints about the pelvis, PA-MPJPE after the best similarity transform, "
    "visible MPJPE over the limb joints that were detected. The pixel error is over the detected keypoints, against "
    "where they truly are, over the image's height, with the translation that the pipeline finds. Outside limits: "
    "samples with some joint more than 5 degrees beyond `joint_angles.LIMITS_DEG`, in brackets the truth's. "
    "Diversity is the mean distance of a joint between two samples. Spread is the standard deviation of a joint over "
    "the samples, error the distance of their mean from the truth, correlated over frames for each of the 23 joints "
    "below the pelvis; reliability compares the spread, times (1 + 1/K)^½, with the root mean square error in bins "
    "of equal size: an ensemble that knows what it does not know lies on the diagonal. A region is a ball about the "
    "mean of samples and truth, which the truth's rank among them by distance says to be inside or outside "
    "(`diffmocap/evaluation/calibration.py`, `coverage`): truths drawn like the samples would lie in the region of "
    "50 % half of the time, for any number of samples. Turned bodies are the same frames, each turned as a whole "
    "about a horizontal axis of any direction before the camera is drawn."
)


def asked_against_measured(figures: dict, full: dict | None) -> list[str]:
    """The table, with a column for the full run where this is not one."""
    lines = target_table(TARGETS, "paper or peer", figures, full)
    if full and full["figures"]["weights_sha256"] != figures["weights_sha256"]:
        lines += ["", f"The full run measured other weights (sha256 {full['figures']['weights_sha256'][:12]}…)."]
    return lines


def paper_section(
    paper: dict, steps: int, baselines: Sequence[Baseline], mlp: dict | None, quick: bool, images: dict[str, str]
) -> list[str]:
    """Errors by guidance weight, ours, the other networks' and the paper's."""
    lines = [
        "## Paper protocol", "", f"{paper['frames']} frames, one sample each, DDIM with {steps} steps.", "",
        f"| network | {' | '.join(f'w = {w}' for w in WEIGHTS)} | MPJPE mm | PA-MPJPE mm |", "|---" * 6 + "|",
    ]  # fmt: skip

    def row(name: str, f: dict) -> str:
        errors = [f"{f['pixel_error'][w]:.4f} ± {f['pixel_error_standard_error'][w]:.4f}" for w in WEIGHTS]
        joints = [" / ".join(f"{f[key][w]:.0f}" for w in WEIGHTS) for key in ("mpjpe_mm", "pa_mpjpe_mm")]
        return f"| {' | '.join([name, *errors, *joints])} |"

    lines.append(row("**these weights**", paper))
    if mlp:
        lines.append(row("MLP, this run", mlp))
    lines += [row(b.label, b.figures(quick)) for b in baselines]
    lines += [f"| {name} | {' | '.join(f'{e[w]:.3f}' for w in WEIGHTS)} | | |" for name, e in PAPER.items()]
    lines += ["", "± standard error over the frames."]
    if baselines:
        lines += ["", "Not measured again in this run, but taken from `benchmarks/results/baselines`:", ""]
        lines += [
            f"- {b.label}: weights sha256 `{b.weights_sha256[:12]}…`, commit `{b.commit}`, {b.date}, `{b.command}`"
            for b in baselines
        ]
    lines += ["", f"![error against guidance]({images['guidance']})"]
    if "poses" in images:
        lines += [
            "", "One typical frame of each of six kinds of poses (k-means over the frames). Beside each pose: the same "
            "from the image's left. Red dots are the input. Captions: pixel error and MPJPE.", "",
            f"![input, samples at three guidance weights, truth]({images['poses']})",
        ]  # fmt: skip
    return [*lines, ""]


def wild_section(wild: dict, steps: int, images: dict[str, str]) -> list[str]:
    """Figures by stratum, best of K, calibration."""
    titles = (
        "n", "MPJPE", "PA-MPJPE", "visible MPJPE", "best of 10", "best of 10, PA", "pixel error", "outside limits",
        "diversity",
    )  # fmt: skip
    lines = [
        "## Wild protocol", "",
        f"{wild['frames']} frames, {len(wild['best_of_mpjpe_mm'])} samples each, DDIM with {steps} steps, w = "
        f"{wild['guidance']:g}.", "",
        f"| frames | {' | '.join(titles)} |", "|---|" + "---:|" * len(titles),
    ]  # fmt: skip
    for name, f in [("**all**", wild), *wild["by_stratum"].items()]:
        visible = "–" if f["visible_mpjpe_mm"] is None else f"{f['visible_mpjpe_mm']:.1f}"
        lines.append(
            f"| {name} | {f['frames']} | {f['mpjpe_mm']:.1f} | {f['pa_mpjpe_mm']:.1f} | {visible} "
            f"| {f['best_of_10_mpjpe_mm']:.1f} | {f['best_of_10_pa_mpjpe_mm']:.1f} | {f['pixel_error']:.4f} "
            f"| {100 * f['outside_limits']:.1f} % ({100 * f['truth_outside_limits']:.1f} %) | {f['diversity_mm']:.0f} |"
        )
    if wild["by_guidance"]:
        lines += [
            "", "Other guidance weights, ten samples per frame:", "",
            "| w | MPJPE | PA-MPJPE | PA-MPJPE, whole body | best of 10 | | Spearman |", "|---|" + "---:|" * 6,
        ]  # fmt: skip
        for w, f in wild["by_guidance"].items():
            single, best, whole = f["mpjpe_mm"], f["best_of_10_mpjpe_mm"], f["by_stratum"].get("whole", {})
            lines.append(
                f"| {w} | {single:.1f} | {f['pa_mpjpe_mm']:.1f} | {whole.get('pa_mpjpe_mm', float('nan')):.1f} "
                f"| {best:.1f} | {100 * (best / single - 1):+.1f} % | {f['spread_error_rank_correlation']:.3f} |"
            )
    if wild["turned"]:
        lines += ["", _turned(wild)]
    lines += ["", f"![errors by stratum, distance, direction and noise]({images['wild']})", "",
              f"![best of K]({images['best_of']})", ""]  # fmt: skip
    rho = wild["spread_error_rank_correlation"]
    if rho is not None:
        ratios = [o / p for p, o in wild["reliability_mm"]]
        fewer = ", ".join(f"{value:.3f} with {k}" for k, value in wild["rank_correlation_of_first"].items())
        unseen = wild["unseen"]
        lines += [
            f"Spread and error of the samples' mean: Spearman {rho:.3f} (by number of samples: {fewer}); against the "
            f"error of the single sample {wild['spread_single_error_rank_correlation']:.3f}. In ten bins of the spread "
            f"the root mean square error is {min(ratios):.2f} to {max(ratios):.2f} times what the spread says. In the "
            f"regions of 50 and 90 % lie {_percent(wild['coverage'])} of the truths. Of the limb joints "
            f"{100 * unseen['share']:.0f} % are not seen; of these {_percent(unseen['coverage'])}, with a Spearman of "
            f"{_number(unseen['spread_error_rank_correlation'])}.", "",
            f"![spread against error]({images['calibration']})", "",
        ]  # fmt: skip
    return lines


def _turned(wild: dict) -> str:
    """PA-MPJPE of turned bodies that are in view as a whole, and how many times that of upright ones it is."""
    errors = {angle: f.get("whole", {}).get("pa_mpjpe_mm") for angle, f in wild["turned"].items()}
    upright = wild["by_stratum"].get("whole", {}).get("pa_mpjpe_mm")
    if upright is None or None in errors.values():
        return "No whole body in view."
    found = (f"{mm:.1f} mm ({mm / upright:.2f} times) by {angle} degrees" for angle, mm in errors.items())
    return f"PA-MPJPE, whole body in view, of bodies turned about a horizontal axis: {'; '.join(found)}."


def _percent(coverage: dict[str, float | None]) -> str:
    return " and ".join("–" if inside is None else f"{100 * inside:.1f} %" for inside in coverage.values())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def synthetic_section(synthetic: dict) -> list[str]:
    """By film and by direction; the details are on the page of ``benchmarks.synthetic_video``."""
    lines = [
        "## Synthetic video", "", "Millimetres over the 12 limb joints, frames in which both gave a pose; the whole "
        "pipeline with its default settings. Mapped: a linear map of MediaPipe's world landmarks, fitted to films of "
        "the training split. `python -m benchmarks.synthetic_video` has more.", "",
        "| film | frames | PA-MPJPE | MediaPipe's | | mapped | MPJPE | MediaPipe's | mapped |", "|---|" + "---:|" * 8,
    ]  # fmt: skip
    sides = {f"seen from: {side}": f for side, f in synthetic["by_yaw"].items()}
    for name, f in (synthetic["by_film"] | sides | {"**all**": synthetic}).items():
        ours, theirs = f["pa_mpjpe_mm"], f["baseline_pa_mpjpe_mm"]
        errors = [f[f"{prefix}mpjpe_mm"] for prefix in ("linear_pa_", "", "baseline_", "linear_")]
        lines.append(
            f"| {name} | {f['frames']} | {ours:.1f} | {theirs:.1f} | {100 * (ours / theirs - 1):+.0f} % "
            f"| {' | '.join(f'{e:.1f}' for e in errors)} |"
        )
    return [*lines, ""]


def page(
    figures: dict, head: list[str], baselines: Sequence[Baseline], full: dict | None, steps: tuple[int, int],
    quick: bool, images: dict[str, str], remarks: str = "",
) -> str:  # fmt: skip
    """The page as Markdown. ``steps`` of the two protocols; ``images``: file names by picture."""
    parts = figures["details"]
    lines = ["# Lifting: its protocols, on film and live" + (" (quick run)" if quick else ""), "", *head, ""]
    lines += [*asked_against_measured(figures, full), ""]
    if remarks:
        lines += ["## Remarks", "", remarks, ""]
    if "paper" in parts:
        lines += paper_section(parts["paper"], steps[0], baselines, parts.get("mlp"), quick, images)
    if "wild" in parts:
        lines += wild_section(parts["wild"], steps[1], images)
    if "exact" in parts:
        lines += exact_section(parts["exact"])
    if "made" in parts:
        lines += made_section(parts["made"])
    if "real" in parts:
        lines += real_section(parts["real"])
    if "synthetic" in parts:
        lines += synthetic_section(parts["synthetic"])
    if "live" in parts:
        plain = {key: value for key, value in parts["live"].items() if not isinstance(value, (dict, list))}
        lines += ["## Live sampler", "", "`python -m benchmarks.live_sampling` has the settings and definitions.", ""]
        lines += [*(f"- {key}: {value}" for key, value in plain.items()), ""]
    definitions = (PAPER_PROTOCOL, WILD_PROTOCOL, EXACT_PROTOCOL, MADE_POSES, REAL_PROTOCOL)
    return "\n".join([*lines, "## Definitions", "", "\n\n".join(definitions)]) + "\n"


def page_head(figures: dict, data: str, total: int, device: str) -> list[str]:
    """Date, hardware, command, commit, data, weights."""
    subset = f", subset of {total} stratified over clips" if figures["subset"] else ""
    return [
        *provenance("benchmarks.lifting", f"`{data}`, {figures['frames']} frames{subset}", device),
        f"- weights: sha256 `{figures['weights_sha256'][:12]}…`, {figures['parameters']:,} parameters, predicts "
        f"{figures['parameterisation']}",
    ]
