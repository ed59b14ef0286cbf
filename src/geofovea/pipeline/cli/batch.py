"""``geofovea batch``: many questions about many scenes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geofovea.errors import RunError
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.run import run_options
from geofovea.pipeline.cli.options.scene import access_options
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from geofovea.pipeline.runs.batch_summary import BatchSummary
    from geofovea.pipeline.runs.workers import Workers
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["batch"]

_MOST_KINDS = 5


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of results.")
@click.option("--question", "questions", multiple=True, help="Ask all scenes this; repeatable.")
@click.option("--regions", type=click.Path(path_type=Path), help="Ask within each polygon of it.")
@click.option("--region-layer", metavar="NAME", help="Layer of the polygons.")
@click.option("--region-name", metavar="COLUMN", help="Column that names the polygons.")
@click.option(
    "--region-crs",
    metavar="CRS",
    help="What the numbers of polygons are, such as EPSG:4326, or pixels.",
)
@click.option("--asset", metavar="KEY", help="Asset of STAC items that is the scene.")
@ask_options(oracle=False)
@access_options
@run_options
@click.option("--jsonl-only", is_flag=True, help="Write no GeoParquet.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def batch(
    sources: tuple[str, ...],
    output: Path,
    questions: tuple[str, ...],
    regions: Path | None,
    region_layer: str | None,
    region_name: str | None,
    region_crs: str | None,
    asset: str | None,
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    workers: Workers,
    retry_failed: bool,
    max_failures: int | None,
    replace: bool,
    wait: bool,
    jsonl_only: bool,
    as_json: bool,
) -> None:
    """Ask many questions about many scenes; the same command goes on with a stopped run.

    SOURCES are raster files, folders, globs, manifests (CSV, JSONL, Parquet, GeoParquet with the
    columns scene, question, id) and STAC item collections. Results are OUTPUT/answers.jsonl and
    OUTPUT/answers.parquet; every answer is in OUTPUT/journal.sqlite as soon as it is there.
    """
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
    named = []
    if regions:
        named = read_regions(regions, layer=region_layer, name_column=region_name, crs=region_crs)
    rows = list_scenes(list(sources), asset=asset)
    if region_crs:
        # polygons of manifests, too
        rows = [
            row if row.region is None else dataclasses.replace(row, region_crs=region_crs)
            for row in rows
        ]
    settings = settings.for_scenes(openable_scenes((row.scene for row in rows), access))
    plan = plan_batch(rows, questions, named, settings.hash, access)
    work = SceneWork(settings.within(output), settings.hash, access, workers.threads)
    summary = run_batch(
        plan,
        settings,
        BatchFolder(output, geoparquet=not jsonl_only, replace=replace, wait=wait),
        workers.executor_of(work),
        retry_failed=retry_failed,
        max_failures=max_failures,
        company=workers.company,
    )
    if as_json:
        echo(json.dumps(summary.to_json()))
    else:
        _print(summary)
    if summary.stopped:
        raise RunError(
            f"stopped because {summary.stopped}; {summary.left} rows are left: run the same "
            "command again to go on"
        )


def _print(summary: BatchSummary) -> None:
    """Print it in a few lines; what went wrong goes to standard error."""
    s = summary
    echo(f"{s.answered} of {s.rows} rows answered, {s.failed} failed, {s.left} left")
    rate = f", {s.per_minute:.1f} a minute" if s.answered_now else ""
    echo(f"  this run   {s.answered_now} items in {s.seconds:.1f} s{rate}; {s.kept} kept")
    each = max(1, s.answered)
    echo(
        f"  cost       {s.tiles_encoded / each:.1f} tiles and {s.tokens_llm / each:.0f} vision "
        f"tokens an answer, over {s.scenes} scene(s)"
    )
    if s.deaths or s.overdue:
        echo(f"  workers    {s.deaths} died, {s.overdue} were ended over items without an end")
    if s.endpoint is not None:
        use = s.endpoint
        echo(
            f"  endpoint   {use.calls} calls, {use.images} pictures, {use.tokens} tokens in this "
            "folder, lost answers included"
        )
    for path in s.files:
        echo(f"  wrote      {path}")
    for kind in s.errors[:_MOST_KINDS]:
        more = f" (and {kind['rows'] - 1} more)" if kind["rows"] > 1 else ""
        echo(f"  failed     {kind['id']}: {kind['error']}{more}", err=True)
    for warning in s.warnings[:_MOST_KINDS]:
        echo(f"  warning    {warning['rows']} rows: {warning['warning']}", err=True)
    for note in s.mended:
        echo(f"  journal    {note}", err=True)
    for note in s.notes[:_MOST_KINDS]:
        echo(f"  left out   {note}", err=True)
