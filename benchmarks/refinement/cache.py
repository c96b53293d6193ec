"""Results of hours, kept: a run that was ended goes on where it was, and nothing of other code or weights is taken."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.page.report import REPOSITORY
from diffmocap.files.digest import digest_of

FOLDER = REPOSITORY / ".cache" / "refinement"
#: Packages whose code the results depend on.
CODE = ("optim", "physics", "refinement", "lifting", "body")


def code_version(root: Path = REPOSITORY) -> str:
    """Of the sources and of the body, in a few letters."""
    code = (path for part in CODE for path in (root / "diffmocap" / part).rglob("*.py"))
    return digest_of(root, [*code, root / "models" / "human.urdf"])[:16]


@dataclass(frozen=True)
class Cache:
    """Tensors, numbers and texts in files named by what they depend on; ``folder`` None keeps nothing."""

    folder: Path | None
    version: str

    @classmethod
    def of_this_code(cls, keep: bool = True, folder: Path = FOLDER) -> Cache:
        """The folder of this repository, or none."""
        return cls(folder if keep else None, code_version())

    def get(self, compute: Callable[[], Any], **depends_on: Any) -> Any:
        """What was kept under these names and values, else computed now and kept."""
        if self.folder is None:
            return compute()
        text = json.dumps({"version": self.version, **depends_on}, sort_keys=True, default=str)
        path = self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.pt"
        if path.is_file():
            return torch.load(path, weights_only=True)
        found = compute()
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(found, partial)
        partial.replace(path)
        path.with_suffix(".json").write_text(text)
        return found
