"""The record of the shipped models, ``models/manifest.json``: who made a file, from what, under which licence."""

from __future__ import annotations

import json
import re
from pathlib import Path

from diffmocap.resources import sha256_of

MODELS = Path(__file__).resolve().parents[1] / "models"
ACKNOWLEDGEMENT = (
    "The data used in this project was obtained from mocap.cs.cmu.edu. "
    "The database was created with funding from NSF EIA-0196217."
)


def without_folders(command: str) -> str:
    """The command with the folders of its data left out, and of absolute paths all but the last part."""
    command = re.sub(r"\S*/(?=[^/\s]+\.npz)", "", command)
    return re.sub(r"(?<=\s)/\S*/(?=[^/\s]+)", "", command)


def write_entry(models: Path, name: str, entry: dict) -> None:
    """Replaces one file's entry in the manifest, its sha256 included."""
    path = models / "manifest.json"
    manifest = json.loads(path.read_text()) if path.is_file() else {"files": {}}
    manifest["files"][name] = {"sha256": sha256_of(models / name), **entry}
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def forget_entry(models: Path, name: str) -> None:
    """Removes one file and its entry, where they are."""
    (models / name).unlink(missing_ok=True)
    path = models / "manifest.json"
    if path.is_file():
        manifest = json.loads(path.read_text())
        manifest["files"].pop(name, None)
        path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
