"""The command line: ``geofovea VERB``. Verbs are thin; heavy modules load when a verb runs.

Exit codes: 0, 2 for wrong usage, 1 for a GeoFoveaError (one line on standard error), 128 and the
number of the signal that ended it, such as 130 for Ctrl-C.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.answers.confidence import confidence_text
from geofovea.pipeline.cli.batch import batch
from geofovea.pipeline.cli.bench import reductions
from geofovea.pipeline.cli.cache import cache
from geofovea.pipeline.cli.cli_bench_policies import policies
from geofovea.pipeline.cli.cli_calibration import calibration
from geofovea.pipeline.cli.distill import distill
from geofovea.pipeline.cli.doctor import doctor
from geofovea.pipeline.cli.eval import eval_command
from geofovea.pipeline.cli.options.access_options import access_options
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.model import model_options, threads_option
from geofovea.pipeline.cli.options.scene import view_options
from geofovea.pipeline.cli.report import report
from geofovea.pipeline.system.interruption import Interrupted, interruptible
from geofovea.pipeline.system.terminal import echo, visible

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.pipeline.session.settings import AskSettings
    from geofovea.regionfocus.budget import Budget

__all__ = ["main"]


@contextmanager
def _visible_usage() -> Iterator[None]:
    """What click says of a wrong command repeats words of that command."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = visible(error.message, lines=True)
        raise


class _Program(click.Group):
    """A group that turns the package's own errors into one line and exit code 1."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _visible_usage():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _visible_usage(), interruptible():
                return super().invoke(ctx)
        except GeoFoveaError as error:
            echo(_line("error: ", error), err=True)
            sys.exit(1)
        except KeyboardInterrupt as error:
            # as shells tell of a process that a signal ended
            told = error if isinstance(error, Interrupted) else Interrupted(signal.SIGINT)
            echo(_line("", told), err=True)
            sys.exit(told.exit_code)


def _line(kind: str, error: BaseException) -> str:
    """An error and what was noted with it, in one line, without secrets."""
    from geofovea.tiling.remote.names import without_secrets

    said = "; ".join([str(error), *getattr(error, "__notes__", ())])
    return kind + without_secrets(" ".join(said.split()))


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="geofovea")
def main() -> None:
    """Ask questions about satellite scenes of any size, with the evidence on the map."""


main.add_command(batch)
main.add_command(cache)
main.add_command(doctor)
main.add_command(eval_command)
main.add_command(report)
main.add_command(distill)

_scene = click.argument("scene", type=str)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@main.command()
@_scene
@click.argument("words", metavar="QUESTION...", nargs=-1)
@click.option("--questions", "file", metavar="FILE", help="Ask each line too; - is standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each question.")
@click.option("--evidence", type=click.Path(path_type=Path), help="Write evidence as GeoJSON.")
@click.option("--picture", type=click.Path(path_type=Path), help="Write a PNG of where it looked.")
@ask_options()
@click.option("--box", "boxes", multiple=True, help="x0,y0,x1,y1 in pixels, for --focus oracle.")
@click.option("--choice", "choices", multiple=True, help="An answer to choose; repeatable.")
@access_options
def ask(
    scene: str,
    words: tuple[str, ...],
    file: str | None,
    as_json: bool,
    evidence: Path | None,
    picture: Path | None,
    settings: AskSettings,
    boxes: tuple[str, ...],
    choices: tuple[str, ...],
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Ask one QUESTION or many about the raster SCENE (GeoTIFF, PNG, JPEG, JPEG 2000).

    Many questions share one start, and tiles that several want are read once. Each answer is told
    with its cost as soon as it is there, and a question that fails does not take the others.
    """
    from geofovea.pipeline.answers.files import with_files
    from geofovea.pipeline.cli.questions import questions_of, tell_all
    from geofovea.pipeline.system.files import check_writable

    questions = questions_of(words, file)
    questions.check_outputs(evidence, picture)
    questions.check_files()
    for path in (evidence, picture):
        if path:
            check_writable(path, keep=scene)
    from geofovea.tiling.pyramid import Box
    from geofovea.tiling.scene import open_scene

    started = time.perf_counter()
    opened = open_scene(
        scene,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
        nodata=settings.nodata,
    )
    open_seconds = time.perf_counter() - started
    session = settings.open_session(opened, settings.load_host(), open_seconds)
    shown = [Box(*_numbers(box, float, 4)) for box in boxes]
    if questions.only is None:
        from geofovea.pipeline.runs.many_questions import ManyQuestions

        many = ManyQuestions(session, settings, shown, choices)
        tell_all(many, questions, as_json=as_json, show=_print_answer)
        return
    answer = _asked_alone(settings, session, questions.only, boxes=shown, choices=choices)
    answer = with_files(answer, session.reader, evidence, picture)
    if as_json:
        echo(json.dumps(answer.to_json()))
    else:
        _print_answer(answer)


