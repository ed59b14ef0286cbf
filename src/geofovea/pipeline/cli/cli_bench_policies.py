"""``geofovea bench policies``: which way from coarse to fine finds and answers best."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from geofovea.pipeline.cli.options.model import model_options, unusual
from geofovea.pipeline.system.terminal import echo

__all__ = ["policies"]


@click.command()
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to fill.")
@click.option("--side", "sides", type=int, multiple=True, help="Side in pixels; repeatable.")
@click.option("--scenes", default=2, show_default=True, help="Scenes of each side.")
@click.option("--per-category", default=4, show_default=True, help="Questions of each category.")
@click.option("--seed", default=900_000, show_default=True, help="Seed of the first scene.")
@model_options
@click.option("--tiles", type=int, help="Budget of tiles.")
@click.option("--tokens", type=int, help="Budget of tokens.")
def policies(
    output: Path,
    sides: tuple[int, ...],
    scenes: int,
    per_category: int,
    seed: int,
    loading: dict[str, Any],
    tiles: int | None,
    tokens: int | None,
) -> None:
    """Hit rate and accuracy of every descent at one budget; goes on with a stopped run."""
    from geofovea.pipeline.evaluation.descent_comparison import run_policies
    from geofovea.pipeline.hosts.load import load_host

    host = load_host(**loading)
    default = host.default_budget
    budget = replace(default, tiles=tiles or default.tiles, tokens=tokens or default.tokens)
    chosen = list(sides) or [4096, 16384, 32768]
    table = run_policies(output, chosen, scenes, per_category, seed, host, budget, unusual(loading))
    echo(table, lines=True)
