"""YAML from outside: plain values within bounds."""

from __future__ import annotations

import pytest
import yaml

from diffmocap.camera.calibration.calibration_file import load_calibration
from diffmocap.errors import SettingsError
from diffmocap.files.yaml_file import MAX_BYTES, MAX_VALUES, read_yaml
from diffmocap.graph.params_file import parameter_in_file

#: Nine lists, each of nine times the one before: 387 million values in 400 bytes.
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n" for before, after in zip("abcdefgh", "bcdefghi")
)


def test_reads_what_pyyaml_reads(repo_root, tmp_path):
    path = repo_root / "config/diffmocap.yaml"
    assert read_yaml(path) == yaml.safe_load(path.read_text())
    own = tmp_path / "own.yaml"
    for text in (
        "",
        "a: 1\nb: [x, 2.5, null, true]\n",
        "base: &b {x: 1}\nother: {<<: *b, y: 2}\n",
        "- &n [1, 2]\n- *n\n",
    ):
        own.write_text(text)
        assert read_yaml(own) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, f"more than {MAX_VALUES} values"),
        ("a: &a [*a]\n", "contains itself"),
        ("[" * 60 + "]" * 60, "nested deeper"),
        ("[" * 20_000 + "]" * 20_000, "nested deeper"),
        ("x" * (MAX_BYTES + 1), "larger than 1 MB"),
        ("a: [1, 2", "no YAML"),
        ("a: !!python/object/apply:os.system [ls]\n", "no YAML"),
        ("\x00\x01", "no YAML"),
        ("a: 1\n---\nb: 2\n", "no YAML"),
    ],
)  # fmt: skip
def test_what_is_too_large_or_no_yaml_is_a_sentence(tmp_path, text, says):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_yaml(path)


def test_the_files_of_users_are_read_this_way(tmp_path):
    path = tmp_path / "laughs.yaml"
    path.write_text(LAUGHS + "camera_matrix: {data: *i}\nimage_width: 640\nimage_height: 480\n")
    with pytest.raises(SettingsError, match="aliases"):
        load_calibration(path)
    path.write_text(LAUGHS + "pose_node: {ros__parameters: {steps: 3}}\n")
    assert parameter_in_file(path, "/pose_node", "steps") is None
