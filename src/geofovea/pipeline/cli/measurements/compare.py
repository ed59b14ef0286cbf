"""``geofovea compare``: runs of one benchmark beside each other."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.terminal import echo

__all__ = ["compare"]

_path = click.Path(path_type=Path)


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea compare run other-run",
        "geofovea compare run other-run --output comparison",
    ],
)
@click.argument("runs", nargs=-1, required=True, type=_path)
@click.option("-o", "--output", type=_path, help="Folder for compare.md, .json and .svg.")
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
@json_option
def compare(runs: tuple[Path, ...], output: Path | None, seed: int, as_json: bool) -> None:
    """Compare runs of a benchmark with the first one.

    RUNS are folders of eval. Differences are those of the questions that all runs answered, with
    intervals of a paired bootstrap over images.
    """
    from geofovea.pipeline.evaluation.reports.comparison import compare_runs, write_comparison
    from geofovea.pipeline.system.tables import print_table

    comparison = compare_runs(runs, seed)
    paths = write_comparison(comparison, output) if output else ()
    if as_json:
        echo(json.dumps(comparison.to_json()))
        return
    echo(comparison.head())
    print_table(*comparison.table(), numbers_from=2)
    figures = comparison.figures()
    if len(figures[0]) > 2:
        print_table(*figures)
    for path in paths:
        echo(f"wrote {path}")
