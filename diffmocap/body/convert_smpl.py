"""Turns SMPL's legacy pickle into an npz: ``python -m diffmocap.body.convert_smpl IN.pkl OUT.npz``.

The only place where a pickle is opened, and only on request. Its reader admits numpy arrays, SciPy sparse
matrices and chumpy's array wrapper (of which the values are kept) and refuses every other class, so that a
doctored file cannot run code.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path

import numpy as np
import scipy.sparse

from diffmocap.body.smpl_data import read_smpl_npz
from diffmocap.errors import DiffmocapError, ModelFileError

#: Largest file that is opened; SMPL_NEUTRAL.pkl takes 40 MB, and unpacked not much more.
MAX_BYTES = 1_000_000_000
KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "f", "kintree_table")


class _ChumpyArray:
    """Stands in for ``chumpy.ch.Ch`` (the array is ``x``) and ``chumpy.reordering.Select`` (entries of another one)."""

    def __setstate__(self, state: dict) -> None:
        if "x" in state:
            self.value = np.asarray(state["x"])
        elif {"a", "idxs"} <= state.keys():
            source = state["a"]
            picked = np.asarray(getattr(source, "value", source)).ravel()[np.asarray(state["idxs"])]
            self.value = picked.reshape(state.get("preferred_shape", picked.shape))
        else:
            raise pickle.UnpicklingError(f"a chumpy array with the fields {', '.join(sorted(state))} is not known")


def _numpy_reconstruct(*args):
    return np.ndarray.__new__(np.ndarray, *args[1:]) if args[0] is np.ndarray else _refuse("numpy", str(args[0]))


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        _refuse("_codecs", f"encode {encoding}")
    return text.encode("latin1")


def _refuse(module: str, name: str):
    raise ModelFileError(
        f"the pickle wants to load {module}.{name}, which no SMPL file contains; it was not opened. "
        "Download the model again from https://smpl.is.tue.mpg.de"
    )


class _RestrictedUnpickler(pickle.Unpickler):
    ALLOWED = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin1_bytes,
        ("scipy.sparse.csc", "csc_matrix"): scipy.sparse.csc_matrix,
        ("scipy.sparse._csc", "csc_matrix"): scipy.sparse.csc_matrix,
        ("chumpy.ch", "Ch"): _ChumpyArray,
        ("chumpy.reordering", "Select"): _ChumpyArray,
    }

    def find_class(self, module: str, name: str):
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _numpy_reconstruct
        if name == "scalar" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np.core.multiarray.scalar
        return self.ALLOWED.get((module, name)) or _refuse(module, name)


def read_legacy_pickle(path: Path) -> dict[str, np.ndarray]:
    """SMPL's arrays from a ``.pkl``.

    Raises:
        ModelFileError: not a pickle, a key is missing, or it holds a class SMPL files do not.
    """
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ModelFileError(f"{path} is {size / 1e9:.1f} GB, no SMPL model is; it was not opened")
        with open(path, "rb") as f:
            raw = _RestrictedUnpickler(f, encoding="latin1").load()
    except ModelFileError:
        raise
    except Exception as e:  # whatever a damaged or doctored pickle makes of its reader
        raise ModelFileError(f"cannot read {path} as a SMPL pickle: {e}") from e
    if not isinstance(raw, dict) or not set(KEYS) <= set(raw):
        missing = sorted(set(KEYS) - set(raw)) if isinstance(raw, dict) else KEYS
        raise ModelFileError(f"{path} is not a SMPL model: it lacks {', '.join(missing)}")
    arrays = {}
    for key in KEYS:
        value = raw[key]
        value = value.value if isinstance(value, _ChumpyArray) else value
        arrays[key] = value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)
        if arrays[key].dtype.kind not in "fiu":
            raise ModelFileError(f"{path} is not a SMPL model: its {key} are no numbers but {arrays[key].dtype}")
    return arrays


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="SMPL_NEUTRAL.pkl or the like, from https://smpl.is.tue.mpg.de")
    parser.add_argument("target", type=Path, help="the npz to write; give it to the parameter body_model")
    args = parser.parse_args(arguments)
    try:
        arrays = read_legacy_pickle(args.source)
        np.savez_compressed(args.target, **arrays)
        read_smpl_npz(args.target)
    except DiffmocapError as e:
        print(f"error: {e}", file=sys.stderr)
        return 1
    print(f"wrote {args.target}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
