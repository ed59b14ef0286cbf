"""``geofovea count``: how many of something a scene holds, with a 95 % interval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea.pipeline.cli.options.ask import ask_options
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
from geofovea.pipeline.system.terminal import echo, fact

if TYPE_CHECKING:
    from geofovea.pipeline.places.count import Count
    from geofovea.pipeline.session.settings import AskSettings
    from geofovea.tiling.geo.region import Region

__all__ = ["count"]

_EXAMPLES = (
    "geofovea count scene.tif truck",
    "geofovea count scene.tif ship --regions harbors.gpkg --region-name name --json",
    "geofovea count scene.tif tree --max-tiles 400 --confusion errors.json",
)


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@scene_argument
@phrase_argument
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Write the count as .json, or what was found as .geojson, .gpkg, .parquet or .csv.",
)
@min_score_option
@option(
    "--confusion",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Measured errors of detection: JSON with hits, misses, false_alarms, tiles.",
)
@option("--seed", type=int, default=0, show_default=True, help="Of the draw of tiles.")
@option("--json", "as_json", is_flag=True, is_common=True, help="Print a JSON object per region.")
@region_options
@ask_options(oracle=False, answers=False, without=OF_A_FOCUS)
@access_options
def count(
    scene: str,
    words: tuple[str, ...],
    output: Path | None,
    min_score: float,
    confusion: Path | None,
    seed: int,
    as_json: bool,
    regions: dict[str, Any] | None,
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Count something in a scene, with an interval.

    The interval covers 95 %. With --regions it counts within polygons. It looks at every native
    tile, unless --max-tiles allows fewer. Then it draws a sample, denser where a coarse level
    suggests that something is there.
    """
    from geofovea.pipeline.places.confusion import read_confusion
    from geofovea.pipeline.places.count import FORMATS
    from geofovea.pipeline.places.counting import count_places
    from geofovea.pipeline.places.find import checked_phrase, find_budget
    from geofovea.pipeline.places.native_tiles import native_count
    from geofovea.pipeline.system.files import check_writable

    phrase = checked_phrase(" ".join(words))
    errors = None if confusion is None else read_confusion(confusion)
    if output:
        check_format(output, FORMATS, "counts")
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
        session.host, "sweep", native_count(session.pyramid), None, settings.limits
    )

    def look(name: str | None, region: Region | None) -> Count:
        with told_by_a_bar(f"Counting {phrase}", budget.tiles) as bar:
            return count_places(
                session,
                phrase,
                budget=budget,
                region=region,
                region_name=name,
                confusion=errors,
                min_score=min_score,
                seed=seed,
                watch=bar,
            )

    for _, counted_places in results_of_regions(areas, look):
        result = told_in_shell_words(counted_places)
        if as_json:
            echo(json.dumps(result.to_dict()))
        else:
            _print(result)
        save_printed(result, output, tell=not as_json)


def _print(result: Count) -> None:
    where = "" if result.region is None else f" in {result.region}"
    echo(f"{result.phrase}{where}: {result.text}")
    strata = "1 stratum" if result.strata == 1 else f"{result.strata} strata"
    how = "every tile" if result.method == "sweep" else f"a sample from {strata}"
    fact("method", f"{how}, {len(result.places)} detected")
    print_end(result.coverage, result.cost, result.warnings)
