"""What guidance does to sampled poses: ``python -m benchmarks.guidance``.

Under the diffusion paper's protocol, on the validation split: (a) classifier-free guidance at every step and within the
package's interval of noise-to-signal ratios, over weights; (b) guidance by the gradient of body and camera (the paper's
section 3.4), of the unconditional and the conditional model, in each form, over scales; (c) both branches along the
diffusion times, which shows why guidance at every step overshoots. Writes a dated page with a plot and a picture of
poses to ``benchmarks/results``; ``--json`` ends with one JSON line.
"""

from __future__ import annotations

from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.lifting.guidance_sweep import BEYOND_DEG, Guidance, Samples, Sweep
from benchmarks.page.command import benchmark_parser, clips_option, end_with_json, shared_options
from benchmarks.page.report import RESULTS, Page, mocap_file, page_arguments, provenance
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import KEYPOINT_EDGES
from diffmocap.camera.projection import project
from diffmocap.evaluation.paper_protocol import paper_intrinsics
from diffmocap.evaluation.pose_frames import PoseFrames
from diffmocap.lifting.network.weights import load_weights
from diffmocap.lifting.sampling.guidance import GUIDANCE_INTERVAL

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
#: Scales of each form of gradient guidance, with and without a limit on the correction.
SCALES = (
    ("noisy", None, (0.1, 1.0)), ("noisy", 0.25, (0.1, 1.0)),
    ("through", None, (0.03, 0.3, 1.0)), ("through", 0.25, (0.03, 0.3, 1.0)),
    ("estimate", None, (0.003, 0.03, 0.3, 1.0)), ("estimate", 0.25, (0.03, 0.3, 1.0)),
)  # fmt: skip
#: The weight at which the branches are looked at over the diffusion times.
LOOK_WEIGHT = 2.0
#: What the picture shows beside the truth.
SHOWN = {
    "prior": Guidance("classifier-free", conditional=False),
    "prior + gradient": Guidance("gradient", 1.0, False, "through", 0.25),
    "w = 0": Guidance("classifier-free"),
    "w = 2 everywhere": Guidance("classifier-free", 2.0),
    "w = 2 in the interval": Guidance("interval", 2.0),
    "w = 0 + gradient": Guidance("gradient", 1.0, True, "through", 0.25),
}

OVERSHOOT = (
    "At high noise the conditional estimate of x0 already fits the keypoints; adding the difference to the prior's "
    "estimate, which is near the mean pose, takes it past them. At low noise the difference is small and is that of "
    "two estimators' errors. (Norms in standard deviations of the standardised pose, pixel errors of the estimates.)"
)
FORMS_EXPLAINED = (
    "The true translation is given. `noisy` takes the forward model's gradient at x_t, as the paper writes it; "
    "`through` at the denoised pose, through the network (DPS); `estimate` at the denoised pose without the network's "
    "Jacobian; `at most` bounds the correction's root mean square. See "
    "`diffmocap/lifting/sampling/gradient_guidance.py`."
)
WHY_IT_FAILS = (
    "The paper says that with a many-to-one forward model this *fails to provide meaningful guidance*. Three things "
    "are at work. An x_t is no pose until the noise is low, so that its projection says little before (`noisy`). The "
    "network's Jacobian is not the covariance that Tweedie's formula promises, least at high noise, where dividing by "
    "the signal magnifies its error (`through`); both run away unless the correction is bounded. And where the "
    "gradient is sound, it pulls every sample to the nearest pose that projects onto the keypoints, which is seldom "
    "the right one among the many: the pixel error falls, while joints stay wrong in depth (compare the MPJPE of the "
    "guided prior with the conditional model's). The conditional model knows which pose it is; there the gradient "
    "only has to close what is left, and the joints gain too."
)


def ways() -> list[Guidance]:
    """Every way of guiding that is measured; weight 0 once for each model."""
    gradient = [Guidance("gradient", s, c, f, m) for c in (False, True) for f, m, scales in SCALES for s in scales]
    free = [Guidance(kind, w) for kind in ("classifier-free", "interval") for w in WEIGHTS if w or kind != "interval"]
    return [*free, Guidance("classifier-free", conditional=False), *gradient]


