"""``geofovea ask``: one question or many about one scene."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.grouped import GroupedCommand, option
from geofovea.pipeline.cli.options.opening import (
    BROWSED,
    open_option,
    open_written,
    page_to_open,
)
from geofovea.pipeline.cli.options.scene import access_options, verify_option
from geofovea.pipeline.cli.options.shared import comma_separated, scene_argument
from geofovea.pipeline.cli.options.shell_words import told_in_shell_words
from geofovea.pipeline.cli.options.written import check_format, written_as
from geofovea.pipeline.system.terminal import echo, fact

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.answers.cost import Cost
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["ask"]


_EXAMPLES = (
    'geofovea ask scene.tif "How many ships are at the pier?" \\',
    "    --model openai:qwen2.5vl:7b --base-url http://localhost:11434/v1",
    'geofovea ask scene.tif "Is there a runway?" --choice yes --choice no --json',
    "geofovea ask scene.tif --questions questions.txt --json > answers.jsonl",
)


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@scene_argument
@click.argument("words", metavar="QUESTION...", nargs=-1)
@option(
    "--questions",
    "file",
    metavar="FILE",
    is_common=True,
    help="Ask each line of a file; - is standard input.",
)
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
    help="Write the answer: .png, .html, .geojson, .gpkg, .parquet, .tif or .json.",
)
@option(
    "--save-geojson",
    "evidence",
    earlier=["--evidence"],
    type=click.Path(path_type=Path),
    callback=written_as(".geojson", ".json"),
    is_common=True,
    help="Write the evidence as GeoJSON.",
)
@option(
    "--save-png",
    "picture",
    earlier=["--picture"],
    type=click.Path(path_type=Path),
    callback=written_as(".png"),
    is_common=True,
    help="Write a picture of the answer.",
)
@option(
    "--page",
    type=click.Path(path_type=Path),
    callback=written_as(".html", ".htm"),
    group="Output options",
    help="Write the answer as an HTML page to zoom in.",
)
@open_option
@option("--json", "as_json", is_flag=True, is_common=True, help="Print a JSON object per question.")
@ask_options()
@option(
    "--box",
    "boxes",
    multiple=True,
    goes_with=["--focus oracle"],
    group="Search options",
    help="x0,y0,x1,y1 in pixels, for --focus oracle.",
)
@verify_option
@access_options
def ask(
    scene: str,
    words: tuple[str, ...],
    file: str | None,
    as_json: bool,
    output: Path | None,
    evidence: Path | None,
    picture: Path | None,
    page: Path | None,
    opens: bool,
    settings: AskSettings,
    boxes: tuple[str, ...],
    choices: tuple[str, ...],
    verify: bool,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Ask questions about one scene.

    SCENE is a GeoTIFF, PNG, JPEG or JPEG 2000 file. Several QUESTIONs share their
    tiles, and each answer is printed as soon as it is ready. If one fails, the others go on.
    """
    from geofovea.pipeline.answers.files import with_files
    from geofovea.pipeline.answers.formats import formats
    from geofovea.pipeline.cli.options.questions import questions_of, tell_all
    from geofovea.pipeline.system.files import check_writable

    questions = questions_of(words, file)
    if output:
        check_format(output, formats(), "answers")
    has_browsed_file = page or picture or (output and output.suffix.lower() in BROWSED)
    if opens and not has_browsed_file:
        page = page_to_open()
    questions.check_outputs(evidence, picture, page, output)
    questions.check_files()
    for path in (evidence, picture, page, output):
        if path:
            check_writable(path, keep=scene)
    from geofovea.tiling.pyramid import Box

    access = {
        "allow_vrt": allow_vrt,
        "allow_remote": allow_remote,
        "allowed_hosts": allowed_hosts,
    }
    session, settings = _open(scene, settings, access, verify=verify)
    boxes_scene = [Box(*comma_separated(box, float, 4)) for box in boxes]
    if questions.only is None:
        from geofovea.pipeline.runs.many_questions import ManyQuestions

        many = ManyQuestions(session, settings, boxes_scene, choices)
        tell_all(many, questions, as_json=as_json, show=_print_answer)
        return
    answer = _answer_one(settings, session, questions.only, boxes=boxes_scene, choices=choices)
    answer, files = with_files(
        told_in_shell_words(answer), session.reader, evidence, picture, page, output
    )
    if as_json:
        echo(json.dumps(answer.to_json()))
    else:
        _print_answer(answer)
        for path in files:
            fact("wrote", f"{path}")
    if opens:
        open_written([path for path in (page, picture, output) if path in files])
    if len(files) < sum(path is not None for path in (evidence, picture, page, output)):
        # the answer is told, with the reason among its warnings
        sys.exit(1)


