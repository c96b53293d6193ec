"""Level sets of the Branin function by diffusion: ``python -m examples.branin``.

The diffusion paper's first toy problem (section 4). The forward model y = f(x) maps the plane to a number, and many x
give the same y: the inverse is a curve, a level set, not a point. A small MLP learns p(x | y) from pairs (x, f(x)) of
random points; sampling it for one y then draws points on the contour line of y, and the weight w of classifier-free
guidance says how strictly. Guided at every step, as in the paper, samples also leave the line: y fixes it already, and
what guidance adds at low noise is the network's own error. Guided in the middle of the diffusion only, as this
package does for poses, they keep to it. One minute on one CPU core.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch
from torch import nn

from diffmocap.lifting.sampling.guidance import EVERYWHERE
from diffmocap.lifting.sampling.schedule import NoiseSchedule
from examples.toy_diffusion import TimeEmbedding, sample, train

#: Domain of f: x1 in [-5, 10], x2 in [0, 15].
LOW, HIGH = torch.tensor([-5.0, 0.0]), torch.tensor([10.0, 15.0])
#: Guidance weights of the paper's table.
WEIGHTS = (0.0, 0.5, 2.0)
#: Ratios of noise to signal between which guidance acts, beside guidance at every step.
INTERVAL = (0.1, 0.3)
#: Levels whose contour lines are drawn.
LEVELS = (-4.0, -20.0, -60.0, -130.0)


def negative_branin(x: torch.Tensor) -> torch.Tensor:
    """f(x) [...] for x [..., 2]: eq. (1) of the paper, the standard Branin function with its sign turned.

    It has three global maxima, of value -0.397887, at (-pi, 12.275), (pi, 2.275) and (9.42478, 2.475).
    """
    a, b, c, r, s, t = 1.0, 5.1 / (4 * math.pi**2), 5 / math.pi, 6.0, 10.0, 1 / (8 * math.pi)
    x1, x2 = x.unbind(-1)
    return -a * (x2 - b * x1**2 + c * x1 - r) ** 2 - s * (1 - t) * x1.cos() - s


def to_unit(x: torch.Tensor) -> torch.Tensor:
    """Domain to [-1, 1]^2, where the diffusion runs."""
    return (x - LOW) / (HIGH - LOW) * 2 - 1


def from_unit(u: torch.Tensor) -> torch.Tensor:
    """Inverse of :func:`to_unit`."""
    return (u + 1) / 2 * (HIGH - LOW) + LOW


def waves(values: torch.Tensor, octaves: int) -> torch.Tensor:
    """Features [B, D (2 octaves + 1)] of values [B, D] in about [-1, 1]; without them an MLP blurs fine detail."""
    phase = (values[..., None] * (0.5 * math.pi * 2.0 ** torch.arange(octaves))).flatten(1)
    return torch.cat([values, phase.sin(), phase.cos()], -1)


class LevelSetModel(nn.Module):
    """MLP v(x_t, t, y). The level goes in as log(1 - y), since f falls steeply towards the corners."""

    OCTAVES_X, OCTAVES_Y = 3, 6

    def __init__(self, width: int = 192, layers: int = 3) -> None:
        super().__init__()
        self.time = TimeEmbedding(width)
        self.level = nn.Linear(2 * self.OCTAVES_Y + 1, width)
        self.null = nn.Parameter(torch.zeros(width))
        self.inlet = nn.Linear(2 * (2 * self.OCTAVES_X + 1), width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(layers)
        )
        self.outlet = nn.Linear(width, 2)

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        code = self.level(waves(torch.log1p(-y)[:, None] / 3 - 1, self.OCTAVES_Y))
        told = self.time(t) + torch.where(keep[:, None], code, self.null)
        h = self.inlet(waves(x, self.OCTAVES_X)) + told
        for layer in self.layers:
            h = h + layer(h + told)
        return self.outlet(h)


def draw(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Training pairs: points [B, 2] uniform over the domain, in units of :func:`to_unit`, and f at them [B]."""
    u = torch.rand(batch, 2) * 2 - 1
    return u, negative_branin(from_unit(u))


