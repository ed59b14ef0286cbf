"""``geofovea doctor``: hardware, versions, what is missing, and which models fit."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.terminal import echo

if TYPE_CHECKING:
    from geofovea.pipeline.system.doctor import Examination

__all__ = ["doctor", "examine_here", "loadable_families"]


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show hardware, versions, what is missing, and which models fit the memory at hand."""
    examination = examine_here()
    if as_json:
        echo(json.dumps(examination.to_json()))
    else:
        _print(examination)


def examine_here() -> Examination:
    """What this machine has, with the models of this package that it can load."""
    from geofovea.pipeline.hosts.load import embedded_model_path
    from geofovea.pipeline.system.doctor import examine

    has_embedded = (embedded_model_path() / "config.json").exists()
    return examine(loadable_families(), has_embedded=has_embedded)


def loadable_families() -> Collection[str]:
    """Families of models that can be loaded here; none where what loads them does not work."""
    from geofovea.pipeline.system.installation import installed_version

    if installed_version("transformers") is None:
        return ()
    try:
        with warnings.catch_warnings():
            # of what is missing, which is told among the rest
            warnings.simplefilter("ignore")
            from geofovea.pipeline.hosts.families.registry import FAMILIES
    except Exception:  # whatever a torch that is not there, or does not fit this machine, raises
        return ()
    return FAMILIES


def _print(examination: Examination) -> None:
    from geofovea.pipeline.system.doctor import PRECISIONS, QUESTION_TOKENS
    from geofovea.pipeline.system.tables import markdown_table, print_table

    echo(f"system    {examination.system}, Python {examination.python}")
    echo(f"CPU       {examination.cpu}, {examination.cores} cores")
    for device in examination.devices:
        label = "memory" if device.name == "cpu" else "GPU"
        what = "" if device.name == "cpu" else f"{device.name} {device.model}, "
        free, total = device.free_bytes / 1e9, device.total_bytes / 1e9
        echo(f"{label:<10}{what}{free:.1f} of {total:.1f} GB free")
    if len(examination.devices) == 1:
        echo("GPU       none that torch can use")
    for note in examination.notes:
        echo(f"note      {note}")
    versions = ", ".join(
        f"{name} {number or 'missing'}" for name, number in examination.versions.items()
    )
    echo(f"versions  {versions}")
    for missing in examination.missing:
        why = "" if missing.reason == "not installed" else f" ({missing.reason})"
        echo(f"missing   {missing.package}{why}: {missing.command}")
    if not examination.has_embedded:
        echo("missing   the embedded model's weights: geofovea train --output RUN")
    rows = [
        [
            fit.model,
            *(f"{fit.needed_bytes[name] / 1e9:.1f}" for name in PRECISIONS),
            *(", ".join(fit.devices[name]) or "nowhere" for name in PRECISIONS),
            "in process" if fit.in_process else "endpoint",
            fit.hub_id,
        ]
        for fit in examination.fits
    ]
    header = [
        "model",
        *(f"GB, {name}" for name in PRECISIONS),
        *(f"{name} fits" for name in PRECISIONS),
        "loaded",
        "hub id",
    ]
    try:
        print_table(header, rows, numbers_from=len(header))
    except ImportError:
        # rich is among what is missing
        echo(markdown_table(header, rows), lines=True)
    echo(
        f"Memory for a question of {QUESTION_TOKENS} tokens. What fits nowhere, or is "
        "not loaded in process, can run behind an endpoint: --model openai:NAME --endpoint URL."
    )