def measure(sweep: Sweep) -> dict:
    """Figures of every way, and of the branches along the diffusion times."""
    rows = [
        {"way": g.label, "model": "conditional" if g.conditional else "unconditional", "weight": g.weight,
         **sweep.sample(g).figures()}
        for g in tqdm(ways(), desc="guiding", unit="way")
    ]  # fmt: skip
    few = max(len(sweep.timesteps) // 12, 1)
    along = sweep.along_times(LOOK_WEIGHT, lambda i: i % few == 0 or i + 1 == len(sweep.timesteps))
    return {"frames": len(sweep.start), "steps": len(sweep.timesteps), "rows": rows, "along_times": along}


def plot(rows: list[dict], path: Path) -> None:
    """Left: classifier-free guidance over w. Right: gradient guidance, pixel error against joint error."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    zero = next(r for r in rows if r["way"] == "classifier-free" and r["model"] == "conditional" and not r["weight"])
    for way, label in (("classifier-free", "at every step"), ("interval", "within the interval")):
        series = [zero, *(r for r in rows if r["way"] == way and r["model"] == "conditional" and r["weight"])]
        x, y, error = ([r[k] for r in series] for k in ("weight", "pixel_error", "standard_error"))
        left.errorbar(x, y, error, marker="o", capsize=3, label=label)
    left.set(title="Classifier-free guidance", xlabel="weight w", ylabel="pixel alignment error", ylim=(0, None))
    left.legend(frameon=False)
    for model, marker, beside in (("unconditional", "o", (-12, "right")), ("conditional", "s", (12, "left"))):
        start = next(r for r in rows if r["way"] == "classifier-free" and r["model"] == model and not r["weight"])
        names = dict.fromkeys(r["way"] for r in rows if r["way"].startswith("gradient"))
        for name, colour in zip(names, plt.rcParams["axes.prop_cycle"].by_key()["color"]):
            series = [start, *(r for r in rows if r["way"] == name and r["model"] == model)]
            label = name.removeprefix("gradient: ") if model == "unconditional" else None
            x, y = ([r[k] for r in series] for k in ("mpjpe_mm", "pixel_error"))
            right.plot(x, y, marker=marker, color=colour, label=label, alpha=0.8)
        place, (aside, edge) = (start["mpjpe_mm"], start["pixel_error"]), beside
        right.annotate(f"{model}, w = 0", place, (aside, -4), textcoords="offset points", ha=edge)
    right.set(title="Gradient guidance", xlabel="MPJPE [mm]", ylabel="pixel alignment error", xscale="log")
    right.set_yscale("log")
    for axis in (right.xaxis, right.yaxis):  # plain numbers where log axes put powers of ten
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())
    right.legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_poses(sweep: Sweep, path: Path, count: int = 3) -> None:
    """Skeletons of some frames: as the camera sees them over the input keypoints, and below from the side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    samples: dict[str, Samples | None] = {"truth": None} | {name: sweep.sample(g) for name, g in SHOWN.items()}
    truth = sweep.body.keypoints(sweep.truth, sweep.pelvis).cpu()
    frames = torch.linspace(0, len(truth) - 1, 2 * count + 1).long()[1::2].tolist()
    figure, axes = plt.subplots(
        2 * count, len(samples), figsize=(1.55 * len(samples), 3.1 * count), layout="constrained", squeeze=False
    )
    for row, frame in enumerate(frames):
        seen = sweep.points[frame].cpu()
        for column, (name, found) in enumerate(samples.items()):
            front, side = axes[2 * row : 2 * row + 2, column]
            body = truth[frame] if found is None else found.keypoints[frame]
            pixels = project(body, paper_intrinsics())
            for a, b in KEYPOINT_EDGES:
                front.plot(*pixels[[a, b]].T, color="tab:blue", linewidth=1.5)
                side.plot(body[[a, b], 2], body[[a, b], 1], color="tab:blue", linewidth=1.5)
            front.plot(*seen.T, ".", color="tab:red", markersize=3)
            front.set(xlim=(0.1, 0.9), ylim=(0.95, 0.05))
            middle = float(truth[frame, 8, 2])
            side.set(xlim=(middle - 1, middle + 1), ylim=(1.15, -1.05))
            if found is not None:
                front.set_xlabel(f"{found.pixel_error[frame]:.4f}, {1e3 * found.mpjpe_m[frame]:.0f} mm", fontsize=8)
            if row == 0:
                front.set_title(name, fontsize=9)
            for axis in (front, side):
                axis.set(xticks=(), yticks=(), aspect="equal")
        axes[2 * row, 0].set_ylabel("camera", fontsize=8)
        axes[2 * row + 1, 0].set_ylabel("side", fontsize=8)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def table(rows: list[dict]) -> list[str]:
    """Markdown lines."""
    return [
        "| guidance | model | w | pixel error (± standard error) | MPJPE mm | beyond limits | ms per sample |",
        "|---|---|---|---|---|---|---|",
        *[
            f"| {r['way']} | {r['model']} | {r['weight']:g} | {r['pixel_error']:.4f} ± {r['standard_error']:.4f} "
            f"| {r['mpjpe_mm']:.0f} | {100 * r['beyond_limits']:.0f} % | {r['ms']:.0f} |"
            for r in rows
        ],
    ]


def write_page(figures: dict, sweep: Sweep, data: Path, device: str) -> Path:
    """The Markdown page, its plot and its picture."""
    page = Page.of_today("guidance", RESULTS)
    plot(figures["rows"], page.beside(".png"))
    draw_poses(sweep, page.beside("-poses.png"))
    low, high = GUIDANCE_INTERVAL
    free = [r for r in figures["rows"] if not r["way"].startswith("gradient") and r["model"] == "conditional"]
    gradient = [r for r in figures["rows"] if r["way"].startswith("gradient") or r["model"] == "unconditional"]
    lines = [
        "# Guidance: classifier-free, and by the gradient of body and camera", "",
        *provenance("benchmarks.guidance", f"`{data.name}`, {figures['frames']} frames", device),
        "- sampling: the paper's protocol (see `benchmarks/lifting/pixel_alignment.py`), DDIM, "
        f"{figures['steps']} steps, one seeded sample",
        f"- beyond limits: share of samples with a joint angle more than {BEYOND_DEG:g} degrees outside its limits",
        "- ms: processor time a sample", "",
        "## Classifier-free guidance", "",
        f"`interval`: only where the ratio of noise to signal lies in [{low}, {high}], as the package samples.", "",
        *table(free), "", f"![pixel error]({page.name}.png)", "",
        f"Why not at every step: the branches along the trajectory of w = {LOOK_WEIGHT:g}. {OVERSHOOT}", "",
        "| noise / signal | norm: conditional | difference | guided "
        "| pixel error: conditional | unconditional | guided |",
        "|---|---|---|---|---|---|---|",
        *[
            f"| {r['ratio']:.2f} | {r['conditional_norm']:.1f} | {r['difference_norm']:.1f} | {r['guided_norm']:.1f} "
            f"| {r['conditional_pixel_error']:.4f} | {r['unconditional_pixel_error']:.4f} "
            f"| {r['guided_pixel_error']:.4f} |"
            for r in figures["along_times"]
        ],
        "", "## Gradient guidance (the paper's section 3.4)", "", FORMS_EXPLAINED, "", *table(gradient), "",
        WHY_IT_FAILS, "", f"![poses]({page.name}-poses.png)", "",
        "Above: the camera's view, input keypoints in red; below: from the side. Under each: pixel error, MPJPE. The "
        "gradient is that of `through, at most 0.25` with w = 1.",
    ]  # fmt: skip
    return page.write(lines)


def main() -> None:
    parser = benchmark_parser(__doc__)
    clips_option(parser, "val", what="clips to sample for")
    shared_options(parser, "weights", "every")
    parser.add_argument("--frames", type=int, default=64, help="evenly spaced subset of so many frames (default 64)")
    shared_options(parser, "steps", "seed", "device", "json", "no_page")
    args = page_arguments(parser)
    data = mocap_file("val", args.data)
    frames = PoseFrames.load(data, args.every)
    if 0 < args.frames < len(frames):
        frames = frames.pick(torch.linspace(0, len(frames) - 1, args.frames).long())
    body = BodyModel.load(device=args.device)
    sweep = Sweep(load_weights(args.weights, args.device), body, frames.rotations.float(), args.steps, args.seed)
    figures = measure(sweep)
    print("\n".join(table(figures["rows"])))
    if not args.no_page:
        print(f"wrote {write_page(figures, sweep, data, args.device)}")
    end_with_json(args, figures)


if __name__ == "__main__":
    main()
