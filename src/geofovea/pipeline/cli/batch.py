"""``geofovea batch``: many questions about many scenes."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geofovea._plurals import counted
from geofovea.errors import RunError
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.companions import check_absent, typed_among
from geofovea.pipeline.cli.options.grouped import GroupedCommand, in_group, option
from geofovea.pipeline.cli.options.run import run_options
from geofovea.pipeline.cli.options.scene import access_options, asset_option, verify_option
from geofovea.pipeline.cli.options.shell_words import in_shell_words
from geofovea.pipeline.cli.options.uses import OF_A_FOCUS, OF_ONE_ANSWER, OF_ONE_DATE
from geofovea.pipeline.system.terminal import echo, notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geofovea.datasets.inputs.manifest import ManifestRow
    from geofovea.pipeline.runs.batch_summary import BatchSummary
    from geofovea.pipeline.runs.workers import Workers
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["ROWS_FAILED", "batch"]

ROWS_FAILED = 3
"""Exit code of a run some of whose rows failed."""

_MOST_KINDS = 5


_EXAMPLES = (
    'geofovea batch "scenes/*.tif" --question "How many ships are there?" -o run',
    "geofovea batch rows.csv --scene-column file --question-column prompt -o run",
    "geofovea batch scenes/ --regions fields.gpkg --question 'Is it wet?' -o wet",
)
_input = in_group("Input options")


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@click.argument("sources", nargs=-1, required=True)
@option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    is_common=True,
    help="Folder of results.",
)
@option(
    "--question",
    "questions",
    multiple=True,
    is_common=True,
    help="Ask this about every scene; repeatable.",
)
@_input("--scene-column", metavar="COLUMN", help="Column of a manifest that names the scenes.")
@_input("--question-column", metavar="COLUMN", help="Column of a manifest with the questions.")
@_input(
    "--regions",
    type=click.Path(path_type=Path),
    is_common=True,
    help="Ask within each polygon of this file.",
)
@_input("--region-layer", metavar="NAME", help="Layer of the polygons.")
@_input("--region-name", metavar="COLUMN", help="Column that names the polygons.")
@_input(
    "--region-crs",
    metavar="CRS",
    help="CRS of the polygons, such as EPSG:4326; or pixels.",
)
@asset_option
@verify_option
@ask_options(oracle=False)
@access_options
@run_options
@option(
    "--allow-failures",
    is_flag=True,
    is_common=True,
    help="Exit with code 0 even if rows failed, instead of 3.",
)
@option(
    "--no-geoparquet",
    earlier=["--jsonl-only"],
    is_flag=True,
    group="Output options",
    help="Write only JSON lines and CSV.",
)
@option(
    "--json", "as_json", is_flag=True, is_common=True, help="Print the summary as one JSON object."
)
def batch(
    sources: tuple[str, ...],
    output: Path,
    questions: tuple[str, ...],
    scene_column: str | None,
    question_column: str | None,
    regions: Path | None,
    region_layer: str | None,
    region_name: str | None,
    region_crs: str | None,
    asset: str | None,
    verify: bool,
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    workers: Workers,
    retry_failed: bool,
    max_failures: int | None,
    replace: bool,
    wait: bool,
    allow_failures: bool,
    no_geoparquet: bool,
    as_json: bool,
) -> None:
    """Ask questions about many scenes.

    SOURCES are raster files, folders, globs, STAC item collections and manifests: CSV, JSON lines,
    Parquet and GeoParquet with the columns scene, question and id, and what synthesize writes. A
    column scene_before names an earlier scene of the same place to compare with.

    Every answer is saved at once. If the run is interrupted, repeat the command and it resumes.
    Results are answers.jsonl, answers.csv and answers.parquet in OUTPUT. Exit code 3 means that
    rows failed.
    """
    from geofovea.datasets.inputs.manifest_columns import ManifestColumns
    from geofovea.datasets.inputs.region_crs import stated_crs
    from geofovea.datasets.inputs.region_files import read_regions
    from geofovea.datasets.inputs.scene_lists import list_scenes
    from geofovea.pipeline.runs.batch import BatchFolder, run_batch
    from geofovea.pipeline.runs.batch_plan import plan_batch
    from geofovea.pipeline.runs.batch_worker import SceneWork
    from geofovea.pipeline.runs.scene_worker import openable_scenes

    access = {
        "allow_vrt": allow_vrt,
        "allow_remote": allow_remote,
        "allowed_hosts": allowed_hosts,
    }
    if (region_layer or region_name) and not regions:
        raise click.UsageError("--region-layer and --region-name go with --regions")
    areas = []
    if regions:
        areas = read_regions(regions, layer=region_layer, name_column=region_name, crs=region_crs)
    columns = ManifestColumns(scene_column, question_column)
    rows = list_scenes(list(sources), asset=asset, columns=columns)
    if region_crs:
        if not regions and all(row.region is None for row in rows):
            raise click.UsageError(
                "--region-crs goes with --regions, or with a manifest whose rows have polygons; "
                "there is none of them, so leave out --region-crs"
            )
        # polygons of manifests, too
        crs = stated_crs(region_crs)
        rows = [
            row if row.region is None else dataclasses.replace(row, region_crs=crs) for row in rows
        ]
    _tell_unused(rows, questions)
    command = click.get_current_context().command
    settings = settings.for_scenes(openable_scenes(_scenes_of(rows), access))
    plan = plan_batch(rows, questions, areas, settings.hash, access)
    work = SceneWork(settings.within(output), settings.hash, access, workers.threads, verify)
    summary = run_batch(
        plan,
        settings,
        BatchFolder(
            output,
            geoparquet=not no_geoparquet,
            replace=replace,
            wait=wait,
            worded=lambda text: in_shell_words(text, command),
        ),
        workers.executor_of(work),
        retry_failed=retry_failed,
        max_failures=max_failures,
        batch_size=workers.batch_size,
    )
    if as_json:
        echo(json.dumps(summary.to_json()))
    else:
        _print(summary)
    if summary.stopped:
        raise RunError(
            f"stopped because {summary.stopped}; {counted(summary.left, 'row')} left: run the same "
            "command again to continue"
        )
    if summary.failed and not allow_failures:
        sys.exit(ROWS_FAILED)


def _tell_unused(rows: Sequence[ManifestRow], questions: Sequence[str]) -> None:
    """Say which options that were typed do nothing for rows of some kinds, or refuse them."""
    from geofovea.pipeline.places.as_answer import asked_places

    pairs = [(row, q) for row in rows for q in ([row.question] if row.question else questions)]
    verbs = [(asked_places(question) or ("",))[0] for _, question in pairs]
    kinds = (
        ("compare two dates", OF_ONE_DATE, [bool(row.before) for row, _ in pairs]),
        ("look for places", OF_ONE_ANSWER, [bool(verb) for verb in verbs]),
        ("count", OF_A_FOCUS, [verb == "count" for verb in verbs]),
    )
    for what, names, are_such in kinds:
        if are_such and all(are_such):
            check_absent(names, f"has no effect where all rows {what}")
        elif any(are_such):
            for name in typed_among(names):
                notice(
                    f"  note       {name} has no effect where rows {what}: on "
                    f"{counted(sum(are_such), 'row')}"
                )


def _scenes_of(rows: Sequence[ManifestRow]) -> Iterator[str]:
    """The scenes of all rows, those of earlier dates included."""
    for row in rows:
        yield row.scene
        if row.before:
            yield row.before


def _print(summary: BatchSummary) -> None:
    """Print it in a few lines; what went wrong goes to standard error."""
    s = summary
    echo(f"{s.answered} of {counted(s.rows, 'row')} answered, {s.failed} failed, {s.left} left")
    rate = f", {s.per_minute:.1f} a minute" if s.answered_now else ""
    now = counted(s.answered_now, "item")
    echo(f"  this run   {now} in {s.seconds:.1f} s{rate}; {s.kept} kept from earlier runs")
    each = max(1, s.answered)
    echo(
        f"  cost       {s.tiles_encoded / each:.1f} tiles and {s.tokens_llm / each:.0f} vision "
        f"tokens an answer, over {counted(s.scenes, 'scene')}"
    )
    if s.deaths or s.overdue:
        echo(f"  workers    {s.deaths} died, {s.overdue} were ended over items without an end")
    if s.endpoint is not None:
        use = s.endpoint
        echo(
            f"  endpoint   {counted(use.calls, 'call')}, {counted(use.images, 'picture')}, "
            f"{counted(use.tokens, 'token')} in this folder, lost answers included"
        )
    for path in s.files:
        echo(f"  wrote      {path}")
    echo(f"  report     geofovea report {s.folder}")
    for kind in s.errors[:_MOST_KINDS]:
        more = f" (and {kind['rows'] - 1} more)" if kind["rows"] > 1 else ""
        echo(f"  failed     {kind['id']}: {kind['error']}{more}", err=True)
    if len(s.errors) > _MOST_KINDS:
        rest = counted(len(s.errors) - _MOST_KINDS, "other error")
        echo(f"  failed     {rest}, see the column error of answers.csv", err=True)
    for warning in s.warnings[:_MOST_KINDS]:
        notice(f"  warning    {counted(warning['rows'], 'row')}: {warning['warning']}")
    for note in s.mended:
        notice(f"  journal    {note}")
    for note in s.notes[:_MOST_KINDS]:
        notice(f"  left out   {note}")