def _asked_alone(
    settings: AskSettings, session: SceneSession, question: str, **given: Any
) -> Answer:
    from geofovea.pipeline.system.failure import failure_of

    try:
        return settings.ask(session, question, **given)
    except Exception:
        raise
    except BaseException as error:
        raise failure_of(error) from None


def _checked_budget(limits: dict[str, Any], default: Budget | None = None) -> Budget:
    """The default budget with the limits that were given; refused before anything is loaded."""
    from dataclasses import replace

    from geofovea.regionfocus.budget import Budget

    given = {name: value for name, value in limits.items() if value is not None}
    return replace(default or Budget(), **given)


def _numbers(text: str, kind: type, count: int | None = None) -> list[Any]:
    """Numbers separated by commas; ``count`` of them, where it is given."""
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is not a list of numbers such as 4,3,2") from error
    if count is not None and len(numbers) != count:
        raise click.BadParameter(f"{text!r} should be {count} numbers separated by commas")
    return numbers


def _print_answer(answer: Answer) -> None:
    cost = answer.cost
    levels = ", ".join(f"{n} at level {level}" for level, n in sorted(cost.tiles_by_level.items()))
    sure = confidence_text(answer.confidence if answer.confidence_known else None)
    # a model may answer in paragraphs
    echo(f"{answer.text or '(no answer)'}   ({sure})", lines=True)
    echo(f"  looked at  {cost.tiles_encoded} tiles: {levels}")
    if answer.route:
        echo(f"  places     {answer.route.word}: {answer.route.reason}")
    echo(
        f"  decoder    {cost.tokens_llm} of {cost.tokens_total} vision tokens, "
        f"{cost.seconds['total']:.2f} s, {cost.peak_rss_mb:.0f} MB peak"
    )
    if cost.endpoint is not None:
        use = cost.endpoint
        echo(f"  endpoint   {use.calls} calls, {use.images} pictures, {use.tokens} tokens")
    for stage in cost.reductions:
        what = "patches inside the encoder" if stage.stage == "encoder_layer" else "tokens"
        if stage.stage != "projected":
            left = f"{stage.tokens_out} of {stage.tokens_in} {what}"
            echo(f"  {stage.name:<10} left {left}")
    for choice in answer.choices:
        echo(f"  {choice.letter}          {choice.probability:4.0%}  {choice.text}")
    if answer.evidence:
        best = answer.evidence[0]
        x0, y0, x1, y1 = (round(c) for c in best.box_scene.as_tuple())
        echo(f"  evidence   pixels x {x0}-{x1}, y {y0}-{y1} (level {best.tile.level})")
    for warning in answer.warnings:
        echo(f"  warning    {warning}", err=True)


@main.command()
@_scene
@_json
@click.option("--tile-size", default=336, show_default=True, help="Side of a tile in pixels.")
@view_options
@access_options
def inspect(
    scene: str,
    as_json: bool,
    tile_size: int,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    nodata: Any,
    **view: Any,
) -> None:
    """Show size, bands, georeference and levels of SCENE, and which reads are cheap."""
    from geofovea.tiling.inspection import inspect_scene
    from geofovea.tiling.scene import open_scene

    opened = open_scene(
        scene,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
        nodata=nodata,
    )
    inspection = inspect_scene(opened, opened.pyramid(tile_size), **view)
    if as_json:
        echo(json.dumps(inspection.to_json()))
        return
    from geofovea.pipeline.system.tables import print_inspection

    print_inspection(inspection)


