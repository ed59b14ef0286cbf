"""``geofovea bench find`` and ``bench count``: places and numbers beside the truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from geofovea.pipeline.cli.measurements.bench_options import numbers_of, output_option
from geofovea.pipeline.cli.options.grouped import GroupedCommand, with_options
from geofovea.pipeline.cli.options.model import synthetic_model_options, unusual
from geofovea.pipeline.cli.options.shared import json_option, world_option
from geofovea.pipeline.system.terminal import echo

__all__ = ["count", "find"]

_Command = Callable[..., None]


def _scene_options(seed: int, budgets: str) -> Callable[[_Command], Any]:
    """Add options for the folder of results, the scenes that are drawn, and the budgets."""
    options = (
        output_option,
        click.option("--sides", callback=numbers_of(int), default="2048", show_default=True),
        click.option("--scenes", default=4, show_default=True, help="Scenes of each side."),
        click.option("--seed", default=seed, show_default=True, help="Seed of the first scene."),
        click.option(
            "--budgets", callback=numbers_of(int), default="32,64", show_default=True, help=budgets
        ),
    )
    return partial(with_options, options=options)


@click.command(
    "count",
    cls=GroupedCommand,
    examples=["geofovea bench count --output runs/count --scenes 2 --budgets 32"],
)
@_scene_options(920_000, "Tiles of the counts by a sample; the search has the most of them.")
@world_option
@synthetic_model_options
def count(
    output: Path,
    sides: tuple[int, ...],
    scenes: int,
    seed: int,
    budgets: tuple[int, ...],
    world: int,
    loading: dict[str, Any],
) -> None:
    """Compare ways to count things over a scene.

    Measures errors, and how often intervals hold the truth: sweeps, samples, one question, a
    question for every tile, and a thumbnail. The same command resumes a stopped run.
    """
    from geofovea.pipeline.evaluation.counts.bench import run_count_bench
    from geofovea.pipeline.hosts.load import load_host

    host = load_host(**loading)
    table = run_count_bench(
        output, sides, scenes, seed, host, budgets, unusual(loading), version=world
    )
    echo(table, lines=True)


@click.command(
    "find",
    cls=GroupedCommand,
    examples=["geofovea bench find --output runs/find --scenes 2 --budgets 32"],
)
@_scene_options(995_000, "Tiles of the searches.")
@click.option(
    "--colors/--no-colors",
    default=True,
    show_default=True,
    help="Look for things with a color too, such as red truck.",
)
@world_option
@json_option
@synthetic_model_options
def find(
    output: Path,
    sides: tuple[int, ...],
    scenes: int,
    seed: int,
    budgets: tuple[int, ...],
    colors: bool,
    world: int,
    as_json: bool,
    loading: dict[str, Any],
) -> None:
    """Measure how much of what is there find finds.

    Compares sweeps, searches and a thumbnail: recall, precision, tiles, tokens, and the recall
    that a search expects. The same command resumes a stopped run.
    """
    from geofovea.pipeline.evaluation.finds.bench import run_find_bench
    from geofovea.pipeline.evaluation.finds.table import finds_table
    from geofovea.pipeline.hosts.load import load_host

    host = load_host(**loading)
    rows = run_find_bench(
        output, sides, scenes, seed, host, budgets, unusual(loading), version=world, colors=colors
    )
    if as_json:
        echo(json.dumps({"model": host.name, "rows": [asdict(row) for row in rows]}))
    else:
        echo(finds_table(rows, host.name), lines=True)
