"""``geofovea find``: every place of a scene that shows something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.grouped import GroupedCommand, option
from geofovea.pipeline.cli.options.places import (
    min_score_option,
    open_regions,
    phrase_argument,
    print_end,
    region_options,
    results_of_regions,
    told_by_a_bar,
)
from geofovea.pipeline.cli.options.scene import access_options
from geofovea.pipeline.cli.options.shared import scene_argument
from geofovea.pipeline.cli.options.shell_words import told_in_shell_words
from geofovea.pipeline.cli.options.uses import OF_A_FOCUS
from geofovea.pipeline.cli.options.written import check_format, save_printed
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from geofovea.pipeline.places.place_list import Places
    from geofovea.pipeline.session.settings import AskSettings
    from geofovea.tiling.geo.region import Region

__all__ = ["find"]

_EXAMPLES = (
    'geofovea find scene.tif "red truck" -o trucks.geojson',
    'geofovea find scene.tif "storage tank" --coverage sweep --json',
    "geofovea find scene.tif ship --regions harbor.gpkg --max-tiles 500",
)
_MOST_ROWS = 20
_WIDTH = 80


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@scene_argument
@phrase_argument
@option(
    "--coverage",
    type=click.Choice(["search", "sweep"]),
    default="search",
    show_default=True,
    is_common=True,
    help="Look at the likeliest native tiles, or at all of them.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Write the places: .geojson, .gpkg, .parquet, .csv or .json.",
)
@min_score_option
@option(
    "--sampled-share",
    type=float,
    default=0.2,
    show_default=True,
    goes_with=["--coverage search"],
    group="Search options",
    help="Share of a search's tiles drawn at random, to tell the expected recall.",
)
@option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    goes_with=["--coverage search"],
    group="Search options",
    help="Seed of that draw.",
)
@option(
    "--second-look/--one-look",
    default=True,
    show_default=True,
    group="Search options",
    help="Look again, in tiles shifted by half, at what the edge of a tile cuts.",
)
@option("--json", "as_json", is_flag=True, is_common=True, help="Print a JSON object per region.")
@region_options
@ask_options(oracle=False, answers=False)
@access_options
def find(
    scene: str,
    words: tuple[str, ...],
    coverage: Any,
    output: Path | None,
    min_score: float,
    sampled_share: float,
    seed: int,
    second_look: bool,
    as_json: bool,
    regions: dict[str, Any] | None,
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Find every place of a scene that shows something.

    PHRASE says what, such as: red truck. The model is asked about native tiles, one by one. A
    search goes to the likeliest of them and says how much it may have missed.
    """
    from geofovea.pipeline.places.find import FindOptions, checked_phrase, find_budget, find_places
    from geofovea.pipeline.places.native_tiles import native_count
    from geofovea.pipeline.places.place_list import FORMATS
    from geofovea.pipeline.system.files import check_writable

    phrase = checked_phrase(" ".join(words))
    if coverage == "sweep":
        check_absent((*OF_A_FOCUS, "index"), "has no effect on a sweep, which looks everywhere")
    FindOptions(coverage, min_score, sampled_share=sampled_share, seed=seed)
    if output:
        check_format(output, FORMATS, "places")
        check_writable(output, keep=scene)
    session, areas = open_regions(
        scene,
        regions,
        settings,
        output,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
    )
    budget = find_budget(
        session.host, coverage, native_count(session.pyramid), None, settings.limits
    )

    def look(_: str | None, region: Region | None) -> Places:
        with told_by_a_bar(f"Looking for {phrase}", budget.tiles) as bar:
            return find_places(
                session,
                phrase,
                coverage=coverage,
                budget=budget,
                region=region,
                min_score=min_score,
                focus=settings.options.focus,
                focus_model=settings.options.focus_model,
                sampled_share=sampled_share,
                seed=seed,
                second_look=second_look,
                watch=bar,
            )

    for name, found in results_of_regions(areas, look):
        places = told_in_shell_words(found)
        if as_json:
            echo(json.dumps(places.to_dict() | {"region": name}))
        else:
            _print(places, name)
        save_printed(places, output, tell=not as_json)


def _print(places: Places, region: str | None) -> None:
    from geofovea.pipeline.answers.drawing.ground import place_text
    from geofovea.pipeline.system.tables import print_table

    where = "" if region is None else f" in {region}"
    echo(f"{places.phrase}{where}: {counted(len(places), 'place')}")
    rows = []
    for place in places[:_MOST_ROWS]:
        x0, y0, x1, y1 = (round(value) for value in place.box_scene.as_tuple())
        on_ground = place_text(places.scene, place.box_scene) or "no georeference"
        rows.append([f"{place.score:.2f}", f"{x0}-{x1}", f"{y0}-{y1}", place.outline, on_ground])
    if rows:
        print_table(["score", "x", "y", "from", "place"], rows, numbers_from=5, most_columns=_WIDTH)
    if len(places) > _MOST_ROWS:
        echo(f"  and {len(places) - _MOST_ROWS} more: write them all with --output")
    print_end(places.coverage, places.cost, places.warnings)
