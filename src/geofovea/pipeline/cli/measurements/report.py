"""``geofovea report``: a finished run as a page and a table."""

from __future__ import annotations

from pathlib import Path

import click

from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.opening import open_option, open_written
from geofovea.pipeline.system.terminal import echo

__all__ = ["report"]


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea report run --open",
    ],
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--root", type=click.Path(path_type=Path), help="Where the images are now.")
@click.option("--worst", default=6, show_default=True, help="Failures to show with a picture.")
@click.option("--pictures", default=200, show_default=True, help="Scenes of a batch to show.")
@open_option
def report(folder: Path, root: Path | None, worst: int, pictures: int, opens: bool) -> None:
    """Write a report of a run as HTML and Markdown.

    FOLDER is the folder of a run of eval or batch.
    """
    from geofovea.pipeline.evaluation.reports.report import write_report
    from geofovea.pipeline.runs.batch_report import write_batch_report
    from geofovea.pipeline.runs.batch_results import ANSWERS
    from geofovea.tiling.machine.paths import is_file

    is_batch = is_file(folder / ANSWERS)
    if is_batch:
        check_absent(("root", "worst"), f"is for runs of eval, and {folder} is one of batch")
    else:
        check_absent(("pictures",), f"is for runs of batch, and {folder} is not one")
    paths = write_batch_report(folder, pictures) if is_batch else write_report(folder, root, worst)
    for path in paths:
        echo(f"wrote {path}")
    if opens:
        open_written(paths)
