#!/usr/bin/env python3
"""Pins requirements/*.txt anew, with the hash of every file of every pin: `python tools/lock_requirements.py`.

What a file asks for stands in its first part; the rest, and all hashes, are written by this script. One version of each
package serves every supported Python, and where that cannot be, the pin says for which it is. Versions stay as they are
unless --upgrade is given. Needs `uv` (`pip install uv`) and the package index. ros.txt and torch.txt are kept by hand,
each says why.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"
#: Each file goes on top of those before it.
FILES = ("base", "render", "train", "examples", "test", "export", "body", "robots")
OLDEST_PYTHON = "3.11"
BROUGHT = "# What these bring with them:"
#: Comes with torch, see torch.txt; what pip finds for it depends on the build of torch.
WITH_TORCH = re.compile(r"(torch|triton|nvidia-.*|cuda-.*)==")


def main() -> int:
    """Resolves all files together, then writes each; 1 where something cannot be resolved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrade", action="store_true", help="newest versions of all that is only brought along")
    options = parser.parse_args()
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    if not Path(uv).exists():
        print("lock_requirements: error: uv is not there; pip install uv", file=sys.stderr)
        return 1
    heads = {name: head(REQUIREMENTS / f"{name}.txt") for name in FILES}
    torch = wanted((REQUIREMENTS / "torch.txt").read_text())
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept.txt"  # versions of now, which uv keeps where it can
        if not options.upgrade:
            lines = [line for name in FILES for line in wanted((REQUIREMENTS / f"{name}.txt").read_text())]
            kept.write_text("\n".join(lines) + "\n")
        every = resolve(uv, [*torch, *(line for text in heads.values() for line in wanted(text))], kept)
        known = set(every)
        pins = "\n".join(block.split(" \\")[0] for block in every.values())
        (Path(folder) / "all.txt").write_text(pins)
        before: set[str] = set()
        asked: list[str] = list(torch)
        for name, text in heads.items():
            asked += wanted(text)
            closure = resolve(uv, asked, Path(folder) / "all.txt")
            if not set(closure) <= known:
                print(f"lock_requirements: error: {name}.txt asks for other packages alone", file=sys.stderr)
                return 1
            own = {package_name(line) for line in wanted(text)}
            brought = [closure[key] for key in sorted(set(closure) - before - own)]
            brought = [block for block in brought if not WITH_TORCH.match(block) and "== 'emscripten'" not in block]
            asked_for = [closure[key] for key in sorted(own)]
            lines = [comments(text), *asked_for, *(["", BROUGHT, *brought] if brought else [])]
            (REQUIREMENTS / f"{name}.txt").write_text("\n".join(lines) + "\n")
            before |= set(closure)
    return 0


def head(path: Path) -> str:
    """The part of a file that says what is asked for."""
    return path.read_text().partition(BROUGHT)[0]


def comments(text: str) -> str:
    """The comment lines at its beginning."""
    return "\n".join(line for line in text.splitlines() if line.startswith("#"))


def wanted(text: str) -> list[str]:
    """Requirements with their markers, without hashes."""
    lines = (line.strip().removesuffix("\\").strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "--hash"))]


def package_name(line: str) -> str:
    """Normalised name of a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\s=<>;\[~!]", line, maxsplit=1)[0]).lower()


def resolve(uv: str, asked: list[str], kept: Path) -> dict[str, str]:
    """Name -> pin with marker and hashes (one block of text; versions that differ by Python follow each other)."""
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder) / "asked.in", Path(folder) / "out.txt"
        source.write_text("\n".join(asked) + "\n")
        if kept.is_file():
            shutil.copyfile(kept, out)
        command = [
            uv, "pip", "compile", "--quiet", "--universal", "--python-version", OLDEST_PYTHON,
            "--fork-strategy", "fewest", "--generate-hashes", "--no-annotate", "--no-header", str(source),
            "-o", str(out),
        ]  # fmt: skip
        subprocess.run(command, check=True)
        blocks: dict[str, str] = {}
        for block in re.split(r"(?m)^(?=\S)", out.read_text()):
            if block.strip():
                name = package_name(block)
                blocks[name] = f"{blocks[name]}\n{block.rstrip()}" if name in blocks else block.rstrip()
        return blocks


if __name__ == "__main__":
    sys.exit(main())