@main.command()
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to fill.")
@click.option("--scenes", default=1, show_default=True, help="Number of scenes.")
@click.option("--side", default=4096, show_default=True, help="Side of a scene in pixels.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first scene.")
@click.option("--per-category", default=2, show_default=True, help="Questions of each category.")
def synth(output: Path, scenes: int, side: int, seed: int, per_category: int) -> None:
    """Write synthetic scenes and their questions in the LRS-VQA file format."""
    from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark
    from geofovea.pipeline.system.progress import progress_bar

    with progress_bar(f"{scenes} scene(s) of {side} x {side}") as advance:
        path = write_benchmark(output, scenes, side, seed, per_category, advance)
    echo(f"wrote {path}")


@main.command()
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of the run.")
@click.option("--scale", default=1.0, show_default=True, help="Multiplies the recipe's steps.")
@click.option("--batch", default=4, show_default=True, help="Lessons a step; more on a GPU.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights and data.")
@click.option("--device", default="cpu", show_default=True, help="A torch device.")
@click.option("--workers", default=1, show_default=True, help="Processes that render lessons.")
@click.option("--minutes", type=float, help="Stop with a checkpoint after this time.")
@click.option("--compile/--no-compile", "compiled", default=True, help="Compile the model first.")
def train(
    output: Path,
    scale: float,
    batch: int,
    seed: int,
    device: str,
    workers: int,
    minutes: float | None,
    compiled: bool,
) -> None:
    """Train the embedded model from nothing; the same command goes on with a stopped run."""
    import math

    from geofovea.pipeline.training import curriculum as recipe
    from geofovea.pipeline.training import export
    from geofovea.pipeline.training import train as training

    made_by = recipe.default_recipe(scale, seed, batch)
    records = training.train(
        made_by,
        output,
        device=device,
        workers=workers,
        compiled=compiled,
        stop_after=math.inf if minutes is None else 60 * minutes,
    )
    for record in records:
        echo(json.dumps(record), err=True)
    export.export_model(output, output / "model")
    export.write_card(output, output / "model" / "README.md", made_by)
    export.draw_curve(output, output / "curve.png")
    echo(f"wrote {output / 'model'}")


@main.group()
def bench() -> None:
    """Measure quality."""


bench.add_command(policies)
bench.add_command(calibration)
bench.add_command(reductions)


@bench.command("synthetic")
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to fill.")
@click.option("--sides", default="4096,16384,32768", show_default=True, help="Sides in pixels.")
@click.option("--scenes", default=6, show_default=True, help="Scenes of each side.")
@click.option("--per-category", default=3, show_default=True, help="Questions of each category.")
@click.option("--seed", default=900_000, show_default=True, help="Seed of the first scene.")
@model_options
@click.option("--tiles", type=int, help="Budget of tiles.")
@click.option("--tokens", type=int, help="Budget of tokens.")
def bench_synthetic(
    output: Path,
    sides: str,
    scenes: int,
    per_category: int,
    seed: int,
    loading: dict[str, Any],
    tiles: int | None,
    tokens: int | None,
) -> None:
    """Accuracy with intervals and cost: blind, overview, uniform, the descent, the oracle."""
    from geofovea.pipeline.evaluation.synthetic_accuracy import run_bench
    from geofovea.pipeline.hosts.load import load_host

    host = load_host(**loading)
    budget = _checked_budget({"tiles": tiles, "tokens": tokens}, host.default_budget)
    table = run_bench(output, _numbers(sides, int), scenes, per_category, seed, host, budget)
    echo(table, lines=True)


@main.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the scene, the pictures and the evidence.",
)
@click.option("--side", default=32768, show_default=True, help="Side of the scene in pixels.")
@click.option("--seed", default=2026, show_default=True, help="Seed of the scene.")
@threads_option
def demo(output: Path, side: int, seed: int, threads: int | None) -> None:
    """Write a gigapixel scene and ask it one question of each kind."""
    from geofovea.pipeline.cli.demo import run_demo

    run_demo(output, side, seed, threads)
