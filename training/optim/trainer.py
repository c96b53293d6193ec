"""State of a meta-training run: the learned optimizer, its episodes, its descent; a step, a checkpoint."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from diffmocap.errors import SettingsError
from diffmocap.optim.learned import LearnedOptimizer
from diffmocap.optim.stopping import Budget
from diffmocap.optim.weights import save_optimizer
from training.optim.descent import DESCENTS, Descent
from training.optim.episodes import Episode, PieceByPiece, backpropagated, meta_loss, side_by_side, supervised
from training.optim.pes import pes_gradient, without_finished
from training.optim.problems import Problems
from training.ranks import Ranks

METHODS = ("pes", "truncated", "supervised")


@dataclass(frozen=True)
class MetaRecipe:
    """What decides a run besides network and problems. Learning rate and clipping are the paper's (supplement 2).

    Attributes:
        method: ``truncated`` for truncated backpropagation, ``pes``, or ``supervised`` for backpropagation of the error
            of whole runs, where the task knows the truth.
        descent: ``adam``, the paper's, or ``muon``, see :mod:`training.optim.descent`.
        steps: of the descent. minutes: 0, or the run ends with so many minutes of processor time of one process, which
            no other work on the machine shortens; resumed runs add up.
        pairs: runs (pairs of them for PES) of one process; each has a problem of its own.
        truncation: steps of a piece. With backpropagation single steps are better in a run's first iterations and as
            good later, for the same time (``benchmarks.optimus_variants``). PES wants several.
        shortest, longest: steps of a run, log-uniform; of each process's first runs a part is left out, so that they do
            not end together.
        second_order: truncated backpropagation goes through the gradients that the optimizer sees, too.
        sigma: standard deviation of PES's perturbations.
        clip_norm: of gradients, the paper's. clip_ratio: they are also held below this many times the geometric mean of
            the norms of late: clipped at 3 alone, the few that explode fill Adam's second moments and shrink all steps.
        decay_share: over this last share of the run the learning rate falls to zero along a cosine.
    """

    method: str = "truncated"
    descent: str = "adam"
    steps: int = 10_000
    minutes: float = 0.0
    pairs: int = 2
    truncation: int = 1
    shortest: int = 2
    longest: int = 200
    second_order: bool = True
    sigma: float = 0.01
    learning_rate: float = 5e-4
    clip_norm: float = 3.0
    clip_ratio: float = 4.0
    decay_share: float = 0.3
    ema_decay: float = 0.995
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SettingsError(f"unknown method {self.method!r}; one of {', '.join(METHODS)}")
        if self.descent not in DESCENTS:
            raise SettingsError(f"unknown descent {self.descent!r}; one of {', '.join(DESCENTS)}")
        if min(self.pairs, self.truncation, self.steps) < 1 or not self.sigma > 0:
            raise SettingsError(f"pairs, truncation, steps and sigma must be positive, got {self}")
        if not self.truncation <= self.shortest <= self.longest:
            raise SettingsError(f"runs must be at least one truncation long, and longest >= shortest; got {self}")


class MetaTrainer:
    """One process's part of a run; over the processes theta is equal, problems and perturbations are not."""

    def __init__(
        self, recipe: MetaRecipe, optimizer: LearnedOptimizer, problems: Problems, out: Path, ranks: Ranks | None = None
    ) -> None:
        if getattr(problems, "differentiable_once", False) and recipe.truncation > 1 and recipe.second_order:
            raise SettingsError("a simulation is differentiable once: pieces of several steps want second_order=False")
        if recipe.method == "supervised" and not getattr(problems, "truth_known", False):
            raise SettingsError("supervised training wants problems whose truth is known: fits")
        self.recipe, self.out, self.ranks = recipe, out, ranks or Ranks()
        self.problems, self.optimizer = problems, optimizer.to(self.ranks.device)
        self.ranks.follow_first(self.optimizer.state_dict().values())
        self.ema = copy.deepcopy(self.optimizer).requires_grad_(False)
        self.generator = torch.Generator().manual_seed(self.ranks.seed(recipe.seed))
        self.descent = Descent(recipe.descent, self.optimizer, recipe.learning_rate)
        self.step, self.seconds, self.best, self.history = 0, 0.0, math.inf, []
        self.progress, self.log_norm = 0.0, math.log(recipe.clip_norm)
        self.pieces = PieceByPiece(self.optimizer, recipe.truncation)
        self.restart()

    def restart(self) -> None:
        """Begins all episodes anew, each some way into its length."""
        whole = self.recipe.method == "supervised"  # whole runs leave nothing for the next step
        self.episodes = [] if whole else [self._begin(first=True) for _ in range(self.recipe.pairs)]
        self.opposite = list(self.episodes)  # the negative halves of PES start from the same states
        count = sum(p.numel() for p in self.optimizer.parameters())
        self.accumulators = torch.zeros(self.recipe.pairs, count, device=self.ranks.device)

    def _horizon(self) -> float:
        low, high = math.log(self.recipe.shortest), math.log(self.recipe.longest)
        return math.exp(low + (high - low) * torch.rand((), generator=self.generator).item())

    def _begin(self, first: bool = False) -> Episode:
        c, (task, x) = self.recipe, self.problems(self.generator)
        horizon = self._horizon()
        if first:
            horizon *= torch.rand((), generator=self.generator).item()
        pieces = max(1, round(horizon / c.truncation))
        with torch.no_grad():
            return Episode.begin(self.optimizer, task, x.to(self.ranks.device), pieces * c.truncation)

    def train_step(self) -> dict[str, float]:
        """One piece of every episode and one step of theta along the mean gradient of all processes."""
        c, begin = self.recipe, time.process_time()
        self.optimizer.zero_grad(set_to_none=True)
        loss = {"pes": self._pes, "truncated": self._truncated, "supervised": self._supervised}[c.method]()
        for p in self.optimizer.parameters():  # an exploded piece must not end the run
            p.grad = torch.zeros_like(p) if p.grad is None else torch.nan_to_num(p.grad, 0.0, 0.0, 0.0)
        self.ranks.average_gradients(self.optimizer.parameters())
        norm = self._clip()
        self.descent.step(self.learning_rate())
        self.step += 1
        with torch.no_grad():
            decay = min(c.ema_decay, self.step / (self.step + 10))
            for mean, p in zip(self.ema.parameters(), self.optimizer.parameters()):
                mean.lerp_(p, 1 - decay)
        self.seconds += time.process_time() - begin
        self.progress = self._share_done()
        return {"meta_loss": float(self.ranks.mean(loss)), "gradient_norm": float(norm)}

    def _clip(self) -> torch.Tensor:
        """Clips the gradients; returns the norm that they had."""
        c, usual = self.recipe, math.exp(self.log_norm)
        limit = min(c.clip_norm, c.clip_ratio * usual)
        norm = torch.nn.utils.clip_grad_norm_(self.optimizer.parameters(), limit)
        kept = min(max(float(norm), 1e-12), limit)
        self.log_norm += 0.02 * (math.log(kept) - self.log_norm)
        return norm

    def draw_noise(self) -> torch.Tensor:
        """PES's perturbations of one piece [pairs, D]."""
        shape = self.accumulators.shape
        return self.recipe.sigma * torch.randn(shape, generator=self.generator).to(self.accumulators)

    def _pes(self) -> torch.Tensor:
        theta = self.optimizer.theta
        result = pes_gradient(
            self.pieces, theta, self.episodes + self.opposite, self.accumulators, self.draw_noise(), self.recipe.sigma
        )
        pairs = self.recipe.pairs
        self.episodes, self.opposite = result.states[:pairs], result.states[pairs:]
        finished = torch.tensor([e.left <= 0 for e in self.episodes], device=theta.device)
        self.accumulators = without_finished(result.accumulators, finished)
        for i in finished.nonzero()[:, 0].tolist():
            self.episodes[i] = self.opposite[i] = self._begin()
        set_gradient(self.optimizer, result.gradient)
        return result.losses.mean()

    def _truncated(self) -> torch.Tensor:
        c, together = self.recipe, getattr(self.problems, "together", None)
        if together and c.truncation == 1:
            loss, episodes = side_by_side(self.optimizer, self.episodes, together)
        else:
            loss, episodes = backpropagated(self.optimizer, self.episodes, c.truncation, c.second_order)
        self.episodes = [self._begin() if e.left <= 0 else e for e in episodes]
        return torch.as_tensor(loss)

    def _supervised(self) -> torch.Tensor:
        total, pairs = torch.zeros((), device=self.ranks.device), self.recipe.pairs
        for _ in range(pairs):
            task, x = self.problems(self.generator)
            total = total + supervised(self.optimizer, task, x.to(self.ranks.device), round(self._horizon()))
        for p in self.optimizer.parameters():
            p.grad /= pairs
        return total / pairs

    def _share_done(self) -> float:
        """Share of the run that is done, by the first process's count: all decide alike."""
        c = self.recipe
        if not c.minutes:
            return self.step / c.steps
        seconds = torch.tensor(self.seconds, dtype=torch.float64, device=self.ranks.device)
        self.ranks.follow_first([seconds])
        return float(seconds) / (60 * c.minutes)

    def learning_rate(self) -> float:
        """Constant, then falling along a cosine."""
        c = self.recipe
        left = (1 - self.progress) / c.decay_share if c.decay_share else 1.0
        return c.learning_rate * (0.5 - 0.5 * math.cos(math.pi * min(1.0, max(left, 0.0))))

    def validate(self, problems: Problems, count: int = 16, iterations: int = 100, seed: int = 12345) -> float:
        """Mean meta-loss over the runs of the averaged weights on problems that are the same every time; for supervised
        runs the mean error where they end."""
        generator, values = torch.Generator().manual_seed(seed), []
        for _ in range(count):
            task, x = problems(generator)
            result = self.ema.minimize(task, x.to(self.ranks.device), Budget(iterations=iterations))
            if self.recipe.method == "supervised":
                values.append(float(task.error(result.last).mean()))
                continue
            run = [meta_loss(task, loss, result.losses[0]) for loss in result.best_so_far()]
            values.append(float(torch.stack(run).mean()))
        value = sum(values) / count
        self.history.append({"step": self.step, "minutes": round(self.seconds / 60, 2), "validation": value})
        if value < self.best:
            self.best = value
            self.out.mkdir(parents=True, exist_ok=True)
            save_optimizer(self.ema, self.out / "best.safetensors", self.history[-1])
        return value

    def save(self) -> None:
        """Writes ``checkpoint.pt``, ``last.safetensors`` (averaged weights) and ``recipe.json``; first process only."""
        if not self.ranks.first:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "optimizer": self.optimizer.state_dict(), "ema": self.ema.state_dict(),
            "descent": self.descent.state_dict(), "step": self.step, "seconds": self.seconds,
            "log_norm": self.log_norm, "best": self.best, "history": self.history,
        }  # fmt: skip
        partial = self.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.out / "checkpoint.pt")
        save_optimizer(self.ema, self.out / "last.safetensors", {"step": self.step})
        (self.out / "recipe.json").write_text(json.dumps(asdict(self.recipe), indent=1) + "\n")

    def resume(self) -> bool:
        """Continues from ``checkpoint.pt`` if there is one. Episodes begin anew, with zero accumulators: the estimate
        stays unbiased, and nothing of a problem need be written."""
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self.ranks.device, weights_only=True)
        try:
            self.optimizer.load_state_dict(state["optimizer"])
        except RuntimeError as e:
            raise SettingsError(
                f"{path} belongs to another network: resume with its settings, or give another --out"
            ) from e
        self.ema.load_state_dict(state["ema"])
        # Runs from before there was a choice have Adam's state alone.
        self.descent.load_state_dict(state["descent"] if "descent" in state else [state["adam"]])
        self.step, self.seconds, self.log_norm = state["step"], state["seconds"], state["log_norm"]
        self.best, self.history = state["best"], state["history"]
        self.progress = self._share_done()
        self.generator.manual_seed(self.ranks.seed(self.recipe.seed) + 7919 * self.step)
        self.restart()
        return True


def set_gradient(module: torch.nn.Module, gradient: torch.Tensor) -> None:
    """Splits a gradient [D] over the parameters of a module, in the order of ``parameters_to_vector``."""
    grads = [torch.empty_like(p) for p in module.parameters()]
    vector_to_parameters(gradient, grads)
    for p, g in zip(module.parameters(), grads):
        p.grad = g


def flat_gradient(module: torch.nn.Module) -> torch.Tensor:
    """The inverse of :func:`set_gradient`: [D]."""
    return parameters_to_vector([p.grad for p in module.parameters()])
