"""A user's own SMPL: what is accepted, what is refused and with which words."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
import pytest
import scipy.sparse

from diffmocap.body import convert_smpl
from diffmocap.body.model import BodyModel
from diffmocap.body.skeleton import PARENTS
from diffmocap.body.smpl_data import read_smpl_npz
from diffmocap.errors import ModelFileError
from diffmocap.resources import share_path


@pytest.fixture(scope="module")
def smpl_like() -> dict[str, np.ndarray]:
    """Arrays in the licensed file's layout, with its vertex count and random values."""
    rng = np.random.default_rng(0)
    regressor = rng.random((24, 6890)) * (rng.random((24, 6890)) < 0.01)
    weights = rng.random((6890, 24))
    return {
        "v_template": rng.standard_normal((6890, 3)), "shapedirs": rng.standard_normal((6890, 3, 10)),
        "posedirs": 1e-3 * rng.standard_normal((6890, 3, 207)),
        "J_regressor": regressor / regressor.sum(1, keepdims=True),
        "weights": weights / weights.sum(1, keepdims=True), "f": rng.integers(0, 6890, (100, 3)).astype(np.uint32),
        "kintree_table": np.array([[4294967295, *PARENTS[1:]], range(24)], np.uint32),
    }  # fmt: skip


def test_reads_smpl_as_npz(smpl_like, tmp_path):
    path = tmp_path / "smpl.npz"
    np.savez(path, **smpl_like)
    body = BodyModel.load(path)
    assert body.template.shape == (6890, 3) and body.pose_dirs is not None
    assert body.vertex_ids["nose"] == 332  # smplx's table for SMPL's topology


def test_converts_a_legacy_pickle(smpl_like, tmp_path, capsys):
    source, target = tmp_path / "SMPL_NEUTRAL.pkl", tmp_path / "out.npz"
    legacy = dict(smpl_like, J_regressor=scipy.sparse.csc_matrix(smpl_like["J_regressor"]))
    source.write_bytes(pickle.dumps(legacy, protocol=2))
    assert convert_smpl.main([str(source), str(target)]) == 0
    assert np.allclose(read_smpl_npz(target).v_template, smpl_like["v_template"].astype(np.float32))


def test_converts_the_chumpy_arrays_of_old_files(smpl_like, tmp_path, monkeypatch):
    """Classes as chumpy pickles them; chumpy itself no longer installs."""

    def made(module: str, name: str, **state):
        kind = type(name, (), {"__module__": module, "__getstate__": lambda self: state})
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: kind}))
        return kind()

    for module in ("chumpy", "chumpy.ch", "chumpy.reordering"):
        monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    shape = smpl_like["shapedirs"].shape
    backwards = made("chumpy.ch", "Ch", x=smpl_like["shapedirs"].ravel()[::-1].copy())
    picked = made(
        "chumpy.reordering", "Select", a=backwards, idxs=np.arange(np.prod(shape))[::-1], preferred_shape=shape
    )
    source, target = tmp_path / "old.pkl", tmp_path / "out.npz"
    source.write_bytes(pickle.dumps(dict(smpl_like, shapedirs=picked), protocol=2))
    assert convert_smpl.main([str(source), str(target)]) == 0
    assert np.allclose(np.load(target)["shapedirs"], smpl_like["shapedirs"])


def test_conversion_refuses_code(tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    source = tmp_path / "evil.pkl"
    source.write_bytes(pickle.dumps({"v_template": Evil()}))
    assert convert_smpl.main([str(source), str(tmp_path / "o.npz")]) == 1
    out = capsys.readouterr()
    assert "ran" not in out.out and "builtins.print" in out.err


@pytest.mark.parametrize("joints, kind", [(52, "SMPL-H"), (55, "SMPL-X")])
def test_names_the_wrong_kind_of_model(smpl_like, tmp_path, joints, kind):
    path = tmp_path / "model.npz"
    np.savez(path, **dict(smpl_like, kintree_table=np.zeros((2, joints), np.int64)))
    with pytest.raises(ModelFileError, match=kind):
        read_smpl_npz(path)


def test_says_where_the_model_comes_from(tmp_path):
    with pytest.raises(ModelFileError, match="smpl.is.tue.mpg.de"):
        read_smpl_npz(tmp_path / "none.npz")
    pickled = tmp_path / "SMPL_NEUTRAL.pkl"
    pickled.write_bytes(b"x")
    with pytest.raises(ModelFileError, match="convert_smpl"):
        read_smpl_npz(pickled)
    for name, content in (("text.npz", b"hello"), ("cut.npz", None)):
        path = tmp_path / name
        if content is None:
            np.savez(path, v_template=np.zeros((10, 3)))
            path.write_bytes(path.read_bytes()[:60])
        else:
            path.write_bytes(content)
        with pytest.raises(ModelFileError):
            read_smpl_npz(path)


def test_refuses_pickled_objects_in_an_npz(tmp_path):
    path = tmp_path / "objects.npz"
    np.savez(path, v_template=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelFileError, match="pickle"):
        read_smpl_npz(path)


def shipped() -> dict[str, np.ndarray]:
    """The arrays of the body that ships, in its sparse layout."""
    with np.load(share_path("models", "body_anny.npz"), allow_pickle=False) as data:
        return dict(data)


@pytest.mark.parametrize(
    "change",
    [
        {"vertex_names": np.arange(11)},
        {"vertex_names": np.array(["nose"])},
        {"vertex_ids": np.full(11, 10**6)},
        {"vertex_ids": np.array("five")},
        {"regressor_index": np.full((2, 3), 10**6)},
        {"regressor_value": np.array(["a"])},
        {"weight_index": np.zeros((2, 0), np.int64), "weight_value": np.zeros(0)},
        {"kintree_table": np.array(["a"] * 24)},
        {"kintree_table": np.float64(3)},
        {"f": np.array([[0, 1, 10**6]])},
        {"f": np.array(["a"])},
        {"v_template": np.float64(1)},
        {"v_template": np.full((10, 3), 1e300)},
        {"shapedirs": np.zeros((13718, 3, 2))},
        {"posedirs": np.zeros((13718, 207))},
    ],
    ids=lambda change: "-".join(f"{key}:{value.dtype}{list(value.shape)}" for key, value in change.items()),
)
def test_a_body_with_another_kind_of_thing_inside_is_refused(tmp_path, change):
    path = tmp_path / "odd.npz"
    np.savez(path, **(shipped() | change))
    with pytest.raises(ModelFileError, match="odd.npz.*smpl.is.tue.mpg.de"):
        BodyModel.load(path)


def test_only_what_a_body_needs_is_read_of_its_file(tmp_path):
    """A part that nobody asks for may be as large as it likes, and be what it likes."""
    path = tmp_path / "more.npz"
    np.savez(path, **shipped(), comment=np.array([{}], dtype=object))
    assert len(BodyModel.load(path).template) == 13718


def test_a_pickle_of_texts_is_no_smpl_model(smpl_like, tmp_path, capsys):
    source, target = tmp_path / "texts.pkl", tmp_path / "out.npz"
    source.write_bytes(pickle.dumps(dict(smpl_like, v_template=["a"] * 6890), protocol=2))
    assert convert_smpl.main([str(source), str(target)]) == 1
    assert "v_template are no numbers" in capsys.readouterr().err and not target.exists()
