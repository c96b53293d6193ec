"""The paper's MLP beside its transformer, with both objectives: ``python -m benchmarks.denoisers RUN ...``.

Each RUN is a folder of ``training.lifting``; train them with the same steps and recipe, with ``--architecture`` and
``--parameterisation`` apart (the page lists the commands). Measures the averaged weights under the paper's protocol on
the validation split, where the objective of each network is chosen, and on the test split. A run's figures are kept in
its folder and measured again only where its weights have changed. With ``--everywhere`` guidance acts at every step, as
in the paper, instead of in the interval. Learning curves are those that the runs recorded, of their averaged
weights at w = 0. Writes a dated page with plots and the raw figures to ``benchmarks/results``.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmarks.lifting.pixel_alignment import WEIGHTS, measure
from benchmarks.page.command import benchmark_parser, clips_option, shared_options
from benchmarks.page.report import RESULTS, Page, mocap_file, page_arguments, provenance
from diffmocap.lifting.sampling.guidance import EVERYWHERE, GUIDANCE_INTERVAL
from diffmocap.resources import sha256_of
from training.manifest import without_folders

#: Table 1 of the paper, over w; its own data and framing.
PAPER = {"mlp": (0.382, 0.223, 0.241), "transformer": (0.080, 0.068, 0.058)}
KEYS = tuple(f"{w:.1f}" for w in WEIGHTS)


def learning_curve(run: Path) -> list[tuple[int, float]]:
    """Steps and validation errors at w = 0 that a run recorded; none where its checkpoint is gone."""
    if not (run / "checkpoint.pt").is_file():
        return []
    history = torch.load(run / "checkpoint.pt", map_location="cpu", weights_only=True)["history"]
    return [(of["step"], of["pixel_error_w0"]) for of in history]


def figures_of(run: Path, splits: dict[str, Path], frames: int, device: str, everywhere: bool = False) -> dict:
    """What the run is, and its figures on each split."""
    weights = run / "lifting.safetensors"
    kept = run / f"figures-{frames}{'-everywhere' if everywhere else ''}.json"
    sha = sha256_of(weights)
    config = json.loads((run / "config.json").read_text())
    recipe, model = config["recipe"], config["recipe"]["model"]
    if kept.is_file() and (found := json.loads(kept.read_text()))["weights_sha256"] == sha:
        return found | {"learning_rate": recipe["learning_rate"]}
    found = {
        "architecture": model.get("architecture", "transformer"), "parameterisation": model["parameterisation"],
        "parameters": config["parameters"], "steps": recipe["steps"], "batch": recipe["batch"],
        "learning_rate": recipe["learning_rate"],
        "command": config["command"], "commit": config["commit"], "weights_sha256": sha,
        "learning_curve": learning_curve(run), "everywhere": everywhere,
    }  # fmt: skip
    wanted = ("frames", "pixel_error", "pixel_error_standard_error", "mpjpe_mm")
    for split, data in splits.items():
        interval = EVERYWHERE if everywhere else GUIDANCE_INTERVAL
        figures = measure(str(weights), data, 5, frames, 50, 0, device, interval)
        found[split] = {key: figures[key] for key in wanted}
    kept.write_text(json.dumps(found) + "\n")
    return found


def chosen(runs: list[dict], architecture: str) -> dict:
    """The network's run with the lowest validation error over the guidance weights."""
    of = [run for run in runs if run["architecture"] == architecture]
    return min(of, key=lambda run: min(run["val"]["pixel_error"].values()))


def row(run: dict, best: bool) -> str:
    """One line of the table; what was chosen on the validation split in bold."""
    mark = "**" if best else ""
    cells = [f"{run['val']['pixel_error'][k]:.4f}" for k in KEYS]
    cells += [
        f"{mark}{run['test']['pixel_error'][k]:.4f} ± {run['test']['pixel_error_standard_error'][k]:.4f}{mark}"
        for k in KEYS
    ]
    cells += [f"{run['test']['mpjpe_mm'][k]:.0f}" for k in KEYS]
    name = f"{run['architecture']}, {run['parameters'] / 1e6:.1f}M"
    return (
        f"| {name} | {run['parameterisation']} | {run['steps']} | {run['batch']} | {run['learning_rate']:g} | "
        + " | ".join(cells)
        + " |"
    )


