"""The digits example: reading digits, and what guidance does to obedience and diversity."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from diffmocap.lifting.sampling.schedule import NoiseSchedule
from examples import digits
from examples.digit_images import MNIST_FILES, Digits, DigitsError, load_bundled, load_mnist, read_idx
from examples.toy_diffusion import train

pytest.importorskip("sklearn", reason="pip install -r requirements/examples.txt")


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path) -> Path:
    """A folder like MNIST's with 20 and 10 images of 28x28, one file plain and the others gzipped."""
    rng = np.random.default_rng(0)
    for i, name in enumerate(MNIST_FILES):
        n = 20 if name.startswith("train") else 10
        array = rng.integers(0, 256, (n, 28, 28), np.uint8) if "images" in name else np.arange(n, dtype=np.uint8) % 10
        if i == 0:
            (tmp_path / name).write_bytes(idx(array))
        else:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def test_mnist_is_read_from_plain_and_gzipped_files(mnist):
    found = load_mnist(mnist)
    assert found.train_images.shape == (20, 1, 28, 28) and found.test_images.shape == (10, 1, 28, 28)
    raw = np.frombuffer((mnist / MNIST_FILES[0]).read_bytes()[16:], np.uint8).reshape(20, 28, 28)
    assert np.allclose((found.train_images[:, 0].numpy() + 1) * 127.5, raw, atol=1e-3)
    assert found.test_labels.tolist() == list(range(10))
    model = digits.DigitModel(8)
    v = model(found.train_images[:2], torch.tensor([3, 900]), torch.tensor([1, 2]), torch.tensor([True, False]))
    assert v.shape == (2, 1, 28, 28)


def test_broken_files_are_named(mnist):
    with pytest.raises(DigitsError, match="t10k-labels-idx1-ubyte"):
        (mnist / f"{MNIST_FILES[3]}.gz").unlink()
        load_mnist(mnist)
    path = mnist / MNIST_FILES[0]
    whole = path.read_bytes()
    for content, message in ((whole[:-1], "cut short"), (whole[:7], "cut short"), (b"PK\x03\x04", "no idx file")):
        path.write_bytes(content)
        with pytest.raises(DigitsError, match=message):
            read_idx(path)
    packed = mnist / f"{MNIST_FILES[1]}.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(DigitsError, match="cannot be read"):
        read_idx(packed)


def test_images_without_their_labels_are_refused(mnist):
    (mnist / f"{MNIST_FILES[3]}.gz").write_bytes(gzip.compress(idx(np.zeros(9, np.uint8))))
    with pytest.raises(DigitsError, match="belong together"):
        load_mnist(mnist)


@pytest.fixture(scope="module")
def bundled() -> Digits:
    return load_bundled()


def test_bundled_digits_are_split_and_scaled(bundled):
    assert bundled.train_images.shape == (1348, 1, 8, 8) and len(bundled.test_labels) == 449
    for images in (bundled.train_images, bundled.test_images):
        assert float(images.min()) == -1 and float(images.max()) == 1
    classifier = digits.fit_classifier(bundled.train_images, bundled.train_labels)
    assert digits.accuracy(classifier, bundled.test_images, bundled.test_labels) > 0.95


def test_diversity_is_the_distance_of_two_of_a_class():
    """Opposite images lie 2 apart, orthogonal ones the root of 2; brightness and contrast do not count."""
    left_right = torch.tensor([[1.0, -1.0], [1.0, -1.0]])
    images, labels = torch.stack([left_right, -0.1 * left_right + 0.3, left_right, left_right.T])[:, None], [0, 0, 5, 5]
    assert digits.diversity(images, torch.tensor(labels)) == pytest.approx((2 + 2**0.5) / 2)


def test_guidance_raises_accuracy_and_costs_diversity(bundled):
    torch.manual_seed(0)
    schedule = NoiseSchedule("cosine", 1000)

    def draw(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
        pick = torch.randint(len(bundled.train_labels), (batch,))
        return bundled.train_images[pick], bundled.train_labels[pick]

    model = train(digits.DigitModel(16), draw, schedule, 150, batch=64)
    found = digits.sweep(model, schedule, bundled, per_class=12, seed=0, steps=10)
    accuracy, diversity = ({key: value[i] for key, value in found.items()} for i in (1, 2))
    assert accuracy[None] < 0.3 < accuracy[0.0]
    assert accuracy[2.0] > accuracy[0.0] + 0.05
    assert diversity[2.0] < diversity[0.5] < diversity[0.0] < diversity[None]


def test_program_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["digits", "--mnist", str(tmp_path)])
    with pytest.raises(SystemExit, match="train-images-idx3-ubyte"):
        digits.main()


def test_program_draws_its_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["digits", "--out", str(tmp_path / "digits.png"), "--quick", "--steps", "2"])
    digits.main()
    assert (tmp_path / "digits.png").stat().st_size > 10_000
    assert "real digits" in capsys.readouterr().out
