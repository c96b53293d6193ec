"""Archives of arrays: read within bounds, refused in a sentence whatever is inside."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from diffmocap.errors import ModelFileError, MotionFileError
from diffmocap.files.array_archive import ArrayArchive


def archive(path: Path, error=ModelFileError, **options) -> ArrayArchive:
    return ArrayArchive(path, error, "copy it again", **options)


def member(shape: tuple[int, ...], descr: str = "<f8", payload: int = 0) -> bytes:
    """An array's header that promises ``shape``, before so many zeros."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + bytes(payload)


def packed(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members.items():
            target.writestr(f"{name}.npy", data)
    return path


def test_reads_what_numpy_writes(tmp_path):
    path = tmp_path / "all.npz"
    values = {
        "a": np.arange(6.0).reshape(2, 3),
        "n": np.float64(2.5),
        "t": np.array("optical"),
        "f": np.asfortranarray(np.eye(3, 2)),
    }
    for save in (np.savez, np.savez_compressed):
        save(path, **values)
        with archive(path) as data:
            assert data.keys == sorted(values) and "a" in data and "b" not in data
            for key in ("a", "f"):
                np.testing.assert_array_equal(data.array(key), values[key])
            assert data.array("a", (None, 3)).shape == (2, 3)
            assert data.header("a").shape == (2, 3) and data.header("a").dtype == np.float64
            assert (data.number("n"), data.text("t")) == (2.5, "optical")


def test_a_bomb_is_refused_by_its_header_and_never_unpacked(tmp_path):
    """300 MB of zeros in a file of 300 KB."""
    path = tmp_path / "bomb.npz"
    size = 300_000_000
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target, target.open("poses.npy", "w") as stream:
        stream.write(member((size // 8,)))
        for _ in range(size // 1_000_000):
            stream.write(bytes(1_000_000))
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with (
        archive(path, max_array_bytes=100_000_000) as data,
        pytest.raises(ModelFileError, match="holds 300 MB as 'poses'"),
    ):
        data.array("poses")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize("shape", [(10**15,), (2**40, 2**40), (-1,), (5,), (100_000_000,)])
def test_a_header_that_lies_about_its_size_is_refused_before_memory_is_asked_for(tmp_path, shape):
    tracemalloc.start()
    with archive(packed(tmp_path / "lie.npz", x=member(shape, payload=16))) as data:
        with pytest.raises(ModelFileError, match="holds|damaged"):
            data.array("x")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_kinds_shapes_and_values_are_checked(tmp_path):
    path = tmp_path / "kinds.npz"
    np.savez(path, text=np.full(3, "x"), number=np.zeros(3), nan=np.array([np.nan]), truth=np.ones(2, bool),
             complex=np.ones(2, complex), objects=np.array([{}], object), half=np.array([0.5]))  # fmt: skip
    with archive(path, MotionFileError) as data:
        for key, options, words in (
            ("text", {}, "expected numbers"), ("truth", {}, "expected numbers"), ("complex", {}, "expected numbers"),
            ("number", {"kind": "text"}, "expected text"), ("half", {"kind": "whole numbers"}, "expected whole"),
            ("nan", {}, "not finite"), ("objects", {}, "pickle"), ("nothing", {}, "lacks the key 'nothing'"),
            ("number", {"shape": (None, 3)}, r"\[3\], expected \['\*', 3\]"),
        ):  # fmt: skip
            with pytest.raises(MotionFileError, match=words) as caught:
                data.array(key, **options)
            assert str(path) in str(caught.value) and "copy it again" in str(caught.value)
        for read in (data.number, data.text):
            with pytest.raises(MotionFileError):
                read("number" if read == data.number else "text")


def test_files_that_are_no_archives(tmp_path):
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "single.npy", np.zeros(3))
    for name, words in (("nothing.npz", "does not exist"), ("text.npz", "no readable"), ("single.npy", "single array"),
                        ("", "does not exist")):  # fmt: skip
        with pytest.raises(ModelFileError, match=words):
            archive(tmp_path / name)


def test_every_cut_and_every_changed_byte_is_refused_or_read(tmp_path):
    """Whatever happens to a file on its way, the only error is ours."""
    path = tmp_path / "damaged.npz"
    np.savez_compressed(path, poses=np.random.default_rng(0).normal(size=(4, 6)), name=np.array("a"))
    whole = path.read_bytes()
    random = np.random.default_rng(1)
    for trial in range(300):
        damaged = bytearray(whole)
        if trial % 2:
            damaged = damaged[: random.integers(len(whole))]
        else:
            for place in random.integers(len(whole), size=3):
                damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            with archive(path) as data:
                for key in data.keys:
                    data.array(key, kind="text" if key == "name" else "numbers")
        except ModelFileError:
            pass
