"""Trains the lifting model: ``python -m training.lifting --data DIR_OR_FILES --out runs/lifting``.

Needs torch, numpy, roma, safetensors and tqdm (TensorBoard optional) and the ROS-free core, so it runs on any machine, CPU or GPU.
A run is resumed by giving the same ``--out`` again: the state of the network, its average, the optimizer, the random
generators and the clock continue where the last checkpoint left them.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import torch
from tqdm import tqdm

from diffmocap.body.mocap import load_split
from diffmocap.body.model import BodyModel
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.errors import SettingsError
from diffmocap.lifting.condition import root_from_network, root_to_network
from diffmocap.lifting.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.detector_noise import DetectorNoise
from diffmocap.lifting.paper_protocol import evaluate_paper_protocol
from diffmocap.lifting.schedule import NoiseSchedule
from diffmocap.lifting.views import View, ViewConfig, sample_views
from diffmocap.lifting.weights import load_weights, save_weights
from training.poses import PoseSampler, every_nth_of_each_clip, load_frames
from training.previous import PreviousConfig, set_previous

#: Parts of the recipe that are no options by their own name.
NESTED = ("view", "previous", "model")
HELD_OUT = Path(__file__).with_name("held_out.txt")

#: Network sizes: ``small`` for CPUs, ``paper`` has the paper's 11M parameters.
PRESETS = {
    "small": DenoiserConfig(width=160, heads=5, feedforward=320, joint_layers=1, keypoint_layers=1, decoder_layers=4),
    "paper": DenoiserConfig(width=320, heads=8, feedforward=1280, joint_layers=2, keypoint_layers=2, decoder_layers=4),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run besides the data.

    ``minutes`` is the run's length on the clock over all its resumptions (0: ``steps`` decide). The learning rate
    stays at ``learning_rate`` after the warm-up and falls to zero along a cosine over the last ``decay_share``.
    Loss: mean square of the standardised prediction, plus ``keypoint_loss`` x distance of the predicted pose's
    keypoints [m] and ``pixel_loss`` x distance of their projections over the person's size. The pose before is one to
    ``max_lag`` thirtieths of a second old.
    """

    batch: int = 256
    steps: int = 400_000
    minutes: float = 0.0
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    decay_share: float = 0.4
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    null_share: float = 0.1
    keypoint_loss: float = 3.0
    pixel_loss: float = 3.0
    ema_decay: float = 0.999
    mirror_share: float = 0.5
    mix_share: float = 0.2
    leg_mix_share: float = 0.1
    trunk_mix_share: float = 0.1
    joint_noise_share: float = 0.5
    joint_noise: float = 0.1
    max_lag: int = 3
    bf16: bool = False
    seed: int = 0
    view: ViewConfig = field(default_factory=ViewConfig)
    previous: PreviousConfig = field(default_factory=PreviousConfig)
    model: DenoiserConfig = field(default_factory=lambda: PRESETS["small"])


def pose_statistics(sampler: PoseSampler, body: BodyModel, view: ViewConfig, g: torch.Generator) -> tuple:
    """Mean and standard deviation [24, 6] of what the network sees; constant entries keep a floor of 0.1."""
    views = sample_views(body, sampler(8192), view, g)
    sixd = sixd_from_matrix(root_to_network(views.rotations, views.condition.R_camera_crop))
    return sixd.mean(0), sixd.std(0).clamp_min(0.1)


