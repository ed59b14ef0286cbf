"""``geofovea batch``: many questions about many scenes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea.errors import RunError
from geofovea.pipeline.access_options import access_options
from geofovea.pipeline.view_options import view_options
from geofovea.regionfocus.strategies import DESCENT_NAMES, FOCUS_NAMES, REDUCTION_NAMES

if TYPE_CHECKING:
    from geofovea.pipeline.crew import Crew
    from geofovea.pipeline.work import Work

__all__ = ["batch"]

# an oracle would need boxes for each row
_FOCUS_NAMES = tuple(name for name in FOCUS_NAMES if name != "oracle")
_EXECUTORS = ("inline", "processes", "ray")


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder of results.")
@click.option("--question", "questions", multiple=True, help="Ask all scenes this; repeatable.")
@click.option("--regions", type=click.Path(path_type=Path), help="Ask within each polygon of it.")
@click.option("--region-layer", metavar="NAME", help="Layer of the polygons.")
@click.option("--region-name", metavar="COLUMN", help="Column that names the polygons.")
@click.option("--asset", metavar="KEY", help="Asset of STAC items that is the scene.")
@click.option("--model", default="embedded", show_default=True, help="Folder or hub id of a LLaVA.")
@click.option("--tiles", type=int, help="Most tiles to encode; the model's own default if unset.")
@click.option("--tokens", type=int, help="Most vision tokens for the decoder; likewise.")
@click.option("--seconds", type=float, help="No further level is begun after this time.")
@click.option("--focus", type=click.Choice(_FOCUS_NAMES), default="attention", show_default=True)
@click.option(
    "--reduction", type=click.Choice(REDUCTION_NAMES), default="top_score", show_default=True
)
@click.option("--descent", type=click.Choice(DESCENT_NAMES), default="geometric", show_default=True)
@view_options
@click.option("--device", default="cpu", show_default=True, help="A torch device.")
@access_options
@click.option("--executor", type=click.Choice(_EXECUTORS), default="inline", show_default=True)
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option("--address", help="Ray cluster to join; a local one is started if unset.")
@click.option("--worker-cpus", type=click.FloatRange(0), default=0.5, show_default=True)
@click.option("--worker-gpus", type=click.FloatRange(0), default=0.0, show_default=True)
@click.option("--retry-failed", is_flag=True, help="Ask again what failed before.")
@click.option("--max-failures", type=click.IntRange(1), help="Stop after so many failed items.")
@click.option("--replace", is_flag=True, help="Write over results of another configuration.")
@click.option("--wait", is_flag=True, help="Wait for another run in this folder to end.")
@click.option("--jsonl-only", is_flag=True, help="Write no GeoParquet.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def batch(
    sources: tuple[str, ...],
    output: Path,
    questions: tuple[str, ...],
    regions: Path | None,
    region_layer: str | None,
    region_name: str | None,
    asset: str | None,
    model: str,
    tiles: int | None,
    tokens: int | None,
    seconds: float | None,
    focus: str,
    reduction: str,
    descent: str,
    device: str,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
    executor: str,
    workers: int,
    address: str | None,
    worker_cpus: float,
    worker_gpus: float,
    retry_failed: bool,
    max_failures: int | None,
    replace: bool,
    wait: bool,
    jsonl_only: bool,
    as_json: bool,
    **view: Any,
) -> None:
    """Ask many questions about many scenes; the same command goes on with a stopped run.

    SOURCES are raster files, folders, globs, manifests (CSV, JSONL, Parquet, GeoParquet with the
    columns scene, question, id) and STAC item collections. Results are OUTPUT/answers.jsonl and
    OUTPUT/answers.parquet; every answer is in OUTPUT/journal.sqlite as soon as it is there.
    """
    from geofovea.datasets.region_files import read_regions
    from geofovea.datasets.scene_lists import list_scenes
    from geofovea.pipeline.batch import BatchFolder, run_batch
    from geofovea.pipeline.batch_plan import plan_batch
    from geofovea.pipeline.batch_summary import print_summary
    from geofovea.pipeline.batch_work import AskSettings, SceneWork
    from geofovea.regionfocus.budget import Budget

    given = {"tiles": tiles, "tokens": tokens, "seconds": seconds}
    limits = {name: value for name, value in given.items() if value is not None}
    Budget(**limits)  # type: ignore[arg-type]  # refused before anything is read
    settings = AskSettings(model, limits, focus, reduction, descent, **view)
    access = {
        "allow_vrt": allow_vrt,
        "allow_remote": allow_remote,
        "allowed_hosts": allowed_hosts,
    }
    if (region_layer or region_name) and not regions:
        raise click.UsageError("--region-layer and --region-name go with --regions")
    named = read_regions(regions, layer=region_layer, name_column=region_name) if regions else []
    plan = plan_batch(
        list_scenes(list(sources), asset=asset), questions, named, settings.hash, access
    )
    threads = None if workers == 1 else max(1, (os.cpu_count() or 1) // workers)
    work = SceneWork(settings, settings.hash, access, device, threads)
    summary = run_batch(
        plan,
        settings,
        BatchFolder(output, geoparquet=not jsonl_only, replace=replace, wait=wait),
        _crew(executor, workers, work, address, worker_cpus, worker_gpus),
        retry_failed=retry_failed,
        max_failures=max_failures,
    )
    if as_json:
        click.echo(json.dumps(summary.to_json()))
    else:
        print_summary(summary)
    if summary.stopped:
        raise RunError(
            f"stopped because {summary.stopped}; {summary.left} rows are left: run the same "
            "command again to go on"
        )


def _crew(
    executor: str, workers: int, work: Work, address: str | None, cpus: float, gpus: float
) -> Crew:
    if executor != "ray" and address is not None:
        raise click.UsageError("--address goes with --executor ray")
    if executor == "ray":
        from geofovea.pipeline.ray_crew import RayCrew

        return RayCrew(workers, work, address=address, cpus=cpus, gpus=gpus)
    if executor == "processes":
        from geofovea.pipeline.process_crew import ProcessCrew

        return ProcessCrew(workers, work)
    if workers > 1:
        raise click.UsageError("--workers goes with --executor processes or ray")
    from geofovea.pipeline.crew import InProcessCrew

    return InProcessCrew(work)
