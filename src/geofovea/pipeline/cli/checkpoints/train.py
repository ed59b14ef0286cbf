"""``geofovea train``: the embedded model, from scratch or from weights of its kind."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import SEED, FiniteRange, minutes_option
from geofovea.pipeline.system.terminal import echo
from geofovea.pipeline.training.parts.recipe import PART_NAMES

if TYPE_CHECKING:
    from geofovea.pipeline.training.curriculum import TrainingConfig
    from geofovea.pipeline.training.parts.recipe import PartRecipe

__all__ = ["train"]


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea train --output runs/model --minutes 60",
        "geofovea train --from embedded --output runs/further --keep 0.35",
        "geofovea train --from embedded --output runs/both --world 1 --world 2",
        "geofovea train --with m3 --output runs/m3",
    ],
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the run."
)
@click.option(
    "--from",
    "start",
    metavar="MODEL",
    help="Model to train further: a folder that this command wrote, or 'embedded'.",
)
@click.option(
    "--keep",
    default=0.0,
    show_default=True,
    type=FiniteRange(0, 1, max_open=True),
    help="Share of the weights of --from in the model that is written.",
)
@click.option(
    "--scale",
    default=1.0,
    show_default=True,
    type=FiniteRange(0, 1000, min_open=True),
    help="Multiplies the config's steps.",
)
@click.option(
    "--batch",
    default=4,
    show_default=True,
    type=click.IntRange(1, 4096),
    help="Samples per step; use more on a GPU.",
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Seed of weights and data.")
@click.option(
    "--world",
    "worlds",
    multiple=True,
    type=click.IntRange(1, 2),
    help="Version of the synthetic world that it learns; 1 by default, and 2 for the part bands. "
    "Give it twice, and both take turns.",
)
@click.option("--device", default="cpu", show_default=True, help="A torch device.")
@click.option(
    "--workers",
    default=1,
    show_default=True,
    type=click.IntRange(0),
    help="Processes that render samples; 0 renders them in this one.",
)
@minutes_option
@click.option(
    "--with",
    "part",
    type=click.Choice(PART_NAMES),
    help="Train this extra part instead; the model itself does not change.",
)
@click.option(
    "--lessons", type=click.Path(path_type=Path), help="Folder of lessons that parts can share."
)
@click.option("--compile/--no-compile", "compiled", default=True, help="Compile the model first.")
def train(
    output: Path,
    start: str | None,
    keep: float,
    scale: float,
    batch: int,
    seed: int,
    worlds: tuple[int, ...],
    device: str,
    workers: int,
    minutes: float | None,
    compiled: bool,
    part: str | None,
    lessons: Path | None,
) -> None:
    """Train the demo model, from scratch or further.

    The same command resumes a stopped run.
    """
    if keep and (start is None or part is not None):
        raise click.UsageError(
            "--keep needs --from MODEL, and goes without --with: it says how much of that model "
            "stays in the one that is written"
        )
    chosen = tuple(sorted(set(worlds)))
    if part is not None:
        _check_for_part(device, workers)
        check_absent(("compiled",), "is for the model itself; --with compiles nothing")
        recipe = _recipe(part, scale, batch, seed, chosen)
        _train_part(recipe, output, start, lessons, _seconds(minutes))
        return
    if lessons is not None:
        raise click.UsageError("--lessons is for parts; add --with, or leave it out")
    config = _config(start, scale, batch, seed, chosen or (1,))
    _train_model(config, output, keep, device, workers, compiled, _seconds(minutes))


def _seconds(minutes: float | None) -> float:
    return math.inf if minutes is None else 60 * minutes


def _config(
    start: str | None, scale: float, batch: int, seed: int, worlds: tuple[int, ...]
) -> TrainingConfig:
    """What is trained: a model of its own, or one further."""
    from geofovea.pipeline.hosts.load import folder_of
    from geofovea.pipeline.training.curriculum import default_config, further_config
    from geofovea.pipeline.training.starting import shape_of

    if start is None:
        return default_config(scale, seed, batch, worlds)
    return further_config(start, shape_of(folder_of(start)), scale, seed, batch, worlds)


def _train_model(
    config: TrainingConfig,
    output: Path,
    keep: float,
    device: str,
    workers: int,
    compiled: bool,
    stop_after: float,
) -> None:
    """Train the model itself, print each record, and write it with its card and its curve."""
    from geofovea.pipeline.training import train as training
    from geofovea.pipeline.training.export import export_model
    from geofovea.pipeline.training.report import draw_curve, write_card

    records = training.train(
        config,
        output,
        device=device,
        workers=workers,
        compiled=compiled,
        stop_after=stop_after,
    )
    for record in records:
        echo(json.dumps(record), err=True)
    export_model(output, output / "model", keep)
    write_card(output, output / "model" / "README.md", config, keep)
    draw_curve(output, output / "curve.png")
    echo(f"wrote {output / 'model'}")


def _check_for_part(device: str, workers: int) -> None:
    """Refuse what the training of a part cannot do."""
    if device != "cpu":
        raise click.UsageError(
            f"--with trains on the CPU, got --device {device}; leave out --device"
        )
    if workers != 1:
        raise click.UsageError(
            f"--with renders its lessons in one process, got --workers {workers}; leave out "
            "--workers"
        )


def _recipe(part: str, scale: float, batch: int, seed: int, worlds: tuple[int, ...]) -> PartRecipe:
    """How a part is trained: its usual recipe, with what was asked for."""
    from geofovea.pipeline.training.parts.recipe import default_recipe

    recipe = default_recipe(part, seed=seed)
    steps, shards = (max(1, round(n * scale)) for n in (recipe.steps, recipe.shards))
    recipe = replace(recipe, steps=steps, shards=shards, lessons=batch)
    return replace(recipe, worlds=worlds) if worlds else recipe


def _train_part(
    recipe: PartRecipe, output: Path, start: str | None, lessons: Path | None, stop_after: float
) -> None:
    """Train a part beside a model, and write ``OUTPUT/model``, a copy of the model with it."""
    from geofovea.pipeline.hosts.load import EMBEDDED, folder_of, load_host
    from geofovea.pipeline.hosts.region_focus import with_decoder_access
    from geofovea.pipeline.training.parts.frozen_model import FrozenModel
    from geofovea.pipeline.training.parts.train_part import has_state, train_part
    from geofovea.pipeline.training.parts.written_part import write_part

    name = start or EMBEDDED
    host, folder = with_decoder_access(load_host(name)), folder_of(name)
    model = FrozenModel(host, folder)
    records = train_part(model, recipe, output, lessons=lessons, stop_after=stop_after)
    for record in records:
        echo(json.dumps(record), err=True)
    if not has_state(output):
        echo(
            "the time was over before all lessons were made, so that nothing is trained yet; "
            "the same command continues"
        )
        return
    card = write_part(output, recipe, host, folder)
    echo(f"wrote {output / 'model'}: {card.method} after {card.steps} steps {dict(card.held_out)}")