def losses(
    model: TransformerDenoiser, schedule: NoiseSchedule, body: BodyModel, view: View, recipe: Recipe,
    g: torch.Generator, autocast,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """The terms of one batch; ``total`` is what is minimised (DDPM eq. 14 plus the keypoint terms)."""
    n, device = len(view.rotations), view.rotations.device
    x0 = model.standardise(sixd_from_matrix(root_to_network(view.rotations, view.condition.R_camera_crop)))
    noise = torch.randn(x0.shape, generator=g, device=device)
    t = torch.randint(schedule.steps, (n,), generator=g, device=device)
    keep = torch.rand(n, generator=g, device=device) >= recipe.null_share
    x_t = schedule.add_noise(x0, noise, t)
    with autocast:
        prediction = model(x_t, t, model.encode_condition(view.condition, keep)).float()
    kind = model.config.parameterisation
    mse = (prediction - schedule.target(x0, noise, t, kind)).square().mean()
    terms = {"mse": mse, "total": mse}
    if recipe.keypoint_loss or recipe.pixel_loss:
        x0_hat, _ = schedule.x0_and_epsilon(prediction, x_t, t, kind)
        # Dividing by a small signal (epsilon, v) blows up; where the noise hides everything there is nothing to learn.
        usable = keep & (schedule.coefficients(t, x0)[0].flatten() > (0.0 if kind == "x0" else 0.3))
        rotations = root_from_network(matrix_from_6d(model.unstandardise(x0_hat)), view.condition.R_camera_crop)
        predicted = body.keypoints(rotations, view.pelvis, view.betas)
        truth = body.keypoints(view.rotations, view.pelvis, view.betas)
        weight = usable.float() / usable.sum().clamp_min(1)
        distance = (predicted - truth).norm(dim=-1).mean(1)
        terms["keypoint_m"] = (distance * weight).sum()
        in_front = truth[..., 2:] > 0.3
        project = [p[..., :2] / p[..., 2:].clamp_min(0.3) for p in (predicted, truth)]
        pixel = ((project[0] - project[1]) * in_front).abs().mean((1, 2)) / view.condition.half_size
        terms["pixel"] = (pixel.clamp_max(2.0) * weight).sum()
        terms["total"] = mse + recipe.keypoint_loss * terms["keypoint_m"] + recipe.pixel_loss * terms["pixel"]
    return terms


class Trainer:
    """State of a run and its checkpoint."""

    def __init__(
        self, recipe: Recipe, rotations: torch.Tensor, validation: torch.Tensor, out: Path, device: str,
        clips: torch.Tensor | None = None,
    ) -> None:  # fmt: skip
        self.recipe, self.out, self.device = recipe, out, torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(recipe.seed)
        torch.manual_seed(recipe.seed)
        self.body = BodyModel.load(device=device)
        self.sampler = PoseSampler(
            self.body, rotations.to(device), self.generator, recipe.mirror_share, recipe.mix_share,
            leg_mix_share=recipe.leg_mix_share, trunk_mix_share=recipe.trunk_mix_share,
            joint_noise_share=recipe.joint_noise_share, joint_noise=recipe.joint_noise,
            clips=None if clips is None else clips.to(device),
        )  # fmt: skip
        self.detector = DetectorNoise.load(device=self.device) if recipe.view.errors.measured_share else None
        self.validation = validation
        self.schedule = NoiseSchedule(recipe.model.schedule, recipe.model.diffusion_steps)
        self.model = TransformerDenoiser(recipe.model).to(device)
        mean, std = pose_statistics(self.sampler, self.body, recipe.view, self.generator)
        self.model.pose_mean.copy_(mean)
        self.model.pose_std.copy_(std)
        self.ema = TransformerDenoiser(recipe.model).to(device).requires_grad_(False)
        self.ema.load_state_dict(self.model.state_dict())
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), recipe.learning_rate, betas=(0.9, 0.99), weight_decay=recipe.weight_decay
        )
        self.step, self.seconds, self.best, self.history = 0, 0.0, math.inf, []
        self.autocast = torch.autocast(self.device.type, torch.bfloat16) if recipe.bf16 else nullcontext()

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

    def train_step(self) -> dict[str, torch.Tensor]:
        """One update; returns the loss terms."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        view = self.draw()
        terms = losses(self.model, self.schedule, self.body, view, self.recipe, self.generator, self.autocast)
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm)
        self.optimizer.step()
        self.step += 1
        decay = min(self.recipe.ema_decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.ema.parameters()), list(self.model.parameters()), 1 - decay)
        return terms

    @torch.no_grad()
    def draw(self) -> View:
        """A batch of views whose conditions know the pose before in part."""
        r, g = self.recipe, self.generator
        lag = int(torch.randint(1, r.max_lag + 1, (), generator=g, device=self.device))
        now, before = self.sampler.pairs(r.batch, lag)
        view = sample_views(self.body, now, r.view, g, before, lag, self.detector)
        if r.previous.share:
            set_previous(self.model, self.schedule, view, r.previous, g, self.autocast)
        return view

    def start_from(self, weights: Path) -> None:
        """Takes the weights of an earlier run; its standardisation too."""
        state = load_weights(weights, self.device).state_dict()
        try:
            self.model.load_state_dict(state)
        except RuntimeError as e:
            raise SettingsError(f"{weights} holds a network of another size than --preset asks for") from e
        self.ema.load_state_dict(state)

    @torch.no_grad()
    def validate(self, guidance: tuple[float, ...] = (0.0,)) -> dict[str, float]:
        """Pixel error and MPJPE under the paper's protocol on the validation frames."""
        out = {}
        for w in guidance:
            result = evaluate_paper_protocol(self.ema, self.body, self.validation, w)
            out[f"pixel_error_w{w:g}"] = float(result.pixel_error.mean())
            out[f"mpjpe_mm_w{w:g}"] = 1e3 * float(result.mpjpe_m.mean())
        return out

    def state(self) -> dict:
        """Plain containers and tensors, so that it loads without pickled classes."""
        return {
            "model": self.model.state_dict(), "ema": self.ema.state_dict(), "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(), "torch_rng": torch.get_rng_state(),
            "step": self.step, "seconds": self.seconds, "best": self.best, "history": self.history,
        }  # fmt: skip

    def save(self) -> None:
        """Writes the checkpoint and the averaged weights; a crash in between leaves the old checkpoint."""
        partial = self.out / "checkpoint.partial"
        torch.save(self.state(), partial)
        partial.replace(self.out / "checkpoint.pt")
        save_weights(self.ema, self.out / "lifting.safetensors", {"step": self.step, "train_minutes": round(self.seconds / 60, 2)})

    def keep_if_best(self, pixel_error: float) -> bool:
        """Writes ``best.safetensors`` where the averaged weights have the lowest validation error so far."""
        if not pixel_error < self.best:
            return False
        self.best = pixel_error
        info = {"step": self.step, "train_minutes": round(self.seconds / 60, 2), "validation_pixel_error": pixel_error}
        save_weights(self.ema, self.out / "best.safetensors", info)
        return True

    def resume(self) -> bool:
        """Continues from ``checkpoint.pt`` if there is one."""
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
        self.generator.set_state(state["generator"].cpu())
        torch.set_rng_state(state["torch_rng"].cpu())
        self.step, self.seconds, self.best = state["step"], state["seconds"], state["best"]
        self.history = state["history"]
        return True


