"""``geofovea models``: which models there are, and how to get one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from geofovea.pipeline.cli.doctor import (
    examine_here,
    loadable_families,
    print_models,
    question_tokens_option,
)
from geofovea.pipeline.cli.options.companions import check_absent
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.terminal import echo, paragraph

if TYPE_CHECKING:
    from geofovea.pipeline.system.doctor import Examination

__all__ = ["models"]


@click.group(invoke_without_command=True)
@question_tokens_option
@json_option
@click.pass_context
def models(context: click.Context, tokens: int, as_json: bool) -> None:
    """List models that can answer, or get one."""
    if context.invoked_subcommand is not None:
        check_absent(("tokens", "as_json"), "before get is for the list of models")
        return
    examination = examine_here(tokens)
    if as_json:
        parts = examination.to_json()
        echo(json.dumps({"families": sorted(loadable_families()), "models": parts["fits"]}))
    else:
        _print(examination)


@models.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea models get llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
    ],
)
@click.argument("hub_id")
@json_option
def get(hub_id: str, as_json: bool) -> None:
    """Download the model HUB_ID, weights in safetensors only.

    The files are listed and checked first. An interrupted download resumes.
    """
    from geofovea.pipeline.hosts.download import download_model, examine_model
    from geofovea.pipeline.system.progress import tell

    model = examine_model(hub_id)
    size = model.total_bytes / 1e9
    tell(
        f"{hub_id} at {model.commit[:12]}: {len(model.files)} files, {size:.1f} GB, "
        f"license {model.license or 'not stated'}"
    )
    folder = download_model(model)
    if as_json:
        record = {"hub_id": hub_id, "commit": model.commit, "folder": str(folder)}
        echo(json.dumps(record | {"files": model.files, "license": model.license}))
    else:
        echo(f"{folder}\nuse it with --model {hub_id}", lines=True)


def _print(examination: Examination) -> None:
    echo("embedded, embedded-earth: demo models in this package; they know synthetic scenes only")
    print_models(examination)
    families = ", ".join(sorted(loadable_families())) or "none: see geofovea doctor"
    paragraph(f"Any model of these families loads from a hub id or a folder: {families}.")
    echo(
        "Download:  geofovea models get HUB_ID\n"
        'Ask:       geofovea ask scene.tif "..." --model HUB_ID\n'
        "Endpoint:  --model openai:NAME --base-url http://localhost:8000/v1",
        lines=True,
    )
