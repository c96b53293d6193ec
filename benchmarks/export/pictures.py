"""Exported files as Blender draws them, side by side."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from benchmarks.export import judges

#: Times of the clip, as shares of it.
SHARES = (0.12, 0.55, 0.83)


def draw(out: Path, folder: Path, fps: float, missing: set[str]) -> Path | None:
    """One picture of ``plain.glb`` above ``plain.bvh`` of the folder; None without Blender, which ``missing`` says."""
    rows = []
    try:
        for suffix in ("glb", "bvh"):
            stem = folder / f"picture-{suffix}"
            judges.run_in_blender(
                "blender_picture.py", str(folder / f"plain.{suffix}"), repr(fps), str(stem), *map(str, SHARES)
            )
            files = sorted(folder.glob(f"{stem.name}-*.png"), key=lambda path: int(path.stem.rpartition("-")[2]))
            rows.append([Image.open(file).convert("RGB") for file in files])
    except judges.NotInstalled as reason:
        missing.add(str(reason))
        return None
    width, height = rows[0][0].size
    sheet = Image.new("RGB", (width * len(SHARES), height * len(rows)))
    for r, row in enumerate(rows):
        for c, image in enumerate(row):
            sheet.paste(image, (c * width, r * height))
    sheet.quantize(128).save(out, optimize=True)
    return out
