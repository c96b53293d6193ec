"""Reading a body in SMPL's format: ours (sparse npz) or a user's own SMPL as npz.

No pickle is ever loaded here. ``python -m diffmocap.body.convert_smpl`` turns SMPL's legacy ``.pkl`` into an
npz, explicitly and with a restricted reader.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffmocap.body.skeleton import KEYPOINT_FROM_VERTEX, NUM_JOINTS, PARENTS
from diffmocap.errors import ModelFileError
from diffmocap.files.array_archive import ArrayArchive

#: Largest array of a body file; those of SMPL-X take 100 MB.
MAX_ARRAY_BYTES = 256_000_000
NUM_BETAS = 10
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
    with ArrayArchive(path, ModelFileError, _HINT, MAX_ARRAY_BYTES) as archive:
        return _read(archive)


def _read(a: ArrayArchive) -> SmplData:
    missing = {"v_template", "shapedirs", "f", "kintree_table"} - set(a.keys)
    if missing:
        raise a.refused(f"is not a SMPL body: it lacks {', '.join(sorted(missing))}")
    vertices = _length(a, "v_template")
    parents = np.atleast_2d(a.array("kintree_table"))[0].astype(np.int64)
    if len(parents) != NUM_JOINTS or tuple(parents[1:]) != PARENTS[1:]:
        kind = {52: "SMPL-H", 55: "SMPL-X"}.get(len(parents), "another model")
        raise a.refused(f"has {len(parents)} joints ({kind}); SMPL's {NUM_JOINTS} are expected")
    if "regressor_index" in a:
        regressor = _dense(a, "regressor", (NUM_JOINTS, vertices))
        weights = _dense(a, "weight", (vertices, NUM_JOINTS))
        if not (weights.sum(1) > 0).all():
            raise a.refused("is unusable: a vertex follows no joint")
        weights /= weights.sum(1, keepdims=True)
        names = a.array("vertex_names", (None,), "text").astype(str)
        ids = a.array("vertex_ids", (len(names),), "whole numbers")
        if ((ids < 0) | (ids >= vertices)).any():
            raise a.refused(f"is unusable: vertex_ids points outside of the {vertices} vertices")
        vertex_ids = dict(zip(names.tolist(), ids.tolist(), strict=True))
        if lacking := sorted(set(KEYPOINT_FROM_VERTEX.values()) - set(vertex_ids)):
            raise a.refused(f"names no vertices for {', '.join(lacking)}")
    else:
        if not {"J_regressor", "weights"} <= set(a.keys):
            raise a.refused("lacks J_regressor or weights")
        regressor = a.array("J_regressor", (NUM_JOINTS, vertices))
        weights = a.array("weights", (vertices, NUM_JOINTS))
        vertex_ids = _smplx_vertex_ids(vertices, a)
    faces = a.array("f", (None, 3)).astype(np.int64)
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < vertices:
        raise a.refused(f"is unusable: 'f' points outside of the {vertices} vertices")
    shape_directions = a.array("shapedirs", (vertices, 3, None))
    if shape_directions.shape[2] < NUM_BETAS:
        raise a.refused(f"is unusable: 'shapedirs' has {shape_directions.shape[2]} directions, expected {NUM_BETAS}")
    pose_directions = a.array("posedirs", (vertices, 3, 9 * (NUM_JOINTS - 1))) if "posedirs" in a else None
    data = SmplData(
        a.array("v_template", (vertices, 3)).astype(np.float32),
        shape_directions[..., :NUM_BETAS].astype(np.float32),
        None if pose_directions is None else pose_directions.astype(np.float32),
        regressor.astype(np.float32),
        weights.astype(np.float32),
        faces,
        vertex_ids,
    )
    for name in ("v_template", "shapedirs", "posedirs", "regressor", "weights"):  # they may be beyond single precision
        value = getattr(data, name)
        if value is not None and not np.isfinite(value).all():
            raise a.refused(f"is unusable: {name} should be finite")
    return data


def _length(a: ArrayArchive, key: str) -> int:
    shape = a.header(key).shape
    if not shape or not shape[0]:
        raise a.refused(f"is unusable: {key!r} has the shape {list(shape)}, expected rows")
    return shape[0]


def _dense(a: ArrayArchive, name: str, shape: tuple[int, int]) -> np.ndarray:
    """The matrix whose entries other than 0 are ``<name>_value`` at the places ``<name>_index`` [2, N]."""
    value = a.array(f"{name}_value", (None,))
    index = a.array(f"{name}_index", (2, len(value)), "whole numbers").astype(np.int64)
    if ((index < 0) | (index >= np.array(shape)[:, None])).any():
        raise a.refused(f"is unusable: {name}_index points outside of {list(shape)}")
    out = np.zeros(shape, np.float32)
    out[index[0], index[1]] = value
    return out


def _smplx_vertex_ids(vertices: int, a: ArrayArchive) -> dict[str, int]:
    if vertices != 6890:
        raise a.refused(
            f"has {vertices} vertices and names no keypoint vertices (vertex_names, vertex_ids); SMPL has 6890"
        )
    try:
        from smplx.vertex_ids import vertex_ids
    except ImportError as error:
        raise a.refused("is SMPL's own, whose keypoint vertices the package smplx knows: pip install smplx") from error

    return {k: int(v) for k, v in vertex_ids["smplh"].items()}
