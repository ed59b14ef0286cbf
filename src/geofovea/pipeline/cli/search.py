"""``geofovea search``: which scenes of an index show something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.index import parsed_levels
from geofovea.pipeline.cli.options.grouped import GroupedCommand, option
from geofovea.pipeline.cli.options.shell_words import told_in_shell_words
from geofovea.pipeline.cli.options.written import check_format, save_printed
from geofovea.pipeline.system.terminal import echo, fact

if TYPE_CHECKING:
    from geofovea.pipeline.archive.search import SearchResult

__all__ = ["search"]

_EXAMPLES = (
    'geofovea search archive-index "red roof"',
    "geofovea search archive-index harbor --scenes 3 --tiles 1 -o harbors.geojson",
)
_WIDTH = 80


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@click.argument("index", type=click.Path(path_type=Path))
@click.argument("words", metavar="PHRASE...", nargs=-1, required=True)
@option(
    "--scenes",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    is_common=True,
    help="How many scenes to show.",
)
@option(
    "--tiles",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    is_common=True,
    help="How many tiles to show of each scene.",
)
@option(
    "--levels",
    callback=parsed_levels,
    metavar="0,1,...",
    is_common=True,
    help="Levels to compare, 0 for native. Default: all in the index.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Write the tiles as points to this GeoJSON file.",
)
@option("--encoder", metavar="NAME", help="Where the encoder lies now, if it was moved.")
@option("--json", "as_json", is_flag=True, is_common=True, help="Print one JSON object.")
def search(
    index: Path, words: tuple[str, ...], output: Path | None, as_json: bool, **settings: Any
) -> None:
    """Rank the scenes of an index by a phrase.

    INDEX is a folder that geofovea index made. No scene is opened. The result is a ranking: the
    best scene comes first even where none shows what you search for. Check it with geofovea find.
    """
    from geofovea.pipeline.archive.search import search_index
    from geofovea.pipeline.system.files import check_writable

    if output:
        check_format(output, (".geojson", ".json"), "tiles")
        check_writable(output)
    result = told_in_shell_words(search_index(index, " ".join(words), **settings))
    if as_json:
        echo(json.dumps(result.to_dict()))
    else:
        _print(result)
    save_printed(result, output, tell=not as_json)


def _print(result: SearchResult) -> None:
    from geofovea.pipeline.system.tables import print_table

    rows = []
    for place, each in enumerate(result.scenes, start=1):
        gone = " (no longer there)" if each.scene.name in result.missing else ""
        echo(f"{place}. {each.scene.name}{gone}")
        for hit in each.hits:
            x0, y0, x1, y1 = (round(value) for value in hit.box_scene.as_tuple())
            where = "" if hit.lonlat is None else f"{hit.lonlat[1]:.5f}, {hit.lonlat[0]:.5f}"
            above = f"{result.deviations(hit):+.1f}"
            score = f"{hit.cosine:.3f}"
            level = str(hit.tile.level)
            rows.append([str(place), score, above, level, f"{x0}-{x1}", f"{y0}-{y1}", where])
    header = ["scene", "cosine", "vs. mean", "level", "x", "y", "latitude, longitude"]
    print_table(header, rows, most_columns=_WIDTH)
    tiles = result.lookup.tiles
    fact("compared", f"{counted(tiles, 'tile')} with {result.phrase!r} in {result.seconds:.2f} s")
    for warning in result.warnings:
        fact("warning", warning, is_warning=True)
