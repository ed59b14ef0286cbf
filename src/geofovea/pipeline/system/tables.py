"""Tables that line up, for people; the same rows go to machines as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from geofovea.pipeline.system.terminal import visible

if TYPE_CHECKING:
    from geofovea.tiling.inspection import Inspection

__all__ = ["markdown_table", "print_inspection", "print_table"]

_WIDEST = 160


def print_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers_from: int = 1
) -> None:
    """Print a table on standard output; columns from ``numbers_from`` on are set flush right.

    Where the output is not a terminal nothing is cut: the width is that of the contents.
    """
    # here, so that the doctor can tell that it is missing
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDEST)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(header):
        table.add_column(Text(name), justify="right" if index >= numbers_from else "left")
    for row in rows:
        # as text, for rich reads colours out of brackets
        table.add_row(*(Text(visible(cell)) for cell in row))
    console.print(table)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The same as GitHub-flavoured Markdown, columns padded to line up in plain text."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"

    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def print_inspection(inspection: Inspection) -> None:
    """Print what is known about a scene."""
    from rich.console import Console

    gsd = "unknown" if inspection.gsd_m is None else f"{inspection.gsd_m:.4g} m"
    nodata = "none" if inspection.nodata is None else f"{inspection.nodata:g}"
    pixels = inspection.width * inspection.height / 1e6
    facts = (
        ("file", f"{inspection.path} ({inspection.driver}, {inspection.size_bytes / 1e6:.1f} MB)"),
        ("size", f"{inspection.width} × {inspection.height} px ({pixels:.1f} Mpx)"),
        ("bands", f"{', '.join(inspection.bands)} ({inspection.dtype})"),
        ("CRS", f"{inspection.crs or 'none'} (by {inspection.georef}), GSD {gsd}"),
        ("nodata", f"{nodata} (mask: {inspection.mask})"),
        ("shown", inspection.shown),
        ("block", f"{inspection.block[1]} × {inspection.block[0]} px"),
    )
    console = Console(width=_WIDEST, highlight=False, soft_wrap=True)
    for name, value in facts:
        console.print(visible(f"{name:<8}{value}"), markup=False, emoji=False)
    rows = [
        [
            str(level.level),
            f"{level.width} × {level.height}",
            f"{level.rows} × {level.cols}",
            level.source,
            str(level.blocks_per_tile),
            "cheap" if level.is_cheap else "costly",
        ]
        for level in inspection.levels
    ]
    print_table(("level", "pixels", "tiles", "read from", "blocks a tile", "reads are"), rows)
    for note in inspection.notes:
        console.print(visible(f"note: {note}"), markup=False, emoji=False)
