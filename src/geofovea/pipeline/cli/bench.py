"""``geofovea bench reductions``: which method keeps the answer with how few tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geofovea.pipeline.cli.options.model import model_options, unusual
from geofovea.pipeline.cli.options.reduction_option import checked_chain
from geofovea.pipeline.system.terminal import echo
from geofovea.regionfocus.reductions.chain_spec import CHAIN_NAMES

__all__ = ["reductions"]


def _numbers(kind: type) -> Any:
    """A callback that reads numbers separated by commas."""

    def read(_: click.Context, param: click.Parameter, value: str) -> tuple[Any, ...]:
        try:
            return tuple(kind(part) for part in value.split(","))
        except ValueError as error:
            raise click.BadParameter(
                f"{value!r} is not a list of numbers such as 4096,16384", param=param
            ) from error

    return read


def _chains(context: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    if value == "all":
        return CHAIN_NAMES
    return tuple(checked_chain(context, param, chain) for chain in value.split(","))


@click.command()
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to fill.")
@click.option("--sides", callback=_numbers(int), default="4096,16384", show_default=True)
@click.option("--scenes", default=6, show_default=True, help="Scenes of each side.")
@click.option("--per-category", default=2, show_default=True, help="Questions of each category.")
@click.option("--seed", default=900_000, show_default=True, help="Seed of the first scene.")
@model_options
@click.option("--tiles", type=int, help="Budget of tiles; the model's own default if unset.")
@click.option(
    "--methods",
    callback=_chains,
    default="all",
    show_default=True,
    help="Chains separated by commas, such as divprune,fastv,divprune+fastv.",
)
@click.option(
    "--shares",
    callback=_numbers(float),
    default="0.05,0.1,0.25,0.5",
    show_default=True,
    help="Shares of the tokens that the looks give.",
)
def reductions(
    output: Path,
    sides: tuple[int, ...],
    scenes: int,
    per_category: int,
    seed: int,
    loading: dict[str, Any],
    tiles: int | None,
    methods: tuple[str, ...],
    shares: tuple[float, ...],
) -> None:
    """Accuracy, tokens, time and memory of every token reduction; goes on where it was stopped.

    Writes reductions.md, reductions.json and reductions.png beside the journal of answers.
    """
    from dataclasses import replace

    from geofovea.pipeline.evaluation.reduction_report import check_drawing, write_report
    from geofovea.pipeline.evaluation.reduction_sweep import measure_reductions
    from geofovea.pipeline.hosts.load import load_host

    check_drawing()
    host = load_host(**loading)
    budget = host.default_budget if tiles is None else replace(host.default_budget, tiles=tiles)
    items = measure_reductions(
        output,
        sides,
        scenes,
        per_category,
        seed,
        host,
        budget,
        methods,
        shares,
        unusual(loading),
    )
    echo(write_report(output, items, host.name), lines=True)
