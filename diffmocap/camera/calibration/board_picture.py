"""A chessboard to print, as SVG or PDF in true size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from diffmocap.camera.calibration.chessboard import Board
from diffmocap.errors import SettingsError

#: Landscape sheets (width, height) [mm], the smallest first.
SHEETS_MM = {"A4": (297, 210), "A3": (420, 297), "A2": (594, 420), "A1": (841, 594), "A0": (1189, 841)}
#: White that a board needs around itself, over the edge of a square, and for printers [mm].
MARGIN_SQUARES, MIN_MARGIN_MM = 0.6, 12.0
RULER_MM = 100.0
_POINTS_PER_MM = 72.0 / 25.4


@dataclass(frozen=True)
class _Layout:
    width_mm: float
    height_mm: float
    sheet: str
    squares_mm: list[tuple[float, float, float]]  # x, y from the upper left, edge
    text: str


def write_board(path: str | Path, board: Board) -> str:
    """Writes the board's picture; returns the sheet that it fits on.

    Raises:
        SettingsError: where the file's ending is neither .svg nor .pdf.
    """
    path = Path(path)
    writers: dict[str, Callable[[_Layout], bytes]] = {".svg": _svg, ".pdf": _pdf}
    if path.suffix.lower() not in writers:
        raise SettingsError(f"a board is written as .svg or .pdf, got '{path.name}'")
    layout = _laid_out(board)
    path.write_bytes(writers[path.suffix.lower()](layout))
    return layout.sheet


def _laid_out(board: Board) -> _Layout:
    edge = 1000.0 * board.square_m
    across, down = board.columns + 1, board.rows + 1
    margin = max(MARGIN_SQUARES * edge, MIN_MARGIN_MM)
    needed = across * edge + 2 * margin, down * edge + 2 * margin
    fitting = [(name, size) for name, size in SHEETS_MM.items() if size[0] >= needed[0] and size[1] >= needed[1]]
    sheet, (width, height) = fitting[0] if fitting else (f"{needed[0]:.0f} x {needed[1]:.0f} mm", needed)
    left, top = (width - across * edge) / 2, (height - down * edge) / 2
    squares = [
        (left + column * edge, top + row * edge, edge)
        for row in range(down)
        for column in range(across)
        if (row + column) % 2 == 0
    ]
    text = (
        f"{board.columns}x{board.rows} inner corners, squares of {edge:g} mm. Print at 100 %, glue it to something "
        "flat; this line has 100 mm:"
    )
    return _Layout(width, height, sheet, squares, text)


def _svg(layout: _Layout) -> bytes:
    squares = "\n".join(
        f'<rect x="{x:.4f}" y="{y:.4f}" width="{e:.4f}" height="{e:.4f}"/>' for x, y, e in layout.squares_mm
    )
    ruler_x, base = layout.width_mm - RULER_MM - MIN_MARGIN_MM, layout.height_mm - 5.0
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" width="{layout.width_mm:.4f}mm" height="{layout.height_mm:.4f}mm" \
viewBox="0 0 {layout.width_mm:.4f} {layout.height_mm:.4f}">
<rect width="100%" height="100%" fill="white"/>
<g shape-rendering="crispEdges">
{squares}
</g>
<text x="{MIN_MARGIN_MM}" y="{base}" font-family="sans-serif" font-size="3">{layout.text}</text>
<rect x="{ruler_x:.4f}" y="{base - 1.5:.4f}" width="{RULER_MM}" height="0.5"/>
</svg>
""".encode()


def _pdf(layout: _Layout) -> bytes:
    """One page of rectangles and a line of text; PDF counts in points from the lower left."""
    scale = _POINTS_PER_MM
    ruler_x, base = layout.width_mm - RULER_MM - MIN_MARGIN_MM, 5.0
    drawing = [f"{scale:.8f} 0 0 {scale:.8f} 0 0 cm"]  # millimetres from here on
    drawing += [f"{x:.4f} {layout.height_mm - y - e:.4f} {e:.4f} {e:.4f} re f" for x, y, e in layout.squares_mm]
    drawing.append(f"{ruler_x:.4f} {base + 1.0:.4f} {RULER_MM} 0.5 re f")
    drawing.append(f"BT /F1 3 Tf {MIN_MARGIN_MM} {base} Td ({layout.text}) Tj ET")
    stream = "\n".join(drawing).encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {layout.width_mm * scale:.4f} {layout.height_mm * scale:.4f}] "
        "/Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    body, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return body + end % (len(objects) + 1, table, len(objects) + 1, len(body))
