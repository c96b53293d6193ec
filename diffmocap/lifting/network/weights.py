"""Weights as safetensors with the network's configuration in the header; nothing is unpickled."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from diffmocap.errors import ModelFileError
from diffmocap.files.weights_file import WeightsFile
from diffmocap.lifting.correction.error_covariance import PREFIX, ErrorCovariances
from diffmocap.lifting.network.denoiser import DenoiserConfig, TransformerDenoiser
from diffmocap.lifting.network.mlp_denoiser import MlpConfig, MlpDenoiser
from diffmocap.lifting.network.ray_denoiser import RayConfig, RayDenoiser
from diffmocap.lifting.sampling.schedule import PARAMETERISATIONS, SCHEDULES
from diffmocap.resources import sha256_of, verified_model

DEFAULT_WEIGHTS = "lifting.safetensors"
#: A one-to-four-step student of the default weights, which ships beside them.
STUDENT_WEIGHTS = "lifting_student.safetensors"
#: Files that ship, by the names that stand for them in place of a path.
SHIPPED = {"": DEFAULT_WEIGHTS, "student": STUDENT_WEIGHTS}
FORMAT = "diffmocap-lifting-1"
_ADVICE = "train weights with `python -m training.lifting`, or use the shipped ones"
#: What the configuration in the header calls a network; one without a name is a transformer.
ARCHITECTURES = {
    "transformer": (TransformerDenoiser, DenoiserConfig),
    "mlp": (MlpDenoiser, MlpConfig),
    "ray": (RayDenoiser, RayConfig),
}


def save_weights(model: TransformerDenoiser | MlpDenoiser, path: Path, info: dict | None = None) -> None:
    """Half-precision weights (standardisation stays float32) with the configuration and ``info`` in the header."""
    keep = ("pose_mean", "pose_std", "head.rest_joints", "head.offsets")
    tensors = {k: (v if k in keep else v.half()).contiguous().cpu() for k, v in model.state_dict().items()}
    metadata = {"format": FORMAT, "config": json.dumps(model.config.as_dict()), "info": json.dumps(info or {})}
    _save(tensors, metadata, path)


def _save(tensors: dict[str, torch.Tensor], metadata: dict[str, str], path: Path) -> None:
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def with_error_covariances(source: Path, covariances: ErrorCovariances, record: dict, path: Path) -> None:
    """Writes the weights of ``source`` to ``path`` with covariances measured of them; ``record`` says how.

    The network's tensors are copied to the last bit.

    Raises:
        ModelFileError: ``source`` holds no lifting weights.
    """
    metadata = WeightsFile.read(source, FORMAT, "lifting weights", _ADVICE).metadata
    with safe_open(source, "pt") as f:
        tensors = {key: f.get_tensor(key) for key in f.keys() if not key.startswith(PREFIX)}
    info = json.loads(metadata.get("info", "{}"))
    info["error_covariance"] = record
    _save(tensors | covariances.tensors(), {**metadata, "info": json.dumps(info)}, path)


def load_weights(
    path: str | Path | None = None, device: torch.device | str = "cpu"
) -> TransformerDenoiser | MlpDenoiser:
    """The denoiser from a file of your own, or a shipped one: see :func:`weights_file`.

    Its attribute ``student`` is None, or says what a few-step student was made for (``training/lifting/distill.py``);
    ``error_covariances`` holds how far its poses are off (``training/lifting/error_covariance.py``), None where the
    file does not say it.

    Raises:
        ModelFileError: missing, corrupt, not safetensors, or of another network.
    """
    path = weights_file(path)
    stored = WeightsFile.read(path, FORMAT, "lifting weights", _ADVICE)
    try:
        settings = stored.section("config")
        for key, names in (("schedule", SCHEDULES), ("parameterisation", PARAMETERISATIONS)):
            if key in settings and settings[key] not in names:
                raise ValueError(f"its header's {key} is {settings[key]!r}, expected one of {', '.join(names)}")
        network, config = ARCHITECTURES[settings.get("architecture", "transformer")]
        known = {f.name for f in fields(config)}
        model = stored.network(
            settings, lambda: network(config(**{k: v for k, v in settings.items() if k in known})), "network"
        )
        covariances = {k: v for k, v in stored.tensors.items() if k.startswith(PREFIX)}
        weights = {k: v for k, v in stored.tensors.items() if k not in covariances}
        model.load_state_dict(_with_new_inputs(weights, model))
        model.error_covariances = ErrorCovariances.from_tensors(covariances) if covariances else None
        model.student = stored.section("info").get("student") if "info" in stored.metadata else None
        if not isinstance(model.student, dict | None):
            raise TypeError("its header's student is no JSON object")
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as e:
        raise ModelFileError(f"{path} does not fit this version's network: {e}; {_ADVICE}") from e
    return model.to(device).eval().requires_grad_(False)


def load_student(path: str | Path | None, model: TransformerDenoiser | MlpDenoiser | RayDenoiser) -> RayDenoiser | None:
    """The shipped student of the weights at ``path``, which are ``model``'s, where they are its teacher; else None."""
    if model.student is not None:
        return None
    student = load_weights("student", next(model.parameters()).device)
    taught_by = student.student.get("teacher_sha256") if student.student else None
    hears = isinstance(student, RayDenoiser) and student.config.guided
    return student if hears and taught_by == sha256_of(weights_file(path)) else None


def weights_file(path: str | Path | None = None) -> Path:
    """Your own file, or a shipped one after its sha256 was checked: the default (``None`` or empty) or ``student``.

    Raises:
        ModelFileError: it is missing, or not what was shipped.
    """
    if str(path or "") in SHIPPED:
        return verified_model(SHIPPED[str(path or "")])
    path = Path(path).expanduser()
    if not path.is_file():
        raise ModelFileError(
            f"weights file {path} does not exist; leave it empty to use the shipped weights, or say student for the "
            "shipped few-step sampler"
        )
    return path


def _with_new_inputs(
    tensors: dict[str, torch.Tensor], model: TransformerDenoiser | MlpDenoiser
) -> dict[str, torch.Tensor]:
    """Weights from before depths and previous poses: zero weights for these inputs leave the function as it was."""
    first, previous = "keypoint_in.weight", "previous_in.weight"
    if previous in tensors or first not in tensors:
        return tensors
    missing = model.keypoint_in.in_features - tensors[first].shape[1]
    return tensors | {
        first: torch.nn.functional.pad(tensors[first], (0, missing)),
        previous: torch.zeros_like(model.previous_in.weight),
    }
