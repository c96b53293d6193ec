"""The setup runs a step when its inputs changed, and only then; failures say what to do."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bootstrap() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bootstrap", ROOT / "tools/bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def steps(bootstrap: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bootstrap, "check_machine", lambda venv: None)
    return bootstrap.Steps(tmp_path)


def test_a_step_runs_again_only_when_its_inputs_change(steps) -> None:
    calls = []
    for key in ("a", "a", "b", "b", "a"):
        steps.run("step", key, "a step", lambda: calls.append(1))
    assert len(calls) == 3 == steps.ran


def test_a_failed_step_is_not_stamped(bootstrap: ModuleType, steps) -> None:
    def fail() -> None:
        raise bootstrap.BootstrapError("no")

    steps.run("step", "a", "a step", lambda: None)
    with pytest.raises(bootstrap.BootstrapError):
        steps.run("step", "b", "a step", fail)
    calls = []
    steps.run("step", "a", "a step", lambda: calls.append(1))  # what "a" left behind may be half replaced
    assert calls


def test_digest_sees_contents_names_and_order(bootstrap: ModuleType, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(bootstrap, "REPOSITORY", tmp_path)
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "a.msg").write_text("uint8 x")
    digests = [bootstrap.digest(folder)]
    (folder / "a.msg").write_text("uint8 y")
    digests.append(bootstrap.digest(folder))
    (folder / "a.msg").rename(folder / "b.msg")
    digests.append(bootstrap.digest(folder))
    digests.append(bootstrap.digest(folder, "--option"))
    assert len(set(digests)) == 4 and bootstrap.digest(folder) == digests[2]


def test_a_failed_command_shows_its_output_and_the_way_out(bootstrap: ModuleType, steps) -> None:
    script = "import sys; print('Failed to establish a new connection'); sys.exit(3)"
    with pytest.raises(bootstrap.BootstrapError) as caught:
        steps.command(sys.executable, "-c", script, what="pip install")
    message = str(caught.value)
    for part in ("pip install failed (exit code 3)", "Failed to establish", "No connection", "setup.log"):
        assert part in message


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("Temporary failure in name resolution", "No connection"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", "differs from the one"),
        ("ERROR: No matching distribution found for torch==9", "PIP_INDEX_URL"),
        ("all is well", ""),
    ],
)
def test_known_failures_are_explained(bootstrap: ModuleType, output: str, advice: str) -> None:
    assert advice in bootstrap.explain(output)


def test_another_python_is_refused_before_any_download(bootstrap: ModuleType, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(bootstrap.sys, "version_info", (3, 13, 0, "final", 0))
    with pytest.raises(bootstrap.BootstrapError, match=r"Python 3.11 is needed.*3\.13\.0"):
        bootstrap.check_machine(tmp_path / ".venv")


def test_missing_debian_packages_are_named(bootstrap: ModuleType, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(bootstrap, "find_spec", lambda name: None)
    monkeypatch.setattr(bootstrap.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(bootstrap.BootstrapError, match=r"apt install python3.11-venv python3.11-dev g\+\+"):
        bootstrap.check_machine(tmp_path / ".venv")


def test_a_venv_that_was_moved_is_not_trusted(bootstrap: ModuleType, tmp_path: Path) -> None:
    assert not bootstrap.venv_works(tmp_path / "nothing_here")
    moved = tmp_path / "moved"
    (moved / "bin").mkdir(parents=True)
    (moved / "bin/python").symlink_to(sys.executable)
    (moved / "bin/activate").write_text("VIRTUAL_ENV=/elsewhere")
    assert not bootstrap.venv_works(moved)


def test_the_physics_is_compiled_again_for_another_processor_or_other_sources(
    bootstrap, steps, tmp_path, monkeypatch
) -> None:
    calls, now = [], {"processor": "an old one"}
    monkeypatch.setattr(steps, "command", lambda *command, what: calls.append(command[1:]))
    monkeypatch.setattr(bootstrap, "processor", lambda: now["processor"])
    monkeypatch.setattr(bootstrap, "REPOSITORY", tmp_path)
    monkeypatch.setattr(bootstrap, "REQUIREMENTS", tmp_path / "requirements")
    deep = tmp_path / "diffmocap/refinement/kernels/loss.py"
    lifting = tmp_path / "diffmocap/lifting/correction/gain.py"
    for path in (deep, lifting, tmp_path / "diffmocap/compiler.py", tmp_path / "requirements/base.txt"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a = 1")
    counts = []
    for change in ("nothing", "nothing", "processor", "source", "lifting"):
        if change == "processor":
            now["processor"] = "a new one"
        if change == "source":
            deep.write_text("a = 2")
        if change == "lifting":
            lifting.write_text("a = 3")
        bootstrap.compile_physics(steps)
        counts.append(len(calls))
    assert counts == [1, 1, 2, 3, 4] and set(calls) == {("-m", "diffmocap.pipeline")}


def test_a_setup_goes_on_where_the_physics_cannot_be_compiled_ahead(bootstrap, steps, monkeypatch, capsys) -> None:
    def fail(*command, what: str) -> None:
        raise bootstrap.BootstrapError("the disk is full")

    monkeypatch.setattr(steps, "command", fail)
    bootstrap.compile_physics(steps)
    assert "the disk is full" in capsys.readouterr().err


def test_sizes_are_said_once_before_the_first_download(bootstrap: ModuleType, steps, monkeypatch, capsys) -> None:
    plan = bootstrap.setup_plan
    source = plan.TorchSource(("--made-up", "torch==0+cpu"), "torch-cpu", "a reason")
    monkeypatch.setattr(plan, "torch_source", lambda python: source)
    commands = []
    monkeypatch.setattr(steps, "pip_install", lambda *given, what: commands.append((given, capsys.readouterr().out)))
    bootstrap.install(steps, bootstrap.PARTS)
    (torch, before), (base, _), _, (ros, _) = commands
    assert "a reason" in before and "together" in before and str(plan.SIZES["ros"].disk_mb) in before
    assert torch[-2:] == source.arguments and base[-2] == "-r" and base[-1].endswith("base.txt")
    assert "--require-hashes" in ros
    commands.clear()
    capsys.readouterr()
    bootstrap.install(steps, bootstrap.PARTS)
    assert not commands and capsys.readouterr().out == "", "nothing changed, nothing is said"


def test_a_disk_that_is_too_small_is_told_before_the_first_download(bootstrap: ModuleType, steps, monkeypatch) -> None:
    plan = bootstrap.setup_plan
    monkeypatch.setattr(plan, "torch_source", lambda python: plan.TorchSource((), "torch-cuda", "a GPU"))
    free = plan.shutil.disk_usage(steps.venv)._replace(free=4_000_000_000)
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda path: free)
    monkeypatch.setattr(steps, "pip_install", lambda *options, what: pytest.fail("something was downloaded"))
    with pytest.raises(bootstrap.BootstrapError, match="free some space"):
        bootstrap.install(steps, bootstrap.PARTS)


@pytest.mark.parametrize("found", ["/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/core/include", None])
def test_cmake_exports_name_this_numpy_also_after_another_release(bootstrap: ModuleType, tmp_path: Path, found) -> None:
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin/python").symlink_to(sys.executable)
    export = venv / "share/std_srvs/cmake/export.cmake"
    export.parent.mkdir(parents=True)
    older = found or f"{venv}/lib/python3.11/site-packages/numpy/core/include"
    export.write_text(f'DIRECTORIES "/opt/python/cp311-cp311/include/python3.11;{older}"')
    bootstrap.correct_cmake_exports(venv)
    folders = export.read_text().split('"')[1].split(";")
    assert all(Path(folder).is_dir() for folder in folders)
    assert (Path(folders[1]) / "numpy/arrayobject.h").is_file()
