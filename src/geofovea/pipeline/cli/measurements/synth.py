"""``geofovea synthesize``: synthetic scenes with their questions."""

from __future__ import annotations

from pathlib import Path

import click

from geofovea.pipeline.system.terminal import echo

__all__ = ["synth"]


@click.command("synthesize")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to fill."
)
@click.option("--scenes", default=1, show_default=True, help="Number of scenes.")
@click.option("--side", default=4096, show_default=True, help="Side of a scene in pixels.")
@click.option("--seed", default=0, show_default=True, help="Seed of the first scene.")
@click.option("--per-category", default=2, show_default=True, help="Questions of each category.")
def synth(output: Path, scenes: int, side: int, seed: int, per_category: int) -> None:
    """Write synthetic scenes and questions about them.

    The file of questions has the format of LRS-VQA; batch and eval read it.
    """
    from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark
    from geofovea.pipeline.system.progress import progress_bar

    with progress_bar(f"{scenes} scene(s) of {side} x {side}") as advance:
        path = write_benchmark(output, scenes, side, seed, per_category, advance)
    echo(f"wrote {path}")
