"""``geofovea compare-dates``: what changed at a place between two scenes of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.grouped import GroupedCommand, option
from geofovea.pipeline.cli.options.scene import access_options
from geofovea.pipeline.cli.options.shared import FiniteRange
from geofovea.pipeline.cli.options.shell_words import told_in_shell_words
from geofovea.pipeline.cli.options.uses import OF_A_FOCUS, OF_ONE_DATE
from geofovea.pipeline.cli.options.written import check_format, save_printed, written_as
from geofovea.pipeline.system.terminal import echo, fact

if TYPE_CHECKING:
    from geofovea.pipeline.dates.dated_answer import DatedAnswer
    from geofovea.pipeline.dates.session import StackSession
    from geofovea.pipeline.places.place_list import Places
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["compare_dates"]

_MOST_LINES = 20
_EXAMPLES = (
    'geofovea compare-dates 2020.tif 2024.tif "What changed here?" -o look.png',
    "geofovea compare-dates 2020.tif 2024.tif --save-geojson changes.geojson",
    "geofovea compare-dates 2020.tif 2024.tif --find truck --max-tiles 512 --json",
)
_OF_A_QUESTION = (
    *OF_A_FOCUS,
    *("reduction", "descent", "route"),
    "flatness",
)


@click.command("compare-dates", cls=GroupedCommand, examples=_EXAMPLES)
@click.argument("before", type=str)
@click.argument("after", type=str)
@click.argument("question", required=False)
@option(
    "--find",
    "phrase",
    is_common=True,
    help="List the places where this appeared or disappeared instead.",
)
@option(
    "--min-score",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    help="Lowest score of a listed change. Default: 0.99, and 0.5 with --find.",
)
@option(
    "--before-date",
    is_common=True,
    help="When BEFORE was taken: 2024-06-01, or a STAC item. Default: as the file says.",
)
@option("--after-date", is_common=True, help="When AFTER was taken, in the same forms.")
@option(
    "--choice",
    "choices",
    multiple=True,
    is_common=True,
    help="An answer that the model may choose; repeat it for each.",
)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Write the answer, or the changes: .png (an answer alone), .geojson, .gpkg, .parquet or "
    ".json.",
)
@option(
    "--save-geojson",
    "evidence",
    type=click.Path(path_type=Path),
    callback=written_as(".geojson"),
    is_common=True,
    help="Write the evidence, or the changes, as GeoJSON.",
)
@option(
    "--save-png",
    "picture",
    type=click.Path(path_type=Path),
    callback=written_as(".png"),
    is_common=True,
    help="Write a picture of the dates side by side, with a question.",
)
@option("--json", "as_json", is_flag=True, is_common=True, help="Print one JSON object.")
@option(
    "--match-light/--no-match-light",
    default=True,
    group="Scene options",
    help="Show both dates in one light, or each in its own.",
)
@ask_options(oracle=False, published=False, inside=False, without=OF_ONE_DATE)
@access_options
def compare_dates(
    before: str,
    after: str,
    question: str | None,
    phrase: str | None,
    min_score: float | None,
    before_date: str | None,
    after_date: str | None,
    choices: tuple[str, ...],
    output: Path | None,
    evidence: Path | None,
    picture: Path | None,
    as_json: bool,
    match_light: bool,
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Ask what changed between two dates.

    BEFORE and AFTER may have different grids and resolutions: they are aligned by the ground. With
    a QUESTION both dates are shown to the model. Without one, the places that changed are listed;
    every native tile is compared unless --max-tiles or --timeout allows fewer.
    """
    from geofovea.pipeline.dates import dated_answer
    from geofovea.pipeline.dates.stack import make_stack
    from geofovea.pipeline.places.place_list import FORMATS
    from geofovea.pipeline.system.files import check_writable
    from geofovea.tiling.opening import open_scene

    _check_words(question, phrase, choices, picture)
    if question is None:
        check_absent(_OF_A_QUESTION, "belongs to a QUESTION, and none is given")
        if phrase is None:
            check_absent(("tokens",), "belongs to a QUESTION or --find, and none is given")
    if question is not None and min_score is not None:
        raise click.UsageError("--min-score is for the list of changes; leave out the QUESTION")
    files = [path for path in (evidence, picture, output) if path]
    for path in files:
        if question is None:
            check_format(path, FORMATS, "changes")
        else:
            check_format(path, dated_answer.FORMATS, "answers about dates")
        check_writable(path, keep=before)
        check_writable(path, keep=after)
    access: dict[str, Any] = {"allow_vrt": allow_vrt, "allow_remote": allow_remote}
    access |= {"allowed_hosts": allowed_hosts, "nodata": settings.nodata}
    started = time.perf_counter()
    scenes = [open_scene(name, **access) for name in (before, after)]
    stack = make_stack(scenes, (before_date, after_date))
    session = _opened(settings, stack, match_light, time.perf_counter() - started)
    if question is None:
        places = told_in_shell_words(
            session.changes(phrase, **settings.limits, min_score=min_score)
        )
        echo(json.dumps(places.to_dict())) if as_json else _print_places(places)
        save_printed(places, *files, tell=not as_json)
        return
    answer = told_in_shell_words(_ask(session, settings, question, choices))
    echo(json.dumps(answer.to_json())) if as_json else _print_answer(answer)
    save_printed(answer, *files, tell=not as_json)