def _open(
    name: str, settings: AskSettings, access: dict[str, Any], *, verify: bool
) -> tuple[SceneSession, AskSettings]:
    """A scene with its model loaded, and the settings with the model that it gets."""
    from geofovea.tiling.opening import open_scene
    from geofovea.tiling.verification import verify_scene

    started = time.perf_counter()
    scene = open_scene(name, **access, nodata=settings.nodata)
    if verify:
        verify_scene(scene)
    open_seconds = time.perf_counter() - started
    settings = settings.for_scenes([scene])
    return settings.open_session(scene, settings.load_host(), open_seconds), settings


def _answer_one(
    settings: AskSettings, session: SceneSession, question: str, **options: Any
) -> Answer:
    from geofovea.pipeline.system.failure import failure_of

    try:
        return settings.ask(session, question, **options)
    except Exception:
        raise
    except BaseException as error:
        raise failure_of(error) from None


def _print_answer(answer: Answer) -> None:
    from geofovea.pipeline.answers.drawing.ground import evidence_text

    cost = answer.cost
    levels = ", ".join(
        f"{count} native" if level == 0 else f"{count} at level {level}"
        for level, count in sorted(cost.tiles_by_level.items())
    )
    # a model may answer in paragraphs
    echo(f"{answer.text or '(no answer)'}   ({answer.confidence_text})", lines=True)
    fact("looked at", f"{counted(cost.tiles_encoded, 'tile')}: {levels}")
    if answer.route:
        fact("places", f"{answer.route.word}: {answer.route.reason}")
    if answer.measurement is None:
        origin = f"{cost.tokens_llm} of {cost.tokens_total} vision tokens to the model"
    else:
        origin = "computed from where the places lie"
    fact("cost", f"{origin}, {cost.seconds['total']:.2f} s, {cost.peak_rss_mb:.0f} MB of memory")
    _print_further_cost(cost)
    for choice in answer.choices:
        echo(f"  {choice.letter}          {choice.probability:4.0%}  {choice.text}")
    if answer.evidence:
        best = answer.evidence[0]
        where = evidence_text(answer.scene, best.box_scene)
        fact("evidence", f"{where}, level {best.tile.level}")
    for warning in told_in_shell_words(answer).warnings:
        fact("warning", warning, is_warning=True)


def _print_further_cost(cost: Cost) -> None:
    """Print what only some answers cost: an index, an endpoint, a memory, reductions."""
    if cost.tiles_indexed:
        fact("index", f"{counted(cost.tiles_indexed, 'tile')} compared, {cost.tiles_read} read")
    if cost.endpoint is not None:
        use = cost.endpoint
        fact(
            "endpoint",
            f"{counted(use.calls, 'call')}, {counted(use.images, 'picture')}, "
            f"{counted(use.tokens, 'token')}",
        )
    if cost.memory is not None:
        memory = cost.memory
        fact(
            "memory",
            f"{counted(memory.tiles_read, 'tile')} read, {memory.tiles_stored} stored, "
            f"{memory.nbytes / 1e6:.1f} MB of keys and values",
        )
    for stage in cost.reductions:
        unit = "patches inside the encoder" if stage.stage == "encoder_layer" else "tokens"
        if stage.stage != "projected":
            echo(f"  {stage.name:<10} left {stage.tokens_out} of {stage.tokens_in} {unit}")
