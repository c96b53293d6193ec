"""State of a training run: networks, optimizer, generators, clock; a step, a checkpoint."""

from __future__ import annotations

import math
from contextlib import nullcontext
from pathlib import Path

import torch

from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import sixd_from_matrix
from diffmocap.errors import SettingsError
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol
from diffmocap.lifting.network.condition import root_to_network
from diffmocap.lifting.network.ray_denoiser import RayConfig
from diffmocap.lifting.network.weights import load_weights, save_weights, weights_file
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from training.lifting.losses import Batch, draw_diffusion, losses
from training.lifting.moments import MOMENTS, load_moments, save_moments
from training.lifting.previous import set_previous
from training.lifting.ray_losses import draw_ray_batch, ray_losses
from training.lifting.recipe import Recipe, build
from training.lifting.validation import Validation
from training.motions.made_poses import MadePoses
from training.motions.poses import PoseSampler
from training.ranks import Ranks
from training.views.detector_noise import DetectorNoise
from training.views.sequences import SequenceSampler
from training.views.views import sample_views

#: Examples of which mean and standard deviation of what the network sees are taken.
STANDARDISED = 8192


class Trainer:
    """One process's state of a run; over the processes networks and optimizers are equal, batches are not.

    Args:
        rotations: [N, 24, 3, 3] training frames. validation: frames that :meth:`validate` lifts.
        out: folder of the run. device: where to train; ``ranks``, where given, say it instead.
        clips: [N] number of each frame's clip; None: all are one clip.
    """

    def __init__(
        self, recipe: Recipe, rotations: torch.Tensor, validation: torch.Tensor, out: Path,
        device: torch.device | str = "cpu", clips: torch.Tensor | None = None, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.out, self.ranks = recipe, out, ranks or Ranks(device=device)
        device = self.device = self.ranks.device
        self.generator = torch.Generator(device).manual_seed(self.ranks.seed(recipe.seed))
        torch.manual_seed(self.ranks.seed(recipe.seed))
        self.body = BodyModel.load(device=device)
        clips = None if clips is None else clips.to(device)
        self.sampler = PoseSampler(self.body, rotations.to(device), self.generator, recipe.poses, clips)
        self.detector = DetectorNoise.load(device=device) if recipe.view.errors.measured_share else None
        self.validation = validation
        self.examples = self._example_sampler() if isinstance(recipe.model, RayConfig) else None
        self._views: Validation | None = None
        self.schedule = NoiseSchedule(recipe.model.schedule, recipe.model.diffusion_steps)
        self.model = build(recipe.model).to(device)
        self._standardise()
        self.ranks.follow_first(self.model.state_dict().values())
        self.ema = build(recipe.model).to(device).requires_grad_(False)
        self.ema.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay,
            fused=True,
        )  # fmt: skip
        self.step, self.seconds, self.best, self.history = 0, 0.0, math.inf, []
        self.autocast = torch.autocast(device.type, torch.bfloat16) if recipe.bf16 else nullcontext()

    def _example_sampler(self) -> SequenceSampler:
        """Examples for a ray denoiser; its made poses are those of the recipe's seed, on every process the same."""
        r, made = self.recipe, torch.zeros(0, 24, 3, 3, device=self.device)
        if r.made:
            maker = MadePoses(self.body, torch.Generator(self.device).manual_seed(r.seed), self.sampler.rotations)
            chunks = [maker(min(4096, r.made - i)) for i in range(0, r.made, 4096)]
            made = torch.cat(chunks).half()
        detector = DetectorNoise.load(device=self.device) if r.sequence.measured_share else None
        return SequenceSampler(self.body, self.sampler, made, detector, self.generator, r.sequence)

    def _standardise(self) -> None:
        """Mean and standard deviation of what the network sees; constant entries keep a floor of 0.1."""
        if self.examples is not None:
            example = self.examples(STANDARDISED)
            sixd = sixd_from_matrix(root_to_network(example.rotations, example.condition.R_camera_crop))
            self.model.pose_mean.copy_(sixd.mean(0))
            self.model.pose_std.copy_(sixd.std(0).clamp_min(0.1))
            self.model.head.set_body(self.body)
            return
        views = sample_views(self.body, self.sampler(STANDARDISED), self.recipe.view, self.generator)
        sixd = sixd_from_matrix(root_to_network(views.rotations, views.condition.R_camera_crop))
        self.model.pose_mean.copy_(sixd.mean(0))
        self.model.pose_std.copy_(sixd.std(0).clamp_min(0.1))

    @property
    def progress(self) -> float:
        """Share of the run that is done, in [0, 1]."""
        by_time = self.seconds / (60 * self.recipe.minutes) if self.recipe.minutes else 0.0
        return min(max(by_time, self.step / self.recipe.steps), 1.0)

    def learning_rate(self) -> float:
        """Warm-up, plateau, cosine."""
        r = self.recipe
        tail = max(self.progress - (1 - r.decay_share), 0.0) / r.decay_share
        return r.learning_rate * min(1.0, (self.step + 1) / r.warmup_steps) * 0.5 * (1 + math.cos(math.pi * tail))

    @torch.no_grad()
    def draw(self) -> Batch:
        """This process's batch: views, some of whose conditions have the previous pose, noise and times."""
        r, g = self.recipe, self.generator
        if self.examples is not None:
            return draw_ray_batch(self.examples(r.batch), self.schedule, r.null_share, r.start_share, g)
        lag = int(torch.randint(1, r.max_lag + 1, (), generator=g, device=self.device))
        now, before = self.sampler.pairs(r.batch, lag)
        view = sample_views(self.body, now, r.view, g, before, lag, self.detector)
        if r.previous.share:
            set_previous(self.model, self.schedule, view, r.previous, g, self.autocast)
        return draw_diffusion(view, self.schedule, r.null_share, g)

    def gradient(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Leaves the gradient of the loss over all processes' batches in the model; returns this one's loss terms."""
        if self.examples is not None:
            terms = ray_losses(self.model, self.schedule, self.body, batch, self.recipe.ray_loss, self.autocast)
        else:
            terms = losses(
                self.model, self.schedule, self.body, batch, self.recipe.keypoint_loss, self.recipe.pixel_loss,
                self.autocast, self.ranks.mean,
            )  # fmt: skip
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        self.ranks.average_gradients(self.model.parameters())
        return {name: term.detach() for name, term in terms.items()}

    def train_step(self) -> dict[str, torch.Tensor]:
        """One update; returns the loss terms."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        terms = self.gradient(self.draw())
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        return terms

    def start_from(self, weights: Path | None) -> None:
        """Takes the weights of an earlier run, its standardisation too, and the optimizer's moments that lie beside
        them as :data:`MOMENTS`."""
        weights = weights_file(weights)
        state = load_weights(weights, self.device).state_dict()
        try:
            self.model.load_state_dict(state)
        except RuntimeError as e:
            raise SettingsError(f"{weights} holds another network than --architecture and --preset ask for") from e
        self.ema.load_state_dict(state)
        if weights.with_name(MOMENTS).is_file():
            load_moments(self.model, self.optimizer, weights.with_name(MOMENTS))

    @torch.no_grad()
    def validate(self, guidance: tuple[float, ...] = (0.0,)) -> dict[str, float]:
        """Pixel error and MPJPE under the paper's protocol on the validation frames; of a ray denoiser also the errors
        of :class:`~training.lifting.validation.Validation` and their mean."""
        out = {}
        if self.examples is not None:
            self._views = self._views or Validation(self.body, self.validation)
            out = self._views.figures(self.ema)
            out["pa_mean"] = sum(out.values()) / len(out)
        for w in guidance:
            result = evaluate_paper_protocol(self.ema, self.body, self.validation, w)
            out[f"pixel_error_w{w:g}"] = float(result.pixel_error.mean())
            out[f"mpjpe_mm_w{w:g}"] = 1e3 * float(result.mpjpe_m.mean())
        return out

    def validate_and_keep(self, guidance: tuple[float, ...]) -> dict[str, float]:
        """Figures of :meth:`validate`, which go into the history and decide whether the weights are the best yet."""
        figures = self.validate(guidance)
        self.history.append({"step": self.step, "minutes": self.seconds / 60, **figures})
        self.keep_if_best(figures.get("pa_mean", figures["pixel_error_w0"]))
        return figures

    def _random_state(self) -> dict[str, torch.Tensor]:
        """Every generator that this process draws from."""
        state = {"generator": self.generator.get_state(), "torch_rng": torch.get_rng_state()}
        if self.device.type == "cuda":  # dropout
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        return state

    def state(self) -> dict:
        """Plain containers and tensors, so that it loads without pickled classes. Every process has to call this."""
        random = {name: self.ranks.gather(value) for name, value in self._random_state().items()}
        return {
            "model": self.model.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
            **{name: values[0] for name, values in random.items()},
            "other_ranks": [{name: values[i] for name, values in random.items()} for i in range(1, self.ranks.world)],
            "step": self.step, "seconds": self.seconds, "best": self.best, "history": self.history,
        }  # fmt: skip

    def save(self) -> None:
        """Writes the checkpoint and the averaged weights; a crash in between leaves the old checkpoint.

        Every process has to call this; the first one writes.
        """
        state = self.state()
        if not self.ranks.first:
            return
        partial = self.out / "checkpoint.partial"
        torch.save(state, partial)
        partial.replace(self.out / "checkpoint.pt")
        save_weights(self.ema, self.out / "lifting.safetensors", self._length())
        save_moments(self.model, self.optimizer, self.out / MOMENTS)

    def _length(self) -> dict:
        return {"step": self.step, "train_minutes": round(self.seconds / 60, 2)}

    def keep_if_best(self, error: float) -> bool:
        """Writes ``best.safetensors`` where the averaged weights have the lowest validation error so far."""
        if not error < self.best:
            return False
        self.best = error
        name = "validation_pixel_error" if self.examples is None else "validation_error_mm"
        save_weights(self.ema, self.out / "best.safetensors", {**self._length(), name: error})
        return True

    def resume(self) -> bool:
        """Continues from ``checkpoint.pt`` if there is one: exactly, with as many processes as wrote it.

        With another number of processes the generators of those that were not there are seeded afresh.
        """
        path = self.out / "checkpoint.pt"
        if not path.is_file():
            return False
        state = torch.load(path, map_location=self.device, weights_only=True)
        try:
            self.model.load_state_dict(state["model"])
        except RuntimeError as e:
            raise SettingsError(
                f"{path} belongs to a network of another size: resume with the options of {self.out / 'config.json'}, "
                "or give another --out"
            ) from e
        self.ema.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.history = state["history"]
        ranks = [state, *state.get("other_ranks", ())]
        if self.ranks.rank < len(ranks):
            self._set_random_state(ranks[self.ranks.rank])
        else:
            self.generator.manual_seed(self.ranks.seed(self.recipe.seed) + self.step)
        return True

    def _set_random_state(self, state: dict[str, torch.Tensor]) -> None:
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["torch_rng"].cpu())
        if "cuda_rng" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)