#: Name, weight and interval of each way to sample.
WAYS = (
    ("unconditional", None, EVERYWHERE),
    *((f"w = {w}", w, INTERVAL) for w in WEIGHTS),
    *((f"w = {w}, every step", w, EVERYWHERE) for w in WEIGHTS[1:]),
)


def level_errors(model: nn.Module, schedule: NoiseSchedule, count: int, seed: int) -> dict[str, torch.Tensor]:
    """|f(x) - y| [count] of one sample each for y = f of random points, for each of :data:`WAYS`."""
    levels = negative_branin(from_unit(torch.rand(count, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1))
    out = {}
    for name, weight, interval in WAYS:
        x = from_unit(sample(model, schedule, levels, (2,), weight, seed=seed + 1, interval=interval))
        out[name] = (negative_branin(x) - levels).abs()
    return out


def draw_figure(model: nn.Module, schedule: NoiseSchedule, path: Path, seed: int, points: int) -> None:
    """The function with its contour lines, and samples for four of them: for each w, and for w = 2 at every step."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grid = torch.stack(torch.meshgrid(torch.linspace(-5, 10, 201), torch.linspace(0, 15, 201), indexing="xy"), -1)
    f = negative_branin(grid)
    figure = plt.figure(figsize=(12, 7), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.2))
    axes = left.subplots()
    shown = axes.contourf(*grid.unbind(-1), f, 40, cmap="viridis")
    axes.contour(*grid.unbind(-1), f, (-200, -150, -100, -60, -40, -20, -10, -4, -1), colors="white", linewidths=0.6)
    axes.plot([-math.pi, math.pi, 9.42478], [12.275, 2.275, 2.475], "r*", markersize=11, label="global maxima")
    axes.set(title="Negative Branin function", xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    axes.legend(loc="upper right")
    left.colorbar(shown, ax=axes, shrink=0.7)
    rows = [*WAYS[1 : 1 + len(WEIGHTS)], WAYS[-1]]
    panels = right.subplots(len(rows), len(LEVELS), sharex=True, sharey=True)
    for row, (name, weight, interval) in zip(panels, rows):
        for axes, level in zip(row, LEVELS):
            y = torch.full((points,), level)
            x = from_unit(sample(model, schedule, y, (2,), weight, seed=seed, interval=interval))
            axes.contour(*grid.unbind(-1), f, [level], colors="black", linewidths=1, linestyles="solid")
            axes.plot(*x.unbind(-1), ".", markersize=3, color="tab:red", alpha=0.7)
            axes.set(xlim=(-5, 10), ylim=(0, 15), aspect="equal", xticks=(), yticks=())
        row[0].set_ylabel(name.replace(", ", ",\n"))
    for axes, level in zip(panels[0], LEVELS):
        axes.set_title(f"y = {level:.0f}")
    right.suptitle("Samples of p(x | y) and the level set of y")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0], epilog=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--out", type=Path, default=Path("out/branin.png"), help="picture (default %(default)s)")
    parser.add_argument("--steps", type=int, default=3000, help="training steps (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="train for some seconds only, to see that it runs")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    schedule = NoiseSchedule("cosine", 1000)
    model = train(LevelSetModel(), draw, schedule, min(300, args.steps) if args.quick else args.steps, batch=512)
    count = 200 if args.quick else 2000
    print(f"|f(x) - y| of samples for {count} random levels between -308 and 0:")
    for name, error in level_errors(model, schedule, count, args.seed).items():
        print(f"  {name:20s} mean {error.mean():6.2f}   median {error.median():6.2f}")
    draw_figure(model, schedule, args.out, args.seed, 30 if args.quick else 150)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
