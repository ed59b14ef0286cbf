"""``geofovea report``: a finished run as a page and a table."""

from __future__ import annotations

from pathlib import Path

import click

from geofovea.pipeline.system.terminal import echo

__all__ = ["report"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--root", type=click.Path(path_type=Path), help="Where the images are now.")
@click.option("--worst", default=6, show_default=True, help="Failures to show with a picture.")
def report(folder: Path, root: Path | None, worst: int) -> None:
    """Write report.html and report.md of the evaluation run in FOLDER."""
    from geofovea.pipeline.evaluation.reports.report import write_report

    for path in write_report(folder, root, worst):
        echo(f"wrote {path}")
