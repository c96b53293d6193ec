"""Class-conditional digits by diffusion: ``python -m examples.digits [--mnist FOLDER]``.

The diffusion paper's other toy problem (section 4, figure 1). A small convolutional network learns p(image | digit);
the weight w of classifier-free guidance then trades diversity for obedience: with a larger w the samples are more
surely the digit asked for, and more alike. Both are measured: by a classifier that was trained on real images and
knows nothing of the diffusion model, and by the mean distance between two samples of a class. Two minutes on one CPU
core with scikit-learn's 8x8 digits; MNIST's 28x28 take about 25.
"""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from diffmocap.lifting.sampling.schedule import NoiseSchedule
from examples.digit_images import Digits, DigitsError, load_bundled, load_mnist
from examples.toy_diffusion import TimeEmbedding, sample, train

#: Guidance weights of the paper's table.
WEIGHTS = (0.0, 0.5, 2.0)


class Block(nn.Module):
    """Two convolutions, told the time and the digit by a scale and a shift of each channel."""

    def __init__(self, inlet: int, outlet: int, told: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(4, inlet), nn.GroupNorm(4, outlet)
        self.conv1, self.conv2 = nn.Conv2d(inlet, outlet, 3, padding=1), nn.Conv2d(outlet, outlet, 3, padding=1)
        self.told = nn.Linear(told, 2 * outlet)
        self.skip = nn.Conv2d(inlet, outlet, 1) if inlet != outlet else nn.Identity()

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.told(told)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))


class DigitModel(nn.Module):
    """A U-Net of two levels: v(x_t, t, digit) for images [B, 1, H, W] with even H and W."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        c, told = channels, 2 * channels
        self.time, self.digit = TimeEmbedding(told), nn.Embedding(11, told)  # the eleventh says nothing
        self.inlet = nn.Conv2d(1, c, 3, padding=1)
        self.down, self.shrink = Block(c, c, told), nn.Conv2d(c, 2 * c, 3, stride=2, padding=1)
        self.middle1, self.middle2 = Block(2 * c, 2 * c, told), Block(2 * c, 2 * c, told)
        self.up = Block(3 * c, c, told)
        self.outlet = nn.Sequential(nn.GroupNorm(4, c), nn.SiLU(), nn.Conv2d(c, 1, 3, padding=1))

    def forward(self, x: torch.Tensor, t: torch.Tensor, y: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        told = F.silu(self.time(t) + self.digit(torch.where(keep, y, 10)))
        fine = self.down(self.inlet(x), told)
        coarse = self.middle2(self.middle1(self.shrink(fine), told), told)
        return self.outlet(self.up(torch.cat([F.interpolate(coarse, scale_factor=2.0), fine], 1), told))


def fit_classifier(images: torch.Tensor, labels: torch.Tensor, most: int = 10_000):
    """A support vector machine on real images (the first ``most``)."""
    from sklearn.svm import SVC

    return SVC().fit(images[:most].flatten(1).numpy(), labels[:most].numpy())


def accuracy(classifier, images: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of the images that the classifier takes for their label."""
    return float(classifier.score(images.flatten(1).numpy(), labels.numpy()))


def diversity(images: torch.Tensor, labels: torch.Tensor, most: int = 200) -> float:
    """Mean over the classes of the mean distance between two images of a class.

    Images are brought to mean 0 and length 1 first, or a mere gain in contrast, which guidance brings, would count.
    """
    flat = images.flatten(1)
    flat = F.normalize(flat - flat.mean(1, keepdim=True), dim=1)
    per_class = [torch.pdist(flat[labels == digit][:most]).mean() for digit in labels.unique()]
    return float(torch.stack(per_class).mean())


def sweep(
    model: nn.Module, schedule: NoiseSchedule, digits: Digits, per_class: int, seed: int, steps: int = 50
) -> dict:
    """Samples [10 per_class, 1, H, W], accuracy and diversity: unconditional (None) and for each w."""
    classifier = fit_classifier(digits.train_images, digits.train_labels)
    wanted = torch.arange(10).repeat(per_class)
    out = {"real": (digits.test_images, accuracy(classifier, digits.test_images, digits.test_labels),
                    diversity(digits.test_images, digits.test_labels))}  # fmt: skip
    for weight in (None, *WEIGHTS):
        images = sample(model, schedule, wanted, tuple(digits.train_images.shape[1:]), weight, steps, seed)
        out[weight] = (images, accuracy(classifier, images, wanted), diversity(images, wanted))
    return out


def draw_figure(results: dict, path: Path, rows: int = 5) -> None:
    """Samples for each w, a column a digit, and what guidance buys and costs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        1, len(WEIGHTS) + 1, figsize=(15, 3), width_ratios=(*[1.3] * len(WEIGHTS), 1), layout="constrained"
    )
    for axes, weight in zip(panels, WEIGHTS):
        images = F.pad(results[weight][0][: 10 * rows, 0], (1, 1, 1, 1), value=-1.0)
        height, width = images.shape[1:]
        grid = images.unflatten(0, (rows, 10)).transpose(1, 2).reshape(rows * height, 10 * width)
        axes.imshow(grid, cmap="gray_r", vmin=-1, vmax=1)
        axes.set(title=f"w = {weight}", xticks=[(i + 0.5) * width - 0.5 for i in range(10)], yticks=())
        axes.set_xticklabels(range(10))
    right = panels[-1]
    right.plot([results[w][2] for w in WEIGHTS], [100 * results[w][1] for w in WEIGHTS], "o-", label="samples")
    for w, above in zip(WEIGHTS, (7, -15, 7)):
        place = results[w][2], 100 * results[w][1]
        right.annotate(f"w = {w}", place, (0, above), textcoords="offset points", ha="center")
    right.plot(results["real"][2], 100 * results["real"][1], "k*", markersize=11, label="real digits")
    right.set(xlabel="diversity within a class", ylabel="classified as asked for [%]")
    right.margins(0.25)
    right.legend(loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0], epilog=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="MNIST's four idx files, gzipped or not")
    parser.add_argument("--out", type=Path, default=Path("out/digits.png"), help="picture (default %(default)s)")
    parser.add_argument("--steps", type=int, default=1500, help="training steps (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true", help="train for some seconds only, to see that it runs")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    if find_spec("sklearn") is None:
        sys.exit("error: this needs scikit-learn: pip install -r requirements/examples.txt")
    try:
        digits = load_mnist(args.mnist) if args.mnist else load_bundled()
    except DigitsError as error:
        sys.exit(f"error: {error}")

    def draw(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        pick = torch.randint(len(digits.train_labels), (batch,))
        return digits.train_images[pick], digits.train_labels[pick]

    schedule = NoiseSchedule("cosine", 1000)
    model = train(DigitModel(), draw, schedule, min(60, args.steps) if args.quick else args.steps, batch=128)
    per_class, steps = (10, 10) if args.quick else (50, 50)
    results = sweep(model, schedule, digits, per_class, args.seed, steps)
    print("                 classified as asked for   diversity within a class")
    names = {"real": "real digits", None: "unconditional"}
    for key, (_, right, spread) in results.items():
        print(f"  {names.get(key, f'w = {key}'):14s} {100 * right:20.1f} % {spread:23.3f}")
    draw_figure(results, args.out)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
