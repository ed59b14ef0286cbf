"""``geofovea synthesize``: synthetic scenes with their questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import world_option
from geofovea.pipeline.system.terminal import echo

__all__ = ["synth"]


@click.command(
    "synthesize",
    cls=CommandWithExamples,
    examples=[
        "geofovea synthesize --output scene.tif --side 2048",
        "geofovea synthesize --output data --scenes 3 --seed 7",
        "geofovea synthesize --output dated --dates 2 --side 2048",
    ],
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to fill, or one scene: FILE.tif.",
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
@click.option(
    "--green-roofs", is_flag=True, help="Give halls green roofs, planted or painted; needs --nir."
)
def synth(
    output: Path,
    scenes: int,
    side: int,
    seed: int,
    dates: int,
    per_category: int,
    world: int,
    nir: bool,
    green_roofs: bool,
) -> None:
    """Write synthetic scenes and questions about them.

    An OUTPUT that ends in .tif is one scene, with its questions beside it. The file of questions
    has the format of LRS-VQA; batch reads it, and eval synthetic does. With --dates 2 every scene
    is written at two dates, and the questions are about what changed between them.
    """
    from geofovea.pipeline.evaluation import synthetic_scenes
    from geofovea.pipeline.system.progress import progress_bar

    if nir and world == 1:
        raise click.UsageError("--nir needs --world 2: the first world has no near infrared")
    if green_roofs and not nir:
        raise click.UsageError(
            "--green-roofs needs --nir: without near infrared, planted and painted roofs look alike"
        )
    is_file = output.suffix.lower() in (".tif", ".tiff")
    if is_file and (scenes, dates) != (1, 1):
        raise click.UsageError(
            f"{output} is one file; name a folder for several scenes or dates, such as "
            f"--output {output.with_suffix('')}"
        )
    looks: dict[str, Any] = {"version": world, "bands": 4 if nir else 3, "green_roofs": green_roofs}
    records, path = [], output
    with progress_bar(f"writing {_scenes(scenes, side, dates)}") as advance:
        if is_file:
            records = synthetic_scenes.write_one_scene(
                output, side, seed, per_category, advance, **looks
            )
        elif dates == 1:
            path = synthetic_scenes.write_benchmark(
                output, scenes, side, seed, per_category, advance, **looks
            )
        else:
            path = synthetic_scenes.write_dated_benchmark(
                output, scenes, side, seed, dates, per_category, advance, **looks
            )
    if not is_file:
        echo(f"wrote {_scenes(scenes, side, dates)} in {output / 'image'}")
        echo(f"wrote questions with their answers to {path}")
        return
    echo(f"wrote {output}")
    echo(f"wrote {counted(len(records), 'question')} with answers to {output.stem}.jsonl")
    # its answer is seen at a glance, where a number may be none
    shown = next((each for each in records if each.category == "object color"), records[0])
    echo(f'try   geofovea ask {output} "{shown.question}"   (answer: {shown.answer})')


def _scenes(scenes: int, side: int, dates: int) -> str:
    """What is written, in words."""
    count = f"{counted(scenes, 'scene')} of {side} × {side} px"
    return f"{count} at {dates} dates" if dates > 1 else count
