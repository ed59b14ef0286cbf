"""``geofovea measure``: distances, directions and sizes of places that are named."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.grouped import GroupedCommand, option
from geofovea.pipeline.cli.options.scene import access_options
from geofovea.pipeline.cli.options.shared import scene_argument
from geofovea.pipeline.cli.options.shell_words import told_in_shell_words
from geofovea.pipeline.cli.options.written import check_format, save_printed
from geofovea.pipeline.system.terminal import echo, fact

if TYPE_CHECKING:
    from geofovea.pipeline.answers.measurement import Measurement
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["measure"]

_EXAMPLES = (
    'geofovea measure scene.tif "How far is the mill from the pond?" --json',
    'geofovea measure scene.tif --from "red roof" --to pond -o line.geojson',
    'geofovea measure scene.tif "Which is larger, the depot or the quarry?"',
    'geofovea measure scene.tif "the northernmost truck"',
)
# the model finds places, and no tokens are chosen for an answer of its own
_OF_AN_ANSWER = (
    *("reduction", "route", "geometry", "skip", "resampler", "flatness", "confidence"),
)


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@scene_argument
@click.argument("words", metavar="[QUESTION]", nargs=-1)
@option("--from", "start", is_common=True, help="A place; with --to, in place of a question.")
@option("--to", "end", is_common=True, help="The place to which the distance is measured.")
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Write places and lines (.geojson) or all numbers (.json).",
)
@option("--json", "as_json", is_flag=True, is_common=True, help="Print a JSON object.")
@ask_options(oracle=False, published=False, without=_OF_AN_ANSWER)
@access_options
def measure(
    scene: str,
    words: tuple[str, ...],
    start: str | None,
    end: str | None,
    output: Path | None,
    as_json: bool,
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Measure distances, directions and sizes of named places.

    The model finds the places of SCENE that the question names, or all of a class, such as the
    largest field. Distance, direction and size come from where they lie: on the ground where the
    scene says so, else in pixels. Each number has the error of the tokens that the places were read
    from.
    """
    _check_words(words, start, end)
    from geofovea.pipeline.answers.measurement import FORMATS
    from geofovea.pipeline.relations.place_question import distance_between
    from geofovea.pipeline.system.files import check_writable
    from geofovea.tiling.opening import open_scene

    question = " ".join(words) if words else distance_between(start or "", end or "")
    if output:
        check_format(output, FORMATS, "measurements")
        check_writable(output, keep=scene)
    started = time.perf_counter()
    raster = open_scene(
        scene,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
        nodata=settings.nodata,
    )
    open_seconds = time.perf_counter() - started
    settings = settings.for_scenes([raster])
    host = settings.load_host()
    session = settings.open_session(raster, host, open_seconds)
    options = settings.options
    measurement = told_in_shell_words(
        session.measure(
            question,
            budget=settings.budget(host.default_budget),
            # the model's own number of tiles is a limit where somebody gives it
            tiles=settings.limits.get("tiles"),
            tokens=settings.limits.get("tokens"),
            focus=options.focus,
            descent=options.descent,
            focus_model=options.focus_model,
        )
    )
    if as_json:
        echo(json.dumps(measurement.to_json()))
    else:
        _print(measurement)
    save_printed(measurement, output, tell=not as_json)


def _check_words(words: tuple[str, ...], start: str | None, end: str | None) -> None:
    if words and (start or end):
        raise click.UsageError("give a question, or --from and --to, and not both")
    if not words and not (start and end):
        raise click.UsageError("give a question, or both --from and --to")


def _print(measurement: Measurement) -> None:
    sure = f"   ({measurement.confidence:.0%} sure)" if measurement.text else ""
    echo(f"{measurement.text or '(no answer)'}{sure}", lines=True)
    echo(f"  {measurement.sentence}", lines=True)
    for quantity in measurement.quantities:
        echo(f"  {quantity.name:<10} {quantity.text}")
    for place in measurement.places:
        x, y = place.center
        echo(
            f"  {place.label:<10} at x {x:.0f}, y {y:.0f} within {place.center_error:.0f} px, "
            f"seen at level {place.level}, score {place.score:.2f}"
        )
    if measurement.cost is not None:
        cost = measurement.cost
        fact("looked at", f"{counted(cost.tiles_encoded, 'tile')}, {cost.seconds['total']:.2f} s")
    for warning in measurement.warnings:
        if warning == measurement.sentence:
            # it stands above
            continue
        fact("warning", warning, is_warning=True)
