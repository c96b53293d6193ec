"""Settings of networks as the command line gives them."""

from __future__ import annotations

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.features import FeatureSettings
from diffmocap.optim.functions import make_function
from diffmocap.optim.optimus import Optimus, OptimusSettings
from diffmocap.optim.stopping import Budget
from diffmocap.optim.weights import load_optimizer
from training.optim.__main__ import main
from training.optim.network_settings import settings_from, with_settings

SMALL = OptimusSettings(width=8, feedforward=8, mlp_width=8, features=FeatureSettings(memory=True, pairs=4))


def test_settings_on_the_command_line() -> None:
    assert settings_from(["norm=rms", "width=64", "features.memory=true", "features.epsilon=1e-3"]) == {
        "norm": "rms", "width": 64, "features": {"memory": True, "epsilon": 1e-3},
    }  # fmt: skip
    with pytest.raises(SettingsError, match="NAME=VALUE"):
        settings_from(["norm"])
    with pytest.raises(SystemExit, match="unknown norm"):
        main(["--out", "unused", "--set", "norm=nothing"])


def test_more_pairs_are_the_same_weights_with_a_longer_memory() -> None:
    """Runs are the same until the shorter memory is full, and differ from then on."""
    torch.manual_seed(0)
    four, task = Optimus(SMALL), make_function("Rosenbrock", 20)
    nine = with_settings(four, settings_from(["features.pairs=9"]))
    assert four.settings == SMALL and nine.settings.features.pairs == 9 and nine.settings.width == 8
    assert torch.equal(nine.theta, four.theta)
    x = task.init(2, torch.Generator().manual_seed(0)).double()
    short, long = (o.minimize(task, x, Budget(evaluations=12)).losses for o in (four, nine))
    assert torch.equal(short[:6], long[:6]) and not torch.equal(short[6:], long[6:])


@pytest.mark.parametrize(
    "setting, message",
    [
        ("pairs=9", "optimus has no setting pairs"), ("width=16", "trained weights do not fit the settings"),
        ("features.pears=9", "trained weights do not fit.*pears"), ("features.pairs=-1", "must be 0, or positive"),
        ("features=9", "features is a group of settings"),
    ],
)  # fmt: skip
def test_settings_that_weights_do_not_fit_are_refused(setting: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        with_settings(Optimus(SMALL), settings_from([setting]))


def test_training_goes_on_from_weights_under_other_settings(tmp_path) -> None:
    options = [
        "--functions",
        "Sphere",
        "--largest",
        "3",
        "--validation-dimensions",
        "4",
        "4",
        "--validation-count",
        "1",
    ]
    options += ["--pairs", "1", "--truncation", "2", "--shortest", "2", "--longest", "4", "--steps", "1"]
    first, second = tmp_path / "first", tmp_path / "second"
    main(["--out", str(first), "--kind", "adafactor_mlp", "--set", "width=8", "--set", "layers=1", *options])
    onwards = ["--out", str(second), "--init", str(first / "last.safetensors"), *options]
    with pytest.raises(SystemExit, match="--set: trained weights do not fit"):
        main([*onwards, "--set", "layers=2"])
    main([*onwards, "--set", "lambda_a=0.5"])
    trained = load_optimizer(second / "last.safetensors").settings
    assert (trained.lambda_a, trained.width) == (0.5, 8)
