"""How much ``benchmarks.refinement`` measures, and with which weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.optimizers.learned import PLAIN_STEP
from benchmarks.page.report import REPOSITORY
from benchmarks.refinement.scores import BFGS
from benchmarks.refinement.solvers import ADAFACTOR_MLP, ADAM, LBFGS, MOMENTUM, OPTIMUS, Solver, searching

LOSSES = ("window", "diffphy")
SOLVERS = (BFGS, LBFGS, ADAM, MOMENTUM, PLAIN_STEP, ADAFACTOR_MLP, OPTIMUS)
#: Pairs of the step of which nothing is learned: as many as the shipped Optimus of each loss stores.
PAIRS = {"window": 16, "diffphy": 100}
#: Those of a full run, which takes hours with them; momentum is asked for by name.
USUAL = tuple(name for name in SOLVERS if name != MOMENTUM)
#: Weights by solver: those trained on a loss, and what stands in until there are any, trained on classical functions.
WEIGHTS = {
    OPTIMUS: ("optimus_{loss}.safetensors", "optimus.safetensors"),
    ADAFACTOR_MLP: ("adafactor_mlp_{loss}.safetensors", "adafactor_mlp_128x4.safetensors"),
}
#: The paper's table 4, top: its networks, trained with equal numbers of steps. Without state nothing of the curvature
#: goes from one iteration to the next: B is made from scratch, and there are neither pairs nor secants nor a safeguard;
#: what is left are the paper's features, which all rows but the first have. Without structure the encoders alone make
#: the step.
ABLATIONS = {
    OPTIMUS: "optimus_{loss}.safetensors", "Optimus, no state": "optimus_no_state_{loss}.safetensors",
    "Optimus, no structure": "optimus_no_structure_{loss}.safetensors",
    "Adafactor MLP 512x4": "adafactor_mlp_512x4_{loss}.safetensors",
    "Adafactor MLP 128x4": "adafactor_mlp_{loss}.safetensors",
}  # fmt: skip
#: Learning rates for runs that do not tune. On walks of the held-out subject: Adam's for windows after 100 evaluations
#: of 16; for DiffPhy the best of 0.01, 0.02, 0.04 and 0.08 for four clips of a second after 50. Momentum's for windows
#: comes from runs of 8 evaluations, the one for DiffPhy is not chosen: tune where momentum counts.
RATES = {"window": {ADAM: 0.32, MOMENTUM: 1e-2}, "diffphy": {ADAM: 0.02, MOMENTUM: 3e-4}}


@dataclass(frozen=True)
class Amounts:
    """What is measured of one loss.

    Attributes:
        cuts: in domain and out of it at most, so many a take. timed: of those in domain. cap: evaluations of a run.
        held_out: cuts of the held-out subject, for learning rates and filters. tune: whether rates are chosen now.
        long: 3 s clips in PyBullet, in domain and out of it; long_evaluations: of each stage, or of a long window.
    """

    cuts: tuple[int, int]
    a_take: int
    timed: int
    cap: int
    held_out: int
    tune: bool
    long: tuple[int, int]
    long_evaluations: int


FULL = {
    "window": Amounts((24, 16), 2, 8, 100, 16, True, (5, 3), 100),
    "diffphy": Amounts((17, 41), 1, 2, 100, 2, False, (8, 4), 80),
}
QUICK = {
    "window": Amounts((3, 2), 1, 1, 100, 3, False, (1, 0), 60),
    "diffphy": Amounts((2, 1), 1, 1, 50, 2, False, (1, 0), 20),
}
#: So little that a minute is enough: to see that everything runs.
SMALLEST = {
    "window": Amounts((2, 1), 1, 1, 8, 1, False, (1, 0), 8),
    "diffphy": Amounts((1, 1), 1, 1, 3, 1, False, (1, 0), 2),
}


@dataclass(frozen=True)
class Settings:
    """Of a run: amounts by loss, folder of weights, of data, solvers that take part, whose motions are called *after*,
    and the seed; ``seconds`` of PyBullet's clips. ``notes`` gather what the page must say."""

    amounts: dict[str, Amounts]
    weights: Path = REPOSITORY / "models"
    data: Path | None = None
    solvers: tuple[str, ...] = USUAL
    after: str = OPTIMUS
    seed: int = 0
    seconds: float = 3.0
    notes: list[str] = field(default_factory=list)

    def weights_of(self, name: str, loss: str) -> Path:
        """The file of a learned solver for a loss.

        Raises:
            SystemExit: neither weights for the loss nor those that stand in.
        """
        own, instead = (self.weights / file.format(loss=loss) for file in WEIGHTS[name])
        if own.is_file():
            return own
        if not instead.is_file():
            raise SystemExit(f"no weights of {name} for {loss}: neither {own} nor {instead}; train some with "
                             "`python -m training.optim`, or name their folder with --weights")  # fmt: skip
        self.notes.append(f"{name} on {loss}: `{instead.name}`, not trained on this loss; `{own.name}` is missing")
        return instead

    def learned(self, loss: str) -> list[Solver]:
        """Learned solvers that take part."""
        return [Solver.learned(name, self.weights_of(name, loss)) for name in WEIGHTS if name in self.solvers]

    def chosen(self, loss: str, rates: dict[str, float]) -> list[Solver]:
        """All that take part, BFGS first: everything is relative to it."""
        line_search = [s for s in searching() if s.name == BFGS or s.name in self.solvers]
        first_order = [Solver.with_rate(name, rate) for name, rate in rates.items() if name in self.solvers]
        plain = [Solver.plain_step(PAIRS[loss])] if PLAIN_STEP in self.solvers else []
        return line_search + first_order + plain + self.learned(loss)
