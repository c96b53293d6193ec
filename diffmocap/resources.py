"""Where the shipped files are, and whether they are the files that were shipped."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from functools import cache
from pathlib import Path

from diffmocap.errors import ModelFileError

_SOURCE_ROOT = Path(__file__).resolve().parents[1]


@cache
def share_directory() -> Path:
    """Folder that holds ``models/``, ``config/`` and ``launch/``: a source tree or ``share/diffmocap``.

    Raises:
        ModelFileError: the package was installed without its data files.
    """
    candidates = [_SOURCE_ROOT]
    # colcon installs to <prefix>/lib/python3.x/site-packages beside <prefix>/share.
    candidates += [parent / "share" / "diffmocap" for parent in Path(__file__).resolve().parents]
    candidates += [Path(p) / "share" / "diffmocap" for p in (sys.prefix, sysconfig.get_path("data"))]
    for candidate in candidates:
        if (candidate / "models" / "manifest.json").is_file():
            return candidate
    raise ModelFileError(
        "the data files of diffmocap were not found (looked for models/manifest.json in "
        + ", ".join(map(str, dict.fromkeys(candidates)))
        + "); install the package with colcon or pip, or run it from its source tree"
    )


def share_path(*parts: str) -> Path:
    """Path of a shipped file, e.g. ``share_path("config", "diffmocap.yaml")``; it need not exist."""
    return share_directory().joinpath(*parts)


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        for block in iter(lambda: f.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def manifest() -> dict:
    """``models/manifest.json``: for each shipped model its sha256, origin, licence and figures."""
    path = share_path("models", "manifest.json")
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as e:
        raise ModelFileError(f"cannot read {path}: {e}; reinstall diffmocap") from e


def verified_model(name: str) -> Path:
    """Path of ``models/<name>`` after its sha256 was compared with the manifest.

    Raises:
        ModelFileError: the file is missing or differs from what was shipped.
    """
    path = share_path("models", name)
    entry = manifest().get("files", {}).get(name)
    if entry is None:
        raise ModelFileError(f"models/manifest.json does not list {name}; give the path of a file of your own instead")
    if not path.is_file():
        raise ModelFileError(f"{path} is missing; reinstall diffmocap or run `git checkout -- models`")
    actual = sha256_of(path)
    if actual != entry["sha256"]:
        raise ModelFileError(
            f"{path} is corrupt: sha256 {actual[:12]}..., expected {entry['sha256'][:12]}...; "
            "reinstall diffmocap or run `git checkout -- models`"
        )
    return path