def _check_words(
    question: str | None, phrase: str | None, choices: tuple[str, ...], picture: Path | None
) -> None:
    if question is not None and phrase is not None:
        raise click.UsageError("give a QUESTION or --find, not both")
    if question is None and (choices or picture):
        raise click.UsageError("--choice and --save-png belong to a QUESTION; give one")


def _opened(settings: AskSettings, stack: Any, match_light: bool, seconds: float) -> StackSession:
    from geofovea.pipeline.dates.session import StackSession

    settings = settings.for_scenes([each.scene for each in stack.scenes])
    return StackSession(
        stack,
        settings.load_host(),
        settings.bands,
        composite=settings.composite,
        band_map=settings.band_map,
        match_light=match_light,
        open_seconds=seconds,
    )


def _ask(
    session: StackSession, settings: AskSettings, question: str, choices: tuple[str, ...]
) -> DatedAnswer:
    request = settings.request(session.host, question, choices=choices)
    return session.answer(request)


def _print_answer(answer: DatedAnswer) -> None:
    from geofovea.pipeline.answers.drawing.ground import evidence_text

    plain = answer.answer
    echo(f"{plain.text or '(no answer)'}   ({plain.confidence_text})", lines=True)
    for name, each, cost in zip(answer.stack.names, answer.stack.scenes, answer.costs, strict=True):
        day = each.date.text or "date not known"
        echo(
            f"  {name:<10} {day}: {counted(cost.tiles_encoded, 'tile')}, "
            f"{counted(cost.tokens_llm, 'vision token')} for the decoder ({each.scene.path})"
        )
    fact("took", f"{plain.cost.seconds['total']:.2f} s, {plain.cost.peak_rss_mb:.0f} MB of memory")
    if answer.evidence:
        best = answer.evidence[0]
        where = evidence_text(plain.scene, best.box_scene)
        fact("evidence", f"{where}, level {best.tile.level}")
    _warn(answer.warnings)


def _print_places(places: Places) -> None:
    from geofovea.pipeline.answers.drawing.ground import evidence_text

    count = len(places)
    echo(f"{counted(count, 'change')}; compared {places.coverage.text}")
    for place in places[:_MOST_LINES]:
        echo(f"  {place.score:.3f}  {place.label}: {evidence_text(places.scene, place.box_scene)}")
    if count > _MOST_LINES:
        echo(f"  and {count - _MOST_LINES} more; --output and --json have all")
    _warn(places.warnings)


def _warn(warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        fact("warning", warning, is_warning=True)
