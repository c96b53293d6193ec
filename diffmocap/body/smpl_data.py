"""Reading a body in SMPL's format: ours (sparse npz) or a user's own SMPL as npz.

No pickle is ever loaded here. ``python -m diffmocap.body.convert_smpl`` turns SMPL's legacy ``.pkl`` into an
npz, explicitly and with a restricted reader.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffmocap.body.skeleton import PARENTS
from diffmocap.errors import ModelFileError

SMPL_PAGE = "https://smpl.is.tue.mpg.de"
_HINT = (
    f"the licensed SMPL model comes from {SMPL_PAGE} (SMPL_NEUTRAL, version 1.1.0); turn its .pkl into an npz with "
    "`python -m diffmocap.body.convert_smpl SMPL_NEUTRAL.pkl smpl_neutral.npz`, or leave body_model empty to use the "
    "body that ships with diffmocap"
)


@dataclass(frozen=True)
class SmplData:
    """Arrays of one SMPL-format body; V vertices, F faces, any V.

    ``v_template`` [V, 3] m, ``shapedirs`` [V, 3, S] m per unit of beta, ``posedirs`` [V, 3, 207] or None where
    the body has no pose-dependent shape, ``regressor`` [24, V], ``weights`` [V, 24], ``faces`` [F, 3],
    ``vertex_ids`` smplx's names of face and foot vertices.
    """

    v_template: np.ndarray
    shapedirs: np.ndarray
    posedirs: np.ndarray | None
    regressor: np.ndarray
    weights: np.ndarray
    faces: np.ndarray
    vertex_ids: dict[str, int]


def read_smpl_npz(path: str | Path) -> SmplData:
    """Reads and checks a body file.

    Raises:
        ModelFileError: missing, a pickle, not an npz, or not SMPL's layout (SMPL-H and SMPL-X have more joints).
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise ModelFileError(f"body model {path} does not exist; {_HINT}")
    if path.suffix == ".pkl":
        raise ModelFileError(f"{path} is a pickle, which can run code when opened and is not loaded; {_HINT}")
    if not zipfile.is_zipfile(path):
        raise ModelFileError(f"{path} is not an npz file; {_HINT}")
    try:
        with np.load(path, allow_pickle=False) as f:
            arrays = {k: f[k] for k in f.files}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise ModelFileError(f"cannot read {path} ({e}): it is corrupt or holds pickled objects; {_HINT}") from e
    return _from_arrays(arrays, path)


def _from_arrays(a: dict[str, np.ndarray], path: Path) -> SmplData:
    missing = {"v_template", "shapedirs", "f", "kintree_table"} - set(a)
    if missing:
        raise ModelFileError(f"{path} is not a SMPL body: it lacks {', '.join(sorted(missing))}; {_HINT}")
    vertices = len(a["v_template"])
    parents = np.atleast_2d(a["kintree_table"])[0].astype(np.int64)
    if len(parents) != 24 or tuple(parents[1:]) != PARENTS[1:]:
        kind = {52: "SMPL-H", 55: "SMPL-X"}.get(len(parents), "another model")
        raise ModelFileError(f"{path} has {len(parents)} joints ({kind}); SMPL's 24 are expected; {_HINT}")
    if "regressor_index" in a:
        regressor = _dense(a["regressor_index"], a["regressor_value"], (24, vertices))
        weights = _dense(a["weight_index"], a["weight_value"], (vertices, 24))
        weights /= weights.sum(1, keepdims=True)
        vertex_ids = dict(zip(a["vertex_names"].tolist(), a["vertex_ids"].tolist()))
    else:
        if not {"J_regressor", "weights"} <= set(a):
            raise ModelFileError(f"{path} lacks J_regressor or weights; {_HINT}")
        regressor, weights = np.asarray(a["J_regressor"]), a["weights"]
        vertex_ids = _smplx_vertex_ids(vertices, path)
    data = SmplData(
        a["v_template"].astype(np.float32),
        a["shapedirs"][..., :10].astype(np.float32),
        a["posedirs"].astype(np.float32) if "posedirs" in a else None,
        regressor.astype(np.float32),
        weights.astype(np.float32),
        a["f"].astype(np.int64),
        vertex_ids,
    )
    expected = {
        "v_template": (vertices, 3), "shapedirs": (vertices, 3, 10), "regressor": (24, vertices), "weights": (vertices, 24),
    }  # fmt: skip
    if data.posedirs is not None:
        expected["posedirs"] = (vertices, 3, 207)
    for name, shape in expected.items():
        value = getattr(data, name)
        if value.shape != shape or not np.isfinite(value).all():
            raise ModelFileError(f"{path}: {name} should be finite {shape}, got {value.shape}; {_HINT}")
    return data


def _dense(index: np.ndarray, value: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    out = np.zeros(shape, np.float32)
    out[index[0].astype(np.int64), index[1].astype(np.int64)] = value
    return out


def _smplx_vertex_ids(vertices: int, path: Path) -> dict[str, int]:
    if vertices != 6890:
        raise ModelFileError(
            f"{path} has {vertices} vertices and names no keypoint vertices (vertex_names, vertex_ids); SMPL has 6890; {_HINT}"
        )
    from smplx.vertex_ids import vertex_ids

    return {k: int(v) for k, v in vertex_ids["smplh"].items()}
