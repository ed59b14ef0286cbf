"""``geofovea convert``: turns a checkpoint in its repository's own layout into a stock one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.terminal import echo

__all__ = ["convert"]


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea convert geochat-7b --output geochat-7b-hf",
    ],
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to write."
)
@click.option(
    "--tower", help="Folder or hub id of a LLaVA's vision tower; the model's own if unset."
)
@json_option
def convert(folder: Path, output: Path, tower: str | None, as_json: bool) -> None:
    """Convert an original LLaVA or InternVL checkpoint.

    GeoChat and other remote sensing models come in this form. FOLDER holds config.json, safetensors
    and a tokenizer. Pickled weights are refused.
    """
    from geofovea.pipeline.hosts.original.convert import convert_checkpoint

    model = convert_checkpoint(folder, output, tower)
    if as_json:
        echo(json.dumps({"folder": str(model)}))
        return
    echo(f"wrote {model}")
    echo(f'  ask it with  geofovea ask SCENE "QUESTION" --model {model}')
