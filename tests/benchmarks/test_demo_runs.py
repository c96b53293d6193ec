"""Runs of the demo in a row: what one of them said, their medians and the page."""

from __future__ import annotations

import json
import subprocess

import pytest

from benchmarks import demo_runs

SAID = {
    "frames": 726, "poses": 720, "physics_frames": 360, "fps": 30.0, "latency_p50_ms": 40.0, "latency_p99_ms": 60.0,
    "lost": 2, "frames_with_step": 0.9, "hypotheses": 5, "mpjpe_mm": 59.0, "rss_mb": 1000.0, "start_s": 6.0,
    "stages": {"detection": {"p50_ms": 11.0, "p99_ms": 20.0}, "lifting": {"p50_ms": 7.0, "p99_ms": 9.0}},
}  # fmt: skip


@pytest.fixture
def demos(monkeypatch):
    """The demo's answers, one for each run, in the place of processes."""

    def answering(*answers: tuple[int, str]):
        given = iter(answers)

        def ended(arguments):
            return subprocess.CompletedProcess(arguments, *next(given), "what went wrong")

        monkeypatch.setattr(demo_runs, "demo", ended)

    return answering


def test_runs_and_their_medians_stand_on_the_page(demos, tmp_path, capsys):
    fast, slow = SAID, SAID | {"latency_p50_ms": 50.0, "hypotheses": None}
    demos(*((0, "a word before\n" + json.dumps(said) + "\n") for said in (slow, fast, fast)))
    demo_runs.main(["--runs", "3", "--json", "--out", str(tmp_path), "--name", "three", "--note", "quiet"])
    (page,) = tmp_path.glob("*-three.md")
    rows = [line.split(" | ") for line in page.read_text().splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| run", "| ---", "| 1", "| 2", "| 3", "| median"]
    p50, share, hypotheses, detection, publishing = (
        next(i for i, title in enumerate(rows[0]) if title.startswith(name))
        for name in ("p50", "made", "hypotheses", "detection", "publishing")
    )
    assert [row[p50] for row in rows[2:]] == ["50.0", "40.0", "40.0", "40.0"] and rows[2][share] == "50.0"
    assert [row[hypotheses] for row in rows[2:]] == ["", "5", "5", "5"]
    assert rows[-1][detection] == "11.0" and rows[-1][publishing].strip(" |") == "", "a stage that nobody timed"
    assert "- note: quiet" in page.read_text()
    last = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert last["latency_p50_ms"] == 40.0 and last["physics_share"] == 0.5 and last["publishing"] is None


def test_a_demo_that_fails_ends_the_runs_with_its_words(demos):
    demos((3, ""))
    with pytest.raises(SystemExit, match="ended with 3:\nwhat went wrong"):
        demo_runs.main(["--no-page"])
    with pytest.raises(SystemExit):
        demo_runs.main(["--no-page", "--runs", "0"])


def test_the_command_is_the_demos():
    assert demo_runs.command(["--hypotheses", "1"])[1:] == [
        "-m", "diffmocap.cli.main", "demo", "--realtime", "--json", "--no-video", "--hypotheses", "1"
    ]  # fmt: skip
