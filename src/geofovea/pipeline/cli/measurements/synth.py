"""``geofovea synthesize``: synthetic scenes with their questions."""

from __future__ import annotations

from pathlib import Path

import click

from geofovea.pipeline.cli.options.shared import world_option
from geofovea.pipeline.system.terminal import echo

__all__ = ["synth"]


@click.command("synthesize")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to fill."
)
@click.option("--scenes", default=1, show_default=True, help="Number of scenes.")
@click.option("--side", default=4096, show_default=True, help="Side of a scene in pixels.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first scene.")
@click.option(
    "--dates", default=1, show_default=True, help="Dates of each scene; two or more have changes."
)
@click.option("--per-category", default=2, show_default=True, help="Questions of each category.")
@world_option
@click.option("--nir", is_flag=True, help="Add a near-infrared band; needs --world 2.")
def synth(
    output: Path,
    scenes: int,
    side: int,
    seed: int,
    dates: int,
    per_category: int,
    world: int,
    nir: bool,
) -> None:
    """Write synthetic scenes and questions about them.

    The file of questions has the format of LRS-VQA; batch and eval read it. With --dates 2 every
    scene is written at two dates, and the questions are about what changed between them.
    """
    from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark, write_dated_benchmark
    from geofovea.pipeline.system.progress import progress_bar

    if nir and world == 1:
        raise click.UsageError("--nir needs --world 2: the first world has no near infrared")
    looks = {"version": world, "bands": 4 if nir else 3}
    what = f"{scenes} scene(s) of {side} x {side}" + (f" at {dates} dates" if dates > 1 else "")
    with progress_bar(what) as advance:
        if dates == 1:
            path = write_benchmark(output, scenes, side, seed, per_category, advance, **looks)
        else:
            path = write_dated_benchmark(
                output, scenes, side, seed, dates, per_category, advance, **looks
            )
    echo(f"wrote {path}")