def git_commit() -> str:
    """The commit the run was started from, with ``+changes`` where the tree differed."""
    try:
        def git(*arguments: str) -> str:
            return subprocess.check_output(["git", *arguments], text=True, stderr=subprocess.DEVNULL).strip()

        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _writer(out: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(out / "tensorboard")
    except ImportError:
        print("tensorboard is not installed: no curves will be written (pip install tensorboard)", file=sys.stderr)
        return None


def run(trainer: Trainer, checkpoint_minutes: float, validate_minutes: float, stop_after_minutes: float) -> None:
    """Trains to the end of the recipe, or for ``stop_after_minutes`` of this call."""
    writer = _writer(trainer.out)
    start = last = saved = validated = time.monotonic()
    total = trainer.recipe.steps if not trainer.recipe.minutes else None
    bar = tqdm(total=total, initial=trainer.step, unit="step", dynamic_ncols=True, mininterval=5)
    while trainer.progress < 1.0:
        terms = trainer.train_step()
        now = time.monotonic()
        trainer.seconds += now - last
        last = now
        bar.update()
        if trainer.step % 20 == 0:
            values = {k: float(v) for k, v in terms.items()}
            bar.set_postfix({k: f"{v:.3f}" for k, v in values.items()} | {"done": f"{trainer.progress:.1%}"})
            if writer:
                for k, v in values.items():
                    writer.add_scalar(f"loss/{k}", v, trainer.step)
                writer.add_scalar("learning_rate", trainer.learning_rate(), trainer.step)
        if now - validated > 60 * validate_minutes:
            figures = trainer.validate((0.0, 2.0))
            trainer.history.append({"step": trainer.step, "minutes": trainer.seconds / 60, **figures})
            trainer.keep_if_best(figures["pixel_error_w0"])
            bar.write(json.dumps(trainer.history[-1]))
            for k, v in figures.items():
                if writer:
                    writer.add_scalar(f"val/{k}", v, trainer.step)
            validated = last = time.monotonic()  # validation does not count as training time
        if now - saved > 60 * checkpoint_minutes:
            trainer.save()
            saved = last = time.monotonic()
        if stop_after_minutes and now - start > 60 * stop_after_minutes:
            break
    bar.close()
    trainer.save()
    figures = trainer.validate((0.0, 0.5, 2.0))
    if trainer.keep_if_best(figures["pixel_error_w0"]):
        trainer.save()  # the checkpoint knows the best error
    print(json.dumps({"step": trainer.step, "minutes": round(trainer.seconds / 60, 1), **figures}))
    if writer:
        writer.close()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line; every number of the recipe is an option."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("--data", nargs="+", required=True, help="training clips: npz collections or AMASS folders")
    p.add_argument("--val", nargs="+", required=True, help="validation clips (other subjects)")
    p.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    p.add_argument("--exclude", default=str(HELD_OUT), help="file with clip names to leave out")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's default)")
    p.add_argument("--preset", choices=PRESETS, default="small", help="size of the network")
    p.add_argument("--parameterisation", choices=("epsilon", "x0", "v"), default="x0", help="what the network predicts")
    p.add_argument("--schedule", choices=("cosine", "linear"), default="cosine", help="noise schedule")
    p.add_argument("--init", type=Path, help="start from these weights instead of random ones")
    p.add_argument("--paper-share", type=float, default=ViewConfig.paper_share, help="share of the paper's framing")
    p.add_argument("--checkpoint-minutes", type=float, default=3.0)
    p.add_argument("--validate-minutes", type=float, default=20.0)
    p.add_argument("--validation-frames", type=int, default=256)
    p.add_argument("--stop-after-minutes", type=float, default=0.0, help="end this call early, to be resumed")
    for f in fields(Recipe):
        if f.name in NESTED:
            continue
        kind = {"int": int, "float": float}.get(f.type)
        if f.type == "bool":
            p.add_argument("--" + f.name.replace("_", "-"), action=argparse.BooleanOptionalAction, default=f.default)
        else:
            p.add_argument("--" + f.name.replace("_", "-"), type=kind, default=f.default)
    return p.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    model = replace(PRESETS[args.preset], parameterisation=args.parameterisation, schedule=args.schedule)
    chosen = {f.name: getattr(args, f.name) for f in fields(Recipe) if f.name not in NESTED}
    recipe = Recipe(**chosen, model=model, view=ViewConfig(paper_share=args.paper_share))
    args.out.mkdir(parents=True, exist_ok=True)
    rotations, clips = load_frames(args.data, args.exclude)
    validation = every_nth_of_each_clip([c for path in args.val for c in load_split(path)], 5)
    pick = torch.linspace(0, len(validation) - 1, min(args.validation_frames, len(validation))).long()
    trainer = Trainer(recipe, rotations, validation[pick], args.out, args.device, clips)
    resumed = trainer.resume()
    if args.init and not resumed:
        trainer.start_from(args.init)
    record = {
        "recipe": asdict(recipe), "data": [str(d) for d in args.data], "exclude": args.exclude, "frames": len(rotations),
        "command": "python -m training.lifting " + " ".join(sys.argv[1:]), "commit": git_commit(),
        "torch": torch.__version__, "device": args.device,
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
    }  # fmt: skip
    (args.out / "config.json").write_text(json.dumps(record, indent=2))
    print(f"{record['parameters'] / 1e6:.2f}M parameters, {len(rotations)} frames, {args.device}"
          + (f", resumed at step {trainer.step}" if resumed else ""))
    run(trainer, args.checkpoint_minutes, args.validate_minutes, args.stop_after_minutes)


if __name__ == "__main__":
    main()
