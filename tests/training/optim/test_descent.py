"""Adam for all weights, or Muon for the hidden matrices: which those are, and how far a step goes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from diffmocap.errors import SettingsError
from diffmocap.optim.adafactor_mlp import AdafactorMlp, AdafactorMlpSettings
from diffmocap.optim.optimus import Optimus, OptimusSettings
from training.optim.descent import Descent, hidden_matrices
from training.optim.problems import FunctionProblems
from training.optim.trainer import MetaRecipe, MetaTrainer

RATE = 1e-3
SMALL = OptimusSettings(width=16, heads=2, attention_width=8, feedforward=32, encoders=2, mlp_width=16, mlp_layers=2)


def names(network: torch.nn.Module) -> set[str]:
    hidden = {id(p) for p in hidden_matrices(network)}
    return {name for name, p in network.named_parameters() if id(p) in hidden}


def stepped(kind: str, network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """What one step along random gradients changes."""
    generator = torch.Generator().manual_seed(3)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for p in network.parameters():
        p.grad = torch.randn(p.shape, generator=generator)
    Descent(kind, network, 1.0).step(RATE)
    return {name: p.detach() - before[name] for name, p in network.named_parameters()}


def test_hidden_matrices_are_those_between_hidden_units() -> None:
    mlp = AdafactorMlp(AdafactorMlpSettings(width=16, layers=3))
    assert names(mlp) == {"mlp.hidden.1.weight", "mlp.hidden.2.weight"}
    inside = {
        f"encoders.{i}.{layer}.weight" for i in (0, 1) for layer in ("query_key_value", "joined", "inner", "outer")
    }
    assert names(Optimus(SMALL)) == {"mlp.hidden.1.weight"} | inside
    assert names(Optimus(replace(SMALL, structure=False))) == {"mlp.hidden.1.weight"} | inside


def test_adam_moves_every_weight_by_the_learning_rate_at_first() -> None:
    for change in stepped("adam", Optimus(SMALL)).values():
        torch.testing.assert_close(change.abs(), torch.full_like(change, RATE), rtol=1e-3, atol=0)


def test_muon_makes_the_steps_of_hidden_matrices_orthogonal_and_as_long_as_adams() -> None:
    network = Optimus(SMALL)
    hidden, changes = names(network), stepped("muon", network)
    for name, change in changes.items():
        if name not in hidden:
            torch.testing.assert_close(change.abs(), torch.full_like(change, RATE), rtol=1e-3, atol=0)
            continue
        # Newton-Schulz leaves singular values between 0.7 and 1.2; 0.2 is the root mean square of Adam's usual steps.
        values = torch.linalg.svdvals(change) / (RATE * 0.2 * math.sqrt(max(change.shape)))
        assert 0.6 < float(values.min()) and float(values.max()) < 1.3, name


def test_unknown_descents_and_runs_of_another_are_refused(tmp_path) -> None:
    with pytest.raises(SettingsError, match="unknown descent 'sgd'; one of adam, muon"):
        MetaRecipe(descent="sgd")
    recipe = MetaRecipe(steps=2, pairs=1, longest=4, descent="muon")
    problems = FunctionProblems(("Sphere",), 2, 4, batch=1)
    trainer = MetaTrainer(recipe, Optimus(SMALL), problems, tmp_path)
    trainer.train_step()
    trainer.save()
    with pytest.raises(SettingsError, match="trained with another descent"):
        MetaTrainer(replace(recipe, descent="adam"), Optimus(SMALL), problems, tmp_path).resume()


def test_a_run_from_before_there_was_a_choice_resumes(tmp_path) -> None:
    recipe, problems = MetaRecipe(steps=4, pairs=1, longest=4), FunctionProblems(("Sphere",), 2, 4, batch=1)
    trainer = MetaTrainer(recipe, Optimus(SMALL), problems, tmp_path)
    trainer.train_step()
    trainer.save()
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    (state["adam"],) = state.pop("descent")
    torch.save(state, tmp_path / "checkpoint.pt")
    other = MetaTrainer(recipe, Optimus(SMALL), problems, tmp_path)
    assert other.resume() and str(other.descent.state_dict()) == str(trainer.descent.state_dict())
