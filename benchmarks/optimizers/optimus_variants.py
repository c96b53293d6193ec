"""Optimus and its variants, each trained for the same processor time: ``python -m benchmarks.optimus_variants``.

Three questions are answered on validation dimensions above those trained: what memory, quasi-Newton step, safeguard,
preconditioner and encoders are worth (the ablations of the paper's table 4), in which order B is used and by what it is
divided, and what PES brings beside truncated backpropagation. All variants see the same problems from
the same seed and are trained by ``training.optim``'s recipe, only shorter. Runs are kept one by one in
``benchmarks/results/optimus_variants.jsonl``: a second call goes on with what is missing, and several calls with
``--only`` share the work.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tqdm import tqdm

from benchmarks.optimizers.optimus_variants_page import write_page
from benchmarks.page.command import benchmark_parser, shared_options
from benchmarks.page.report import commit, page_arguments, today
from diffmocap.optim.stopping import Budget
from diffmocap.optim.weights import build
from training.optim.problems import TRAINED, MixedProblems
from training.optim.trainer import MetaRecipe, MetaTrainer

RESULTS = Path(__file__).parents[1] / "results"
RUNS = RESULTS / "optimus_variants.jsonl"
#: Iterations whose best values are kept, and the most decades that a run may count for.
ITERATIONS, MOST_DECADES = (10, 30, 100), 14.0
#: Dimensions of validation: above the 2 to 100 of training, and none of the test's.
DIMENSIONS = (150, 220)
#: Optimus with the supplement's features alone, and with what was added before pairs, or with all of it but one part.
PAPER_FEATURES = {"features": {"memory": False}, "lambda_a": 0.1, "quasi_newton": False, "safeguard": False}
NO_PAIRS = {"features": {"memory": True}, "quasi_newton": False}
#: Adafactor MLP with Optimus' features and units.
REMEMBERING = {"features": {"memory": True, "pairs": 16}, "lambda_a": 1.0}

#: Changes of the recipe. Pieces of PES are the paper's, with two antithetic pairs.
METHODS = {
    "single steps": {"truncation": 1}, "four steps": {"truncation": 4, "shortest": 4},
    "PES": {"method": "pes", "truncation": 5, "shortest": 5},
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """``kind`` and ``settings`` of the network; ``methods``, of :data:`METHODS`, share the time equally, one by one."""

    group: str
    kind: str = "optimus"
    settings: dict = field(default_factory=dict)
    methods: tuple[str, ...] = ("single steps",)


VARIANTS = {
    "Optimus": Variant("ablation"),
    "Optimus, no state": Variant("ablation", settings={"state": False}),
    "Optimus, no structure": Variant("ablation", settings={"structure": False}),
    "Optimus, no quasi-Newton step": Variant("ablation", settings={"quasi_newton": False}),
    "Optimus, no safeguard": Variant("ablation", settings={"safeguard": False}),
    "Optimus, no pairs": Variant("ablation", settings=NO_PAIRS),
    "Optimus, no pairs and no safeguard": Variant("ablation", settings={**NO_PAIRS, "safeguard": False}),
    "Adafactor MLP 512x4, with memory": Variant("ablation", "adafactor_mlp", {"width": 512, **REMEMBERING}),
    "Adafactor MLP 128x4, with memory": Variant("ablation", "adafactor_mlp", REMEMBERING),
    "Optimus, the paper's features": Variant("paper", settings=PAPER_FEATURES),
    "Optimus, the paper's features, no state": Variant("paper", settings={**PAPER_FEATURES, "state": False}),
    "Optimus, the paper's features, no structure": Variant("paper", settings={**PAPER_FEATURES, "structure": False}),
    "Adafactor MLP 512x4, the paper's features": Variant("paper", "adafactor_mlp", {"width": 512}),
    "Adafactor MLP 128x4, the paper's features": Variant("paper", "adafactor_mlp"),
    "use first, bound": Variant("B", settings={"order": "use_first"}),
    "update first, rms": Variant("B", settings={"norm": "rms"}),
    "update first, mean": Variant("B", settings={"norm": "mean"}),
    "the paper's text: use first, Frobenius, sum": Variant(
        "B", settings={"order": "use_first", "norm": "frobenius", "factor_scale": "sum"}
    ),
    "the paper's algorithm 1: update first, no norm, sum": Variant(
        "B", settings={"norm": "none", "factor_scale": "sum"}
    ),
    "backpropagation through four steps": Variant("method", methods=("four steps",)),
    "PES": Variant("method", methods=("PES",)),
    "backpropagation, then PES": Variant("method", methods=("single steps", "PES")),
}  # fmt: skip


def train(variant: Variant, minutes: float, seed: int) -> MetaTrainer:
    """The variant after so many minutes of processor time; its averaged weights are ``ema``."""
    torch.manual_seed(seed)
    optimizer = build(variant.kind, variant.settings).requires_grad_(True)
    recipe = MetaRecipe(steps=10**9, minutes=minutes / len(variant.methods), seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        for method in variant.methods:
            trainer = MetaTrainer(replace(recipe, **METHODS[method]), optimizer, MixedProblems(batch=1), Path(folder))
            while trainer.progress < 1:
                trainer.train_step()
            optimizer = trainer.ema.requires_grad_(True)
    return trainer


def decades(trainer: MetaTrainer, starts: int = 4) -> dict[str, dict[str, float]]:
    """Decades that the excess has fallen by after some iterations, mean over dimensions and starts, by function."""
    total = {name: {str(k): 0.0 for k in ITERATIONS} for name in TRAINED}
    for dimension in DIMENSIONS:
        task, x = MixedProblems(smallest=dimension, largest=dimension, batch=starts)(
            torch.Generator().manual_seed(4242 + dimension)
        )
        result = trainer.ema.minimize(task, x, Budget(iterations=max(ITERATIONS)))
        share = (result.best_so_far() / result.losses[0]).clamp_min(10**-MOST_DECADES)
        fallen = -share.log10().unflatten(1, (len(TRAINED), starts)).mean(-1)
        for i, name in enumerate(TRAINED):
            for k in ITERATIONS:
                total[name][str(k)] += float(fallen[k, i]) / len(DIMENSIONS)
    return total


def done(path: Path = RUNS) -> list[dict]:
    """Runs that were kept."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def main(arguments: list[str] | None = None) -> None:
    p = benchmark_parser(__doc__)
    p.add_argument("--minutes", type=float, default=2.5, help="processor time of each training (default %(default)s)")
    p.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each (default %(default)s)")
    p.add_argument("--only", nargs="+", choices=list(VARIANTS), metavar="VARIANT", help="these variants (default: all)")
    p.add_argument("--page", action="store_true", help="train nothing, write the page from the runs that were kept")
    shared_options(p, "out")
    args = page_arguments(p, arguments)
    if not args.page:
        torch.set_num_threads(1)
        had = {(run["variant"], run["seed"], run["minutes"]) for run in done()}
        wanted = [(name, seed) for seed in args.seeds for name in (args.only or VARIANTS)]
        wanted = [(name, seed) for name, seed in wanted if (name, seed, args.minutes) not in had]
        for name, seed in tqdm(wanted, unit="run", dynamic_ncols=True):
            trainer = train(VARIANTS[name], args.minutes, seed)
            run = {
                "variant": name, "seed": seed, "minutes": args.minutes, "steps": trainer.step,
                "weights": trainer.optimizer.theta.numel(), "decades": decades(trainer), "date": today(),
                "commit": commit(),
            }  # fmt: skip
            with RUNS.open("a") as f:
                f.write(json.dumps(run) + "\n")
    runs = [run for run in done() if run["minutes"] == args.minutes]
    if not runs:
        raise SystemExit(f"no run of {args.minutes} minutes is kept in {RUNS}; train first, without --page")
    print(write_page(runs, {name: v.group for name, v in VARIANTS.items()}, args.out))


if __name__ == "__main__":
    main()
