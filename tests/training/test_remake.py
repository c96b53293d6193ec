"""What hangs on the lifting weights is remade in order, once, and goes on where it was stopped."""

from __future__ import annotations

import importlib
import json
import runpy
import sys
from functools import partial
from pathlib import Path

import pytest

from training.lifting.distill import main as distill
from training.lifting.recipe import Recipe
from training.remake import RECORD, STEPS, Record, Step, listing, main, remake

VALUES = {"data": "train.npz", "val": "val.npz", "out": "runs"}


def step(name: str, path: Path, page: bool = False, fails: str = "") -> Step:
    """Appends its name to a file; with ``fails`` it ends with status 3 while that file is not there."""
    code = f"import pathlib, sys; p = pathlib.Path({str(path)!r}); p.write_text(p.read_text() + {name!r})"
    if fails:
        code += f"; sys.exit(0 if pathlib.Path({fails!r}).exists() else 3)"
    return Step(name, name, 1.0, (f'-c "{code}"',), page)


@pytest.fixture
def log(tmp_path) -> Path:
    path = tmp_path / "log"
    path.write_text("")
    return path


def test_steps_run_in_order_and_once(log, tmp_path):
    steps = [step("a", log), step("b", log)]
    assert remake(steps, Record(tmp_path, "sha"), VALUES, True) == 0
    assert remake(steps, Record(tmp_path, "sha"), VALUES, True) == 0
    assert log.read_text() == "ab"
    assert set(json.loads((tmp_path / RECORD).read_text())["sha"]) == {"a", "b"}


def test_other_weights_make_everything_stale(log, tmp_path):
    steps = [step("a", log)]
    remake(steps, Record(tmp_path, "old"), VALUES, True)
    remake(steps, Record(tmp_path, "new"), VALUES, True)
    assert log.read_text() == "aa"


def test_a_step_that_fails_ends_it_and_is_done_again(log, tmp_path, capsys):
    steps = [step("a", log), step("b", log, fails=str(tmp_path / "there")), step("c", log)]
    assert remake(steps, Record(tmp_path, "sha"), VALUES, True) == 3
    assert log.read_text() == "ab" and "goes on from there" in capsys.readouterr().err
    (tmp_path / "there").touch()
    assert remake(steps, Record(tmp_path, "sha"), VALUES, True) == 0
    assert log.read_text() == "abbc"


def test_pages_wait_for_a_commit(log, tmp_path, capsys):
    steps = [step("a", log), step("p", log, page=True), step("q", log, page=True)]
    assert remake(steps, Record(tmp_path, "sha"), VALUES, True) == 1  # what was shipped is not committed
    assert log.read_text() == "a" and "commit models/" in capsys.readouterr().err
    assert remake(steps, Record(tmp_path, "sha"), VALUES, True) == 0
    assert log.read_text() == "apq"


def test_the_list_says_what_is_left(log, tmp_path):
    steps = [step("a", log), step("b", log)]
    record = Record(tmp_path, "sha")
    record.add("a", 2.0)
    lines = listing(steps, record)
    assert "done in 2 min" in lines[0] and "about 1 min" in lines[1] and lines[-1] == "left: 0.0 hours on two cores"


def test_a_student_of_the_shipped_weights_can_be_begun(mocap_dir, tmp_path, monkeypatch):
    """What the first step asks for, for a moment; making all of its poses would take most of a minute."""
    monkeypatch.setattr("training.lifting.distill.Recipe", partial(Recipe, made=64))
    data = str(mocap_dir / "cmu_smpl30_val.npz")
    (first, *_) = STEPS[0].commands
    words = first.format(data=data, val=data, out=tmp_path).split()[2:]
    distill([*words, "--steps", "1", "--minutes", "0", "--validation-frames", "2", "--batch", "2"])
    assert (tmp_path / "student" / "lifting.safetensors").is_file()


def test_every_command_is_one_that_there_is(capsys, monkeypatch):
    """And takes the options it is given. In this process: a dozen of new ones would each import torch."""
    for one in STEPS:
        for command in one.commands:
            words = command.format(**VALUES).split()
            assert words[0] == "-m"
            if len(words) == 2:
                assert importlib.import_module(words[1])
                continue
            monkeypatch.setattr(sys, "argv", [words[1], "--help"])
            with pytest.raises(SystemExit) as ended:
                runpy.run_module(words[1], run_name="__main__")
            assert not ended.value.code
            text = capsys.readouterr().out
            assert all(word in text for word in words[2:] if word.startswith("--")), command
    main(["--list"])
    assert "student" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([])
