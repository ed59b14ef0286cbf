"""``geofovea info``: what a scene is, and which reads of it are cheap."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import groupby
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import click

from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.scene import access_options, view_options
from geofovea.pipeline.cli.options.shared import json_option, scene_argument
from geofovea.pipeline.cli.options.shell_words import told_in_shell_words
from geofovea.pipeline.system.terminal import echo, notice, paragraph, visible

if TYPE_CHECKING:
    from geofovea.tiling.inspection import Inspection

__all__ = ["inspect"]

_MOST_OF_BANDS = 160


@click.command(
    "info",
    cls=CommandWithExamples,
    examples=[
        "geofovea info scene.tif",
        "geofovea info scene.tif --composite false-color",
        "geofovea info scene.tif --verify --json",
    ],
)
@scene_argument
@json_option
@click.option(
    "--tile-size",
    type=int,
    help="Side of a tile in pixels. Default: the demo model's for its scenes, else 336.",
)
@click.option("--verify", is_flag=True, help="Read every block of the file once.")
@view_options
@access_options
def inspect(
    scene: str,
    as_json: bool,
    tile_size: int | None,
    verify: bool,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    nodata: Any,
    **view: Any,
) -> None:
    """Describe a scene: size, bands, georeference, levels.

    It also says which reads of SCENE are cheap.
    """
    from geofovea.pipeline.session.model_choice import usual_tile_size
    from geofovea.tiling.first_look import first_look
    from geofovea.tiling.inspection import inspect_scene
    from geofovea.tiling.opening import open_scene

    raster = open_scene(
        scene,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
        nodata=nodata,
    )
    if verify:
        from geofovea.pipeline.system.progress import progress_bar
        from geofovea.tiling.verification import verify_scene

        with progress_bar("reading every block") as advance:
            count = verify_scene(raster, advance)
        notice(f"every block of {scene} was read: {count:,} values")
    side = usual_tile_size(raster) if tile_size is None else tile_size
    pyramid = raster.pyramid(side)
    inspection = inspect_scene(raster, pyramid, **view)
    problem = first_look(raster, pyramid, **view)
    if problem:
        inspection = replace(inspection, notes=(*inspection.notes, problem))
    inspection = told_in_shell_words(inspection)
    if as_json:
        echo(json.dumps(inspection.to_json()))
        return
    _print(inspection, side)


def _bands_text(inspection: Inspection) -> str:
    """Bands by name, or else by color interpretation; many of one kind in a row are counted."""
    names = (
        description or color
        for description, color in zip(inspection.descriptions, inspection.bands, strict=True)
    )
    runs = [(name, len(list(run))) for name, run in groupby(names)]
    text = ", ".join(name if n == 1 else f"{n} {name}" for name, n in runs)
    return f"{shorten(text, _MOST_OF_BANDS, placeholder=' …')} ({inspection.dtype})"


def _place_text(inspection: Inspection) -> str:
    """The CRS, what places the scene in it, and how large its pixels are on the ground."""
    crs = inspection.crs or "none"
    by = "" if inspection.georef == "none" else f" (by {inspection.georef})"
    gsd = "unknown" if inspection.gsd_m is None else f"{inspection.gsd_m:.4g} m"
    return f"{crs}{by}, GSD {gsd}"


def _print(inspection: Inspection, side: int) -> None:
    """Print what is known about a scene."""
    from rich.console import Console

    from geofovea.pipeline.system.tables import WIDEST, print_table

    nodata = "none" if inspection.nodata is None else f"{inspection.nodata:g}"
    pixels = inspection.width * inspection.height / 1e6
    facts = (
        ("file", f"{inspection.path} ({inspection.driver}, {inspection.size_bytes / 1e6:.1f} MB)"),
        ("size", f"{inspection.width} × {inspection.height} px ({pixels:.1f} Mpx)"),
        ("bands", _bands_text(inspection)),
        ("CRS", _place_text(inspection)),
        ("nodata", f"{nodata} (mask: {inspection.mask})"),
        ("shown", inspection.shown),
        ("tile", f"{side} × {side} px; a model may use another size, see --tile-size"),
        ("block", f"{inspection.block[1]} × {inspection.block[0]} px"),
    )
    console = Console(width=WIDEST, highlight=False, soft_wrap=True)
    for name, value in facts:
        console.print(visible(f"{name:<8}{value}"), markup=False, emoji=False)
    rows = [
        [
            str(level.level),
            f"{level.width} × {level.height}",
            f"{level.cols} × {level.rows}",
            level.source,
            str(level.blocks_per_tile),
            "cheap" if level.is_cheap else "costly",
        ]
        for level in inspection.levels
    ]
    print_table(("level", "pixels", "tiles", "read from", "blocks a tile", "reads are"), rows)
    for note in inspection.notes:
        paragraph(f"note: {note}", indent=6)