def plot(runs: list[dict], path: Path) -> None:
    """Test error over w."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.8))
    for run in runs:
        axes.errorbar(
            WEIGHTS, [run["test"]["pixel_error"][k] for k in KEYS],
            [run["test"]["pixel_error_standard_error"][k] for k in KEYS], capsize=3, marker="o",
            color="C0" if run["architecture"] == "transformer" else "C1",
            linestyle="--" if run["parameterisation"] == "epsilon" else "-",
            label=f"{run['architecture']}, {run['parameters'] / 1e6:.1f}M, {run['parameterisation']}, "
            f"{run['steps']} steps at {run['learning_rate']:g}",
        )  # fmt: skip
    for name, errors in PAPER.items():
        axes.plot(WEIGHTS, errors, marker="s", markersize=4, color="0.6", linewidth=0.8)
        place = WEIGHTS[0], errors[0]
        axes.annotate(f" the paper's {name}", place, ha="left", va="bottom", color="0.4", fontsize=8)
    axes.set(xlabel="guidance weight w", ylabel="pixel alignment error, test", yscale="log", title="Lower is better")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def plot_learning(runs: list[dict], path: Path) -> None:
    """Validation error over training steps."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.8))
    for run in runs:
        steps, errors = zip(*run["learning_curve"], strict=True)
        axes.plot(
            steps, errors, marker=".", color="C0" if run["architecture"] == "transformer" else "C1",
            linestyle="--" if run["parameterisation"] == "epsilon" else "-",
            label=f"{run['architecture']}, {run['parameterisation']}, {run['steps']} steps at {run['learning_rate']:g}",
        )  # fmt: skip
    axes.set(xlabel="training steps", ylabel="pixel alignment error, validation, w = 0", yscale="log")
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def write_page(runs: list[dict], device: str) -> Path:
    """The page, its plots and the raw figures."""
    everywhere = any(run.get("everywhere") for run in runs)
    page = Page.of_today("denoisers-everywhere" if everywhere else "denoisers", RESULTS)
    page.beside(".json").write_text(without_folders(json.dumps(runs, indent=1)) + "\n")
    plot(runs, page.beside(".png"))
    learning = []
    if learned := [run for run in runs if run.get("learning_curve")]:
        plot_learning(learned, page.beside("-learning.png"))
        learning = [f"![error over training steps]({page.name}-learning.png)", ""]
    best = [chosen(runs, architecture) for architecture in dict.fromkeys(run["architecture"] for run in runs)]
    frames = f"{runs[0]['val']['frames']} frames of validation, {runs[0]['test']['frames']} of test"
    lines = [
        "# The paper's two networks under one recipe", "", *provenance("benchmarks.denoisers", frames, device), "",
        "| network | predicts | steps | batch | learning rate | " + " | ".join(f"val w = {k}" for k in KEYS) + " | "
        + " | ".join(f"test w = {k}" for k in KEYS) + " | " + " | ".join(f"MPJPE mm w = {k}" for k in KEYS) + " |",
        "|---|---|---:|---:|---:|" + "---:|" * 9,
        *[row(run, run in best) for run in runs],
        *[f"| the paper's {n} | epsilon | | | | | | | {' | '.join(f'{e:.3f}' for e in errors)} | | | |"
          for n, errors in PAPER.items()],
        "", "Pixel alignment error under the paper's protocol (see the page of `benchmarks.pixel_alignment`); bold is "
        "the objective that was chosen on the validation split. The paper's figures are on its own data and framing. "
        f"Guidance acts {'at every step' if everywhere else 'at noise-to-signal ratios from 0.3 to 0.7'}.",
        "",
        f"![error against guidance]({page.name}.png)", "", *learning, "Trained by:", "",
        *[f"    {without_folders(run['command'])}" for run in runs],
    ]  # fmt: skip
    return page.write(lines)


def main() -> None:
    parser = benchmark_parser(__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders of training.lifting")
    clips_option(parser, "val", "--val", what="validation clips")
    clips_option(parser, "test", "--test", what="test clips")
    parser.add_argument("--frames", type=int, default=256, help="evenly spaced frames of each split (0: every fifth)")
    parser.add_argument("--everywhere", action="store_true", help="guidance at every step, as in the paper")
    shared_options(parser, "device")
    args = page_arguments(parser)
    splits = {"val": mocap_file("val", args.val), "test": mocap_file("test", args.test)}
    runs = []
    for run in args.runs:
        runs.append(figures_of(run, splits, args.frames, args.device, args.everywhere))
        print(run, json.dumps({split: runs[-1][split]["pixel_error"] for split in splits}), flush=True)
    print(f"wrote {write_page(runs, args.device)}")


if __name__ == "__main__":
    main()
