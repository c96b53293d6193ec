"""Makes a one-to-four-step sampler of trained weights: ``python -m training.distill --teacher FILE --out DIR ...``.

Consistency distillation (Song et al. 2023): the student, which starts as a copy of the teacher, learns to say from any
point x_t of a path of the teacher's ODE where that path ends, so that one evaluation does what the whole path did.

Song et al. take one step of the teacher and let the student's own average say the rest, because whole paths through an
image model are dear. Here a second-order solver walks a path in eight evaluations of a small network, so the end is
computed and regressed on: there is no target network, no error that builds up from time to time and nothing to collapse
to, and every point of the walked path is an example with the same answer. Progressive distillation (Salimans and Ho
2022) would need four halvings one after the other, each trained to its end and each passing on its error, and gives a
student for one number of steps; this one serves any number (``diffmocap/lifting/sampling/consistency.py``). A network
that predicts x0 suits it as it is: at small t the end is what the teacher says already, and at the last time x0 is all
there is to say, where epsilon tells nothing.

As in the paper, errors are measured as seen, too: the teacher's training losses on keypoints in space and image.

A run is resumed by giving the same ``--out`` again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch

from diffmocap.body.mocap import load_split
from diffmocap.body.rotations import matrix_from_6d, sixd_from_matrix
from diffmocap.errors import SettingsError
from diffmocap.evaluation.paper_protocol import evaluate_paper_protocol
from diffmocap.lifting.network.condition import root_from_network, root_to_network
from diffmocap.lifting.network.ray_denoiser import RayConfig
from diffmocap.lifting.network.weights import DEFAULT_WEIGHTS, load_weights
from diffmocap.lifting.sampling.ddim import Denoise, ddim_timesteps
from diffmocap.lifting.sampling.dpm_solver import dpm_sample
from diffmocap.lifting.sampling.guidance import guided_denoiser, is_guided
from diffmocap.lifting.sampling.samplers import sample_along
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from diffmocap.resources import sha256_of, verified_model
from training import program
from training.commit import git_commit
from training.held_out import HELD_OUT_CLIPS
from training.lifting.loop import run
from training.lifting.losses import LEAST_PIXEL_DEPTH_M, Batch
from training.lifting.recipe import Recipe, with_values
from training.lifting.trainer import Trainer
from training.motions.poses import every_nth_of_each_clip, load_frames
from training.ranks import Ranks
from training.views.sequences import SequenceConfig

#: Numbers of steps that a student is validated with.
STUDENT_STEPS = (1, 2, 4)


@dataclass(frozen=True)
class Distillation:
    """Which paths are walked.

    ``teacher_steps`` evaluations of DPM-Solver++ a path. A student with a ray head hears the weight of guidance (Meng
    et al. 2023), which is 0 for ``unguided_share`` of the paths and anything up to ``guidance`` for the others; other
    networks have ``guidance`` built in. ``points`` of its times are learnt from, its beginning among them.
    ``cold_share`` of the paths begin at pure noise, the others anywhere, as warm starts do. ``quiet_share`` of the rows
    have their noise scaled down by a random factor, because live sampling may start from the centre of the noise.
    """

    teacher_steps: int = 8
    guidance: float = 0.0
    unguided_share: float = 0.25
    points: int = 4
    cold_share: float = 0.6
    quiet_share: float = 0.2


def walk(
    denoise: Denoise, x: torch.Tensor, schedule: NoiseSchedule, timesteps: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """States [B, len(timesteps), ...] at the times of a path from x [B, ...], and its end [B, ...]."""
    states: list[torch.Tensor] = []

    def recorded(x_t: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        states.append(x_t)
        return denoise(x_t, t)

    end = dpm_sample(recorded, x, schedule, timesteps)
    return torch.stack(states, 1), end


class Distiller(Trainer):
    """A run whose examples are the teacher's paths; its checkpoint is a training run's."""

    def __init__(
        self, recipe: Recipe, distillation: Distillation, teacher: Path | None, rotations: torch.Tensor,
        validation: torch.Tensor, out: Path, clips: torch.Tensor | None = None, ranks: Ranks | None = None,
    ) -> None:  # fmt: skip
        self.teacher = load_weights(teacher, ranks.device if ranks else "cpu")
        config = self.teacher.config
        if config.parameterisation == "epsilon":
            raise SettingsError("a network that predicts epsilon cannot say x0 from pure noise: take one for x0 or v")
        if isinstance(config, RayConfig):
            config = replace(config, guided=True)
        super().__init__(replace(recipe, model=config), rotations, validation, out, clips=clips, ranks=ranks)
        self.distillation = distillation
        for network in (self.model, self.ema):
            missing = network.load_state_dict(self.teacher.state_dict(), strict=False).missing_keys
            assert all(name.startswith("guidance_in.") for name in missing), missing
        self.origin = sha256_of(Path(teacher) if teacher else verified_model(DEFAULT_WEIGHTS))

    def paths(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """x_t [B * points, 24, 6] on paths of the teacher, their times [B * points], where they end, and the weight of
        guidance [B] of each, which a student that hears it is told."""
        d, g, view = self.distillation, self.generator, batch.view
        n, device = len(view.rotations), self.device
        cold, where = torch.rand(2, generator=g, device=device).tolist()
        start = 1.0 if cold < d.cold_share else 0.1 + 0.9 * where
        timesteps = ddim_timesteps(self.schedule.steps, d.teacher_steps, start)
        quiet = torch.rand(n, generator=g, device=device) < d.quiet_share
        scale = torch.where(quiet, torch.rand(n, generator=g, device=device), 1.0)
        x0 = self.model.standardise(sixd_from_matrix(root_to_network(view.rotations, view.condition.R_camera_crop)))
        x = self.schedule.add_noise(x0, scale[:, None, None] * batch.noise, timesteps[0])
        with torch.no_grad(), self.autocast:
            code = self.teacher.encode_condition(view.condition)
            weight = None
            if is_guided(self.model):
                drawn = torch.rand(2, n, generator=g, device=device)
                weight = torch.where(drawn[0] < d.unguided_share, 0.0, d.guidance * drawn[1])
            guidance = d.guidance if weight is None else weight[:, None, None]
            denoise = guided_denoiser(self.teacher, self.schedule, code, guidance, timesteps=timesteps)
            states, end = walk(denoise, x, self.schedule, timesteps)
        others = 1 + torch.randperm(len(timesteps) - 1, generator=g, device=device)[: d.points - 1]
        chosen = torch.cat([others.new_zeros(1), others])
        t = torch.tensor(timesteps, device=device)[chosen].repeat(n)
        ends = end.float().repeat_interleave(len(chosen), 0)
        return states[:, chosen].flatten(0, 1).float(), t, ends, weight

    def gradient(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Leaves the gradient of the distance between the student's ends and the teacher's; returns its terms."""
        x, t, end, weight = self.paths(batch)
        view, condition, r = batch.view, batch.view.condition, self.recipe
        times = len(x) // len(view.rotations)
        with self.autocast:
            code = self.model.encode_condition(condition)
            if weight is not None:
                code = self.model.with_guidance(code, weight)
            code = code.repeat(times)
            prediction = self.model(x, t, code).float()
        found, _ = self.schedule.x0_and_epsilon(prediction, x, t, self.model.config.parameterisation)
        R_camera_crop, half_size, pelvis = (
            v.repeat_interleave(times, 0) for v in (condition.R_camera_crop, condition.half_size, view.pelvis)
        )
        poses = (root_from_network(matrix_from_6d(self.model.unstandardise(p)), R_camera_crop) for p in (found, end))
        # Both are poses; whose shape they are shown on is of no account.
        mine, truth = (self.body.keypoints(pose, pelvis) for pose in poses)
        seen = truth[..., 2:] > LEAST_PIXEL_DEPTH_M
        a, b = (p[..., :2] / p[..., 2:].clamp_min(LEAST_PIXEL_DEPTH_M) for p in (mine, truth))
        pixel = ((a - b) * seen).abs().mean((1, 2)) / half_size
        terms = {
            "mse": (found - end).square().mean(), "keypoint_m": (mine - truth).norm(dim=-1).mean(),
            "pixel": pixel.clamp_max(2.0).mean(),
        }  # fmt: skip
        terms["total"] = terms["mse"] + r.keypoint_loss * terms["keypoint_m"] + r.pixel_loss * terms["pixel"]
        self.optimizer.zero_grad(set_to_none=True)
        terms["total"].backward()
        self.ranks.average_gradients(self.model.parameters())
        return terms

    def samples(self, model: torch.nn.Module, sampler: str, steps: int, guidance: float = 0.0) -> dict[str, float]:
        """Pixel error, and spread: RMS distance [mm] of joints from their frame's mean, estimated from two samples."""

        def sample(denoise, x, schedule, g):
            return sample_along(sampler, denoise, x, schedule, ddim_timesteps(schedule.steps, steps), g)

        one, two = (
            evaluate_paper_protocol(model, self.body, self.validation, guidance, seed=seed, sample=sample)
            for seed in (0, 1)
        )
        pelvis = torch.zeros(len(one.rotations), 3, device=self.device)
        joints = [self.body.forward_kinematics(r.rotations.to(self.device), pelvis)[1] for r in (one, two)]
        spread = float(((joints[0] - joints[1]).square().sum(-1).mean() / 2).sqrt())
        return {"pixel_error": float(one.pixel_error.mean()), "spread_mm": 1e3 * spread}

    def validate(self, guidance: tuple[float, ...] = ()) -> dict[str, float]:
        """Figures of the student's 1, 2 and 4 steps on the validation frames."""
        found = {n: self.samples(self.ema, "consistency", n) for n in STUDENT_STEPS}
        return {f"{name}_{n}_steps": value for n, figures in found.items() for name, value in figures.items()}

    def validate_and_keep(self, guidance: tuple[float, ...]) -> dict[str, float]:
        """As a training run's, without a best: a student that says the mean of all poses has the least pixel error."""
        figures = self.validate()
        self.history.append({"step": self.step, "minutes": self.seconds / 60, **figures})
        return figures

    def _length(self) -> dict:
        d = self.distillation
        student = {
            "sampler": "consistency", "steps": list(STUDENT_STEPS), "guidance": d.guidance,
            "teacher_sha256": self.origin, "teacher_steps": d.teacher_steps,
        }  # fmt: skip
        return {**super()._length(), "student": student}


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    p = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("--teacher", type=Path, help="weights to distil (default: the shipped ones)")
    p.add_argument("--data", nargs="+", required=True, help="training clips: npz collections or AMASS folders")
    p.add_argument("--val", nargs="+", required=True, help="validation clips (other subjects)")
    p.add_argument("--out", type=Path, required=True, help="folder of the run; an existing run is resumed")
    p.add_argument("--exclude", default=str(HELD_OUT_CLIPS), help="file with clip names to leave out")
    p.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    p.add_argument("--threads", type=int, default=0, help="CPU threads (0: torch's default)")
    p.add_argument("--batch", type=int, default=64, help="paths a step")
    p.add_argument("--minutes", type=float, default=10.0, help="wall-clock length of the run (0: --steps decide)")
    p.add_argument("--steps", type=int, default=100_000)
    p.add_argument("--learning-rate", type=float, default=5e-4)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--bf16", action="store_true", help="half-precision matrix products")
    for f in fields(Distillation):
        name = "--" + f.name.replace("_", "-")
        p.add_argument(name, type={"int": int, "float": float}[f.type], default=f.default, help="see Distillation")
    p.add_argument("--sequence", nargs="+", default=[], metavar="NAME=VALUE", help="of the examples of a ray denoiser")
    p.add_argument("--checkpoint-minutes", type=float, default=2.0)
    p.add_argument("--validate-minutes", type=float, default=5.0)
    p.add_argument("--validation-frames", type=int, default=128)
    p.add_argument("--stop-after-minutes", type=float, default=0.0, help="end this call early, to be resumed")
    return p.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    ranks = Ranks.join(args.device)
    recipe = Recipe(
        batch=args.batch, steps=args.steps, minutes=args.minutes, learning_rate=args.learning_rate, warmup_steps=50,
        decay_share=0.6, null_share=0.0, ema_decay=0.99, bf16=args.bf16, seed=args.seed,
        sequence=with_values(SequenceConfig(), args.sequence),
    )  # fmt: skip
    distillation = Distillation(**{f.name: getattr(args, f.name) for f in fields(Distillation)})
    args.out.mkdir(parents=True, exist_ok=True)
    rotations, clips = load_frames(args.data, args.exclude)
    validation = every_nth_of_each_clip([c for path in args.val for c in load_split(path)], 5)
    pick = torch.linspace(0, len(validation) - 1, min(args.validation_frames, len(validation))).long()
    run_state = Distiller(recipe, distillation, args.teacher, rotations, validation[pick], args.out, clips, ranks)
    resumed = run_state.resume()
    if ranks.first:
        record = {
            "recipe": {**asdict(run_state.recipe), "model": run_state.teacher.config.as_dict()},
            "distillation": asdict(distillation), "teacher_sha256": run_state.origin,
            "data": [str(d) for d in args.data], "exclude": args.exclude, "frames": len(rotations),
            "command": "python -m training.distill " + " ".join(arguments), "commit": git_commit(),
            "torch": torch.__version__, "device": str(run_state.device),
            "parameters": sum(p.numel() for p in run_state.model.parameters()),
        }  # fmt: skip
        (args.out / "config.json").write_text(json.dumps(record, indent=2) + "\n")
        print(
            f"resumed at step {run_state.step}"
            if resumed
            else "teacher, DDIM-50: "
            + json.dumps(run_state.samples(run_state.teacher, "ddim", 50, distillation.guidance))
        )
    run(run_state, args.checkpoint_minutes, args.validate_minutes, args.stop_after_minutes)
    ranks.leave()


if __name__ == "__main__":
    program.run(main)
