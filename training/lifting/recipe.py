"""What decides a run besides the data: network, length, augmentation, views, losses; and the options made of it."""

from __future__ import annotations

import argparse
from dataclasses import Field, dataclass, field, fields, replace

import torch

from diffmocap.errors import SettingsError
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.mlp_denoiser import MlpConfig, MlpDenoiser
from diffmocap.lifting.network.ray_denoiser import RayConfig, RayDenoiser
from training.lifting.previous import PreviousConfig
from training.lifting.ray_losses import RayLossWeights
from training.motions.poses import PoseAugmentation
from training.views.sequences import SequenceConfig
from training.views.simulated_detector import ErrorConfig
from training.views.views import ViewConfig

#: Networks by architecture and size: ``paper`` has the paper's 11M and 27M parameters, ``small`` is for CPUs and keeps
#: the proportion of the two.
PRESETS: dict[str, dict[str, DenoiserConfig | MlpConfig | RayConfig]] = {
    "transformer": {
        "small": DenoiserConfig(
            width=160, heads=5, feedforward=320, joint_layers=1, keypoint_layers=1, decoder_layers=4
        ),
        "paper": DenoiserConfig(
            width=320, heads=8, feedforward=1280, joint_layers=2, keypoint_layers=2, decoder_layers=4
        ),
    },
    "mlp": {"small": MlpConfig(width=768), "paper": MlpConfig(width=2048)},
    "ray": {"small": RayConfig(width=768), "paper": RayConfig(width=2048)},
}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a run besides the data.

    ``batch`` is one process's. ``minutes`` is the run's length on the clock over all its resumptions (0: ``steps``
    decide). The learning rate stays at ``learning_rate`` after the warm-up and falls to zero along a cosine over the
    last ``decay_share``. Loss: mean square of the standardised prediction, plus ``keypoint_loss`` x distance of the
    predicted pose's keypoints [m] and ``pixel_loss`` x distance of their projections over the person's size. The pose
    before is one to ``max_lag`` thirtieths of a second old.

    A denoiser with a ray head learns from ``sequence`` and ``ray_loss`` instead of from ``view``, ``previous`` and the
    two losses above; ``start_share`` of its times are the noisiest one, and ``made`` poses are made once, at the start.
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
    max_lag: int = 3
    bf16: bool = False
    seed: int = 0
    start_share: float = 0.5
    made: int = 200_000
    poses: PoseAugmentation = field(default_factory=PoseAugmentation)
    view: ViewConfig = field(default_factory=ViewConfig)
    previous: PreviousConfig = field(default_factory=PreviousConfig)
    sequence: SequenceConfig = field(default_factory=SequenceConfig)
    ray_loss: RayLossWeights = field(default_factory=RayLossWeights)
    model: DenoiserConfig | MlpConfig | RayConfig = field(default_factory=lambda: PRESETS["transformer"]["small"])


def build(config: DenoiserConfig | MlpConfig | RayConfig) -> TransformerDenoiser | MlpDenoiser | RayDenoiser:
    """The network of a configuration, with random weights."""
    if isinstance(config, RayConfig):
        return RayDenoiser(config)
    return MlpDenoiser(config) if isinstance(config, MlpConfig) else TransformerDenoiser(config)


def _numbers(part: type) -> list[Field]:
    return [f for f in fields(part) if f.type in ("int", "float")]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Every number of the recipe and of its augmentation as an option of the same name."""
    group = parser.add_argument_group("network")
    group.add_argument("--architecture", choices=PRESETS, default="transformer")
    group.add_argument("--preset", choices=PRESETS["transformer"], default="small", help="size of the network")
    group.add_argument(
        "--parameterisation", choices=("epsilon", "x0", "v"), default="x0", help="what the network predicts"
    )
    group.add_argument(
        "--schedule", choices=("cosine", "linear"), help="noise schedule (default: linear for epsilon, else cosine)"
    )
    group = parser.add_argument_group("recipe")
    for f in _numbers(Recipe) + _numbers(PoseAugmentation):
        kind = {"int": int, "float": float}[f.type]
        group.add_argument("--" + f.name.replace("_", "-"), type=kind, default=f.default, help="default %(default)s")
    group.add_argument("--paper-share", type=float, default=ViewConfig.paper_share, help="share of the paper's framing")
    group.add_argument(
        "--measured-share",
        type=float,
        default=ErrorConfig.measured_share,
        help="share of the other views with the errors that were measured of MediaPipe",
    )
    for name, part in (("sequence", SequenceConfig), ("ray_loss", RayLossWeights)):
        group.add_argument(
            "--" + name.replace("_", "-"), nargs="+", default=[], metavar="NAME=VALUE",
            help=f"of a ray denoiser: {', '.join(f.name for f in _numbers(part))}",
        )  # fmt: skip
    group.add_argument(
        "--bf16", action=argparse.BooleanOptionalAction, help="half-precision matrix products (default: on GPUs)"
    )


def with_values(part, assignments: list[str]):
    """The dataclass with values of ``name=value``.

    Raises:
        SettingsError: there is no such number.
    """
    known = {f.name for f in _numbers(type(part))}
    values = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            name = ""
        if name not in known:
            raise SettingsError(f"{assignment!r} is none of {', '.join(sorted(known))}, followed by = and a number")
    return replace(part, **values)


def recipe_from(options: argparse.Namespace) -> Recipe:
    """The recipe that the options of :func:`add_options` and ``device`` describe."""

    def chosen(part: type) -> dict:
        return {f.name: getattr(options, f.name) for f in _numbers(part)}

    # At its last time the cosine schedule leaves 5e-5 of the signal, by which sampling would divide epsilon's error.
    schedule = options.schedule or ("linear" if options.parameterisation == "epsilon" else "cosine")
    model = replace(
        PRESETS[options.architecture][options.preset], parameterisation=options.parameterisation, schedule=schedule
    )
    bf16 = torch.device(options.device).type == "cuda" if options.bf16 is None else options.bf16
    return Recipe(
        **chosen(Recipe), bf16=bf16, sequence=with_values(SequenceConfig(), options.sequence),
        ray_loss=with_values(RayLossWeights(), options.ray_loss), poses=PoseAugmentation(**chosen(PoseAugmentation)),
        view=ViewConfig(paper_share=options.paper_share, errors=ErrorConfig(measured_share=options.measured_share)),
        model=model,
    )  # fmt: skip
