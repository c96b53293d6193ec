"""Where PyTorch comes from, what is said before a download, and a disk that is too small."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plan() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_plan", ROOT / "tools/setup_plan.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["setup_plan"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def index(plan) -> Iterator[str]:
    """A package index on loopback that lists torch's CPU wheels of this Python alone, as PyTorch's does."""
    tag, version = plan.wheel_tag(sys.executable), plan.torch_pin()
    page = "".join(
        f'<a href="/whl/cpu/torch-{v}%2Bcpu-{t}-manylinux_2_28_{m}.whl#sha256=0">torch</a>\n'
        for v, t, m in ((version, tag, "x86_64"), (version, tag, "aarch64"), ("1.0.0", "cp36-cp36m", "x86_64"))
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/slow/torch/":
                time.sleep(3.0)
            found = self.path in ("/torch/", "/slow/torch/")
            self.send_response(200 if found else 404)
            self.end_headers()
            if found:
                self.wfile.write(page.encode())

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def no_gpu(plan, monkeypatch):
    monkeypatch.setattr(plan.sys, "platform", "linux")
    monkeypatch.setattr(plan, "nvidia_gpu", lambda: False)
    monkeypatch.setattr(plan, "pip_finds", lambda python, requirement: False)


def test_the_index_of_cpu_builds_is_taken_where_it_answers(plan, index, no_gpu, monkeypatch):
    monkeypatch.setenv("DIFFMOCAP_TORCH_INDEX", index)
    source = plan.torch_source(sys.executable)
    assert source.arguments == ("--extra-index-url", index, f"torch=={plan.torch_pin()}+cpu")
    assert source.part == "torch-cpu" and index in source.why


@pytest.mark.parametrize("where", ["nothing listens", "not found", "another python", "too slow", "no address", "none"])
def test_an_index_that_cannot_serve_is_left_out(plan, index, no_gpu, monkeypatch, capfd, where):
    monkeypatch.setattr(plan, "INDEX_TIMEOUT_S", 0.5)
    address = {"nothing listens": "http://127.0.0.1:9", "not found": f"{index}/else", "too slow": f"{index}/slow",
               "no address": "nonsense", "none": ""}.get(where, index)  # fmt: skip
    if where == "another python":
        monkeypatch.setattr(plan, "wheel_tag", lambda python: "cp399-cp399")
    monkeypatch.setenv("DIFFMOCAP_TORCH_INDEX", address)
    source = plan.torch_source(sys.executable)
    assert source.arguments == ("-r", str(ROOT / "requirements/torch.txt")) and source.part == "torch-cuda"
    assert capfd.readouterr() == ("", "")


def test_what_pip_finds_by_itself_comes_first(plan, no_gpu, monkeypatch):
    asked = []
    monkeypatch.setattr(plan, "pip_finds", lambda python, requirement: asked.append(requirement) or True)
    monkeypatch.setattr(plan, "index_has", lambda *a: pytest.fail("the network was asked"))
    assert plan.torch_source(sys.executable).arguments == (f"torch=={plan.torch_pin()}+cpu",) == tuple(asked)


def test_a_gpu_gets_the_build_for_it(plan, no_gpu, monkeypatch):
    monkeypatch.setattr(plan, "nvidia_gpu", lambda: True)
    assert plan.torch_source(sys.executable).part == "torch-cuda"


def test_a_gpu_is_what_its_driver_lists(plan, monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    for text, found in (
        ("echo 'GPU 0: NVIDIA H200 (UUID: GPU-1)'", True),
        ("echo 'No devices were found'; exit 6", False),
    ):
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        assert plan.nvidia_gpu() is found


def test_pip_really_looks_and_installs_nothing(plan, tmp_path, monkeypatch):
    """A wheel of a made-up package in a folder that pip is told of."""
    name = "made_up_for_a_test-1.0+cpu"
    wheel = tmp_path / f"{name}-py3-none-any.whl"
    import zipfile

    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: made-up-for-a-test\nVersion: 1.0+cpu\n"
        )
        archive.writestr(
            f"{name}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert plan.pip_finds(sys.executable, "made-up-for-a-test==1.0+cpu")
    assert not plan.pip_finds(sys.executable, "made-up-for-a-test==2.0+cpu")
    assert importlib.util.find_spec("made_up_for_a_test") is None


def test_every_part_has_a_size_and_the_sum_is_told(plan, tmp_path):
    names = {path.stem for path in (ROOT / "requirements").glob("*.txt")} - {"torch", "body"}
    assert names <= set(plan.SIZES)
    lines = plan.announce(["torch-cpu", "base"], tmp_path / "not" / "there")
    total = plan.SIZES["torch-cpu"].download_mb + plan.SIZES["base"].download_mb
    assert len(lines) == 3 and f"{total} MB to download" in lines[-1] and "MB free" in lines[-1]


def test_a_disk_that_is_too_small_is_told_before_any_download(plan, tmp_path, monkeypatch):
    plan.check_disk(["base"], tmp_path / ".venv")
    free = plan.shutil.disk_usage(tmp_path)._replace(free=900_000_000)
    monkeypatch.setattr(plan.shutil, "disk_usage", lambda path: free)
    with pytest.raises(plan.DiskFull, match=r"needs [0-9.]+ GB on the disk of .*0.9 GB free"):
        plan.check_disk(["base"], tmp_path / ".venv")
    command = [sys.executable, ROOT / "tools/setup_plan.py", "--venv", tmp_path, "nonsense"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
