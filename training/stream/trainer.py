"""State of a run: the network, its walk, its descent; a step, a validation, a checkpoint."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from diffmocap.errors import SettingsError
from diffmocap.refinement.stream.optimus.network import StreamOptimus, StreamOptimusSettings
from diffmocap.refinement.stream.optimus.weights import save_stream_optimus
from diffmocap.refinement.stream.settings import LiveSettings
from diffmocap.refinement.window.body_points import BodyPoints
from training.motions.live_streams import FPS, LiveStream
from training.optim.descent import Descent
from training.ranks import Ranks
from training.stream.episodes import LOST, WITHOUT_GROUND, Episode
from training.stream.walk import Walk

#: Added to a loss, to an error [m] and to its acceleration [m/s^2] before their logarithm.
_LEAST, _LEAST_M, _LEAST_M_S2 = 0.1, 0.005, 1.0


@dataclass(frozen=True)
class StreamRecipe:
    """What decides a run besides network and streams.

    Attributes:
        minutes: of processor time of one process; resumed runs add up. batch: episodes of one process.
        piece: frames that a gradient goes through. shortest, longest: frames of an episode.
        most_steps: of a frame; how many is drawn at random, for all episodes of a batch alike.
        early: weight of the losses after steps that are not a frame's last, beside 1 of that.
        truth: weight of the logarithm of the newest frame's error, which is what is published, beside that of the loss.
        smooth: weight of the logarithm of that error's acceleration, which is jitter.
        clip_norm: of gradients. skip_ratio: beyond this many times the geometric mean of the norms of late a gradient
            is left out, since what explodes on its way back through several frames points nowhere.
        decay_share: over this last share of the run the learning rate falls to zero along a cosine.
    """

    minutes: float = 180.0
    batch: int = 8
    piece: int = 4
    shortest: int = 30
    longest: int = 90
    most_steps: int = 6
    early: float = 0.3
    truth: float = 1.0
    smooth: float = 0.2
    learning_rate: float = 1e-3
    clip_norm: float = 1.0
    skip_ratio: float = 8.0
    decay_share: float = 0.4
    ema_decay: float = 0.995
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.batch, self.piece, self.most_steps) < 1 or not self.minutes > 0:
            raise SettingsError(f"minutes, batch, piece and most_steps must be positive, got {self}")
        if not 1 <= self.shortest <= self.longest:
            raise SettingsError(f"episodes need at least a frame, and longest >= shortest; got {self}")


class StreamTrainer:
    """One process's part of a run."""

    def __init__(
        self, recipe: StreamRecipe, network: StreamOptimus, streams: list[LiveStream], points: BodyPoints, out: Path,
        ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.network, self.out, self.ranks = recipe, network, out, ranks or Ranks()
        self.streams, self.points, self.settings = streams, points, LiveSettings()
        self.ranks.follow_first(network.state_dict().values())
        self.ema = copy.deepcopy(network).requires_grad_(False)
        self.descent = Descent("adam", network, recipe.learning_rate)
        self.step, self.seconds, self.best, self.history = 0, 0.0, math.inf, []
        self.usual_norm = 0.0
        self.restart()

    def restart(self) -> None:
        """Begins all episodes anew."""
        self.generator = torch.Generator().manual_seed(self.ranks.seed(self.recipe.seed) + 7919 * self.step)
        self.budgets = torch.Generator().manual_seed(self.recipe.seed + 7919 * self.step)  # alike in all processes
        self.walk = Walk(self._begin, self.recipe.batch, self.network.settings.factors)

    def _begin(self) -> Episode:
        u = torch.rand(5, generator=self.generator).tolist()
        stream = self.streams[int(u[0] * len(self.streams))]
        frames = round(self.recipe.shortest + u[1] * (self.recipe.longest - self.recipe.shortest))
        begin = int(u[2] * max(len(stream.frames) - frames, 0))
        return Episode(
            stream, self.points, self.settings, begin, frames, u[3] > WITHOUT_GROUND, LOST, int(1e6 * u[4])
        )  # fmt: skip

    @property
    def progress(self) -> float:
        """Share of the run that is done."""
        return self.seconds / (60.0 * self.recipe.minutes)

    def learning_rate(self) -> float:
        """Constant, then falling along a cosine."""
        left = (1.0 - self.progress) / max(self.recipe.decay_share, 1e-9)
        return self.recipe.learning_rate * (0.5 - 0.5 * math.cos(math.pi * min(1.0, max(left, 0.0))))

    def train_step(self) -> dict[str, float]:
        """A piece of every episode, and a step of the weights."""
        c = self.recipe
        total, found = self._piece()
        total.backward()
        self.ranks.average_gradients(self.network.parameters())
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), c.clip_norm)
        if self._trusted(float(norm)):
            self.descent.step(self.learning_rate())
        self.network.zero_grad(set_to_none=True)
        with torch.no_grad():
            for kept, new in zip(self.ema.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1.0 - min(c.ema_decay, (1.0 + self.step) / (10.0 + self.step)))
        self.step += 1
        return found | {"norm": min(float(norm), 1e3)}

    def _piece(self) -> tuple[torch.Tensor, dict[str, float]]:
        """What is minimised, over some frames of every episode, and what to tell of them."""
        c, figures, total, errors = self.recipe, [], 0.0, []
        self.walk.detach()
        for _ in range(c.piece):
            self.walk.restart_ended()
            steps = 1 + int(torch.randint(c.most_steps, (), generator=self.budgets))
            frame = self.walk.frame(self.network, steps)
            logs = torch.nan_to_num(frame.losses, nan=1e4, posinf=1e4).clamp_min(0.0).add(_LEAST).log()
            weights = torch.full((steps,), c.early)
            weights[-1] = 1.0
            fall = logs[1:] - logs[0].detach()
            loss = ((weights / weights.sum()) @ fall).mean()
            rows = zip(self.walk.episodes, frame.tasks, frame.x, strict=True)
            errors.append((list(self.walk.episodes), torch.stack([e.error_m(task, x) for e, task, x in rows])))
            error = size_m(errors[-1][1]).add(_LEAST_M).log().mean()
            total = total + (loss + c.truth * error) / c.piece
            figures.append((float(fall[-1].detach().mean()), float(error.detach())))
        jitter = accelerations(errors).add(_LEAST_M_S2).log()
        if c.smooth and len(jitter):
            total = total + c.smooth * jitter.mean()
        falls, logs = zip(*figures, strict=True)
        found = {"fall": sum(falls) / len(falls), "log_error": sum(logs) / len(logs)}
        return total, found | ({"jitter": float(jitter.detach().mean())} if len(jitter) else {})

    def _trusted(self, norm: float) -> bool:
        """Whether a gradient of that norm is a usual one."""
        if not math.isfinite(norm):
            return False
        usual = self.usual_norm
        kept = max(min(norm, self.recipe.skip_ratio * usual), 1e-12) if usual else max(norm, 1e-12)
        self.usual_norm = kept if not usual else math.exp(0.98 * math.log(usual) + 0.02 * math.log(kept))
        return not usual or norm <= self.recipe.skip_ratio * usual

    @torch.no_grad()
    def validate(self, streams: list[LiveStream], frames: int = 60, budgets: tuple[int, ...] = (1, 2, 4)) -> dict:
        """Logarithms of the ratio of losses to those of the metric, and of the newest frame's errors, on streams with a
        given ground, each over the frames of a full window; the mean of those of losses is what ``best`` goes by."""
        figures, plain = {}, StreamOptimus(StreamOptimusSettings(width=2, heads=1, encoders=1, feedforward=1))
        for steps in budgets:
            learned, metric = (walked(n, streams, self.points, self.settings, frames, steps) for n in (self.ema, plain))
            for name, ours, theirs in zip(("loss", "error"), learned, metric, strict=True):
                figures[f"{name}_{steps}"] = float((ours.log() - theirs.log()).mean())
        figures["loss"] = sum(figures[f"loss_{steps}"] for steps in budgets) / len(budgets)
        return figures

    def keep(self, figures: dict) -> None:
        """Records a validation, and the weights where they are the best."""
        self.history.append({"step": self.step, "minutes": round(self.seconds / 60, 2), **figures})
        if figures["loss"] < self.best:
            self.best = figures["loss"]
            save_stream_optimus(self.ema, self.out / "best.safetensors", self.history[-1])

    def save(self) -> None:
        """Writes ``checkpoint.pt``, ``last.safetensors`` (averaged weights) and ``recipe.json``; first process only."""
        if not self.ranks.first:
            return
        state = {
            "network": self.network.state_dict(), "ema": self.ema.state_dict(), "descent": self.descent.state_dict(),
            "step": self.step, "seconds": self.seconds, "best": self.best, "history": self.history,
            "usual_norm": self.usual_norm,
        }  # fmt: skip
        (self.out / "recipe.json").write_text(json.dumps(self._recipe(), indent=1) + "\n")
        partial = self.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.out / "checkpoint.pt")
        save_stream_optimus(self.ema, self.out / "last.safetensors", {"step": self.step})

    def _recipe(self) -> dict:
        return asdict(self.recipe) | {"network": asdict(self.network.settings)}

    def resume(self) -> bool:
        """Continues from ``checkpoint.pt`` if there is one; episodes begin anew.

        Raises:
            SettingsError: it belongs to another network or another recipe.
        """
        path, recipe = self.out / "checkpoint.pt", self.out / "recipe.json"
        if not path.is_file():
            return False
        written, ours = json.loads(recipe.read_text()), self._recipe()
        sizes = written.get("network", ours["network"])
        if sizes != ours["network"]:
            differ = ", ".join(name for name in ours["network"] if sizes.get(name) != ours["network"][name])
            raise SettingsError(
                f"{path} belongs to another network ({differ}): resume with its settings, or give another --out"
            )
        differ = [name for name in ours if name not in ("minutes", "network") and written.get(name) != ours[name]]
        if differ:
            raise SettingsError(
                f"{self.out} is a run with another recipe ({', '.join(differ)}): resume with its own, or give "
                "another --out"
            )
        state = torch.load(path, map_location="cpu", weights_only=True)
        try:
            self.network.load_state_dict(state["network"])
            self.ema.load_state_dict(state["ema"])
        except RuntimeError as e:
            raise SettingsError(
                f"{path} belongs to another network: resume with its settings, or give another --out"
            ) from e
        self.descent.load_state_dict(state["descent"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.best, self.history, self.usual_norm = state["best"], state["history"], state["usual_norm"]
        self.restart()
        return True


def size_m(errors: torch.Tensor) -> torch.Tensor:
    """[...] mean length of errors [..., 24, 3] m, differentiable at zero."""
    return errors.square().sum(-1).add(1e-8).sqrt().mean(-1)


def accelerations(errors: list[tuple[list[Episode], torch.Tensor]]) -> torch.Tensor:
    """Accelerations [R] m/s^2 of errors [B, 24, 3] m over three frames in a row, where an episode went on over them."""
    found = []
    for (a, first), (_, second), (b, third) in zip(errors, errors[1:], errors[2:], strict=False):
        same = torch.tensor([x is y for x, y in zip(a, b, strict=True)])
        found.append(size_m(first - 2.0 * second + third)[same] * FPS**2)
    return torch.cat(found) if found else torch.zeros(0)


@torch.no_grad()
def walked(
    network: StreamOptimus,
    streams: list[LiveStream],
    points: BodyPoints,
    settings: LiveSettings,
    frames: int,
    steps: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Least losses [F, B] of each frame's steps and errors [F, B] m of its newest pose, where the window is full."""
    waiting = iter(streams)
    walk = Walk(
        lambda: Episode(next(waiting), points, settings, 0, frames, with_ground=True), len(streams),
        network.settings.factors,
    )  # fmt: skip
    losses, errors = [], []
    for number in range(min(frames, *(len(s.frames) for s in streams))):
        frame = walk.frame(network, steps)
        if number >= settings.window_frames:
            losses.append(frame.losses.min(0).values)
            rows = zip(walk.episodes, frame.tasks, frame.x, strict=True)
            errors.append(size_m(torch.stack([e.error_m(task, x) for e, task, x in rows])))
    return torch.stack(losses), torch.stack(errors)
