"""What is kept of compiled functions: used again for the same code, and never for other code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from diffmocap import compiler

#: Parts of the lifting that compile.
#: Without a call of NumPy's, whose parts Numba compiles by themselves, once a process.
SOURCE = """
from diffmocap.compiler import compiled

@compiled
def doubled(x):
    total = 0.0
    for i in range(x.shape[0]):
        total += x[i]
    return 2.0 * total
"""


@pytest.fixture
def load(tmp_path):
    """Imports the same file anew."""
    path = tmp_path / "doubled.py"
    path.write_text(SOURCE)

    def fresh():
        spec = importlib.util.spec_from_file_location("doubled", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.doubled

    return fresh


def test_code_is_kept_until_any_of_it_changes(load, monkeypatch):
    found = []
    for state in ("a", "a", "b", "b", "a"):
        monkeypatch.setattr(compiler, "sources", lambda *rooms, state=state: state)
        function = load()
        assert function(np.ones(3)) == 6.0
        found.append(sum(function.stats.cache_hits.values()))
    assert found == [0, 1, 0, 1, 0]


def test_sources_are_those_of_the_compiled_parts():
    assert len(compiler.sources()) == 16 and compiler.sources() == compiler.sources()
    root = Path(compiler.__file__).parent
    for path in root.rglob("*.py"):  # whoever compiles is looked at
        if "@compiled" in path.read_text() and path.name != "compiler.py":
            parts = path.relative_to(root).parts
            assert parts[0] in ("body", "physics", "refinement") or "/".join(parts[:2]) in compiler.OWN_ROOMS, path
    digests = {compiler.sources((*others, room)) for room, others in compiler.OWN_ROOMS.items()}
    assert len({*digests, compiler.sources()}) == len(compiler.OWN_ROOMS) + 1


def test_a_full_disk_keeps_nothing_from_running(load, monkeypatch):
    from numba.core.caching import IndexDataCacheFile

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(IndexDataCacheFile, "_save_data", full)
    assert load()(np.ones(4)) == 8.0
    monkeypatch.undo()
    assert load()(np.ones(4)) == 8.0  # what was half written is made anew


def test_people_are_told_what_they_wait_for_and_only_then(load, tmp_path):
    for expected in (["once", "1 functions in ", "done in "], []):
        told: list[str] = []
        with compiler.compiling_told(told.append, period_s=0.0):
            assert load()(np.ones(2)) == 4.0
        assert len(told) == len(expected)
        assert all(line.startswith(compiler.COMPILING) and text in line for line, text in zip(told, expected))
    for path in tmp_path.rglob("*.nbi"):
        path.write_bytes(b"damaged")
    assert load()(np.ones(2)) == 4.0


def test_where_nothing_can_be_kept_the_reason_is_told(load, monkeypatch):
    from numba.core import caching

    told: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(caching.CacheImpl, "_locator_classes", [])
        with compiler.compiling_told(told.append):
            assert load()(np.ones(2)) == 4.0
    assert "at every start" in told[0] and "NUMBA_CACHE_DIR" in told[0]
    with monkeypatch.context() as patch:

        def full(path: Path, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        patch.setattr(Path, "write_bytes", full)
        assert "No space left on device" in compiler.why_not_kept(load())
    assert compiler.why_not_kept(load()) == ""


def test_the_command_line_knows_the_lines_of_progress():
    from diffmocap.cli import play

    assert play.COMPILING == compiler.COMPILING


@pytest.mark.parametrize("package", ["numba", "scipy.linalg.cython_blas"])
def test_a_compiler_that_cannot_be_loaded_is_none(monkeypatch, package):
    compiler.available.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    if package != "numba":
        monkeypatch.setattr("numba.np.linalg.ensure_blas", lambda: importlib.import_module(package))
    with pytest.warns(UserWarning, match="ten times slower"):
        assert not compiler.available()
    monkeypatch.undo()
    compiler.available.cache_clear()
    assert compiler.available()
