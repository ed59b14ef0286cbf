"""``geofovea doctor``: hardware, versions, what is missing, and which models fit."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from geofovea._plurals import counted
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.model_catalog import QUESTION_TOKENS
from geofovea.pipeline.system.terminal import echo, paragraph

if TYPE_CHECKING:
    from geofovea.pipeline.system.doctor import Examination, Fit

__all__ = [
    "doctor",
    "examine_here",
    "loadable_families",
    "print_models",
    "question_tokens_option",
]

_NOWHERE = "-"


question_tokens_option = click.option(
    "--tokens",
    type=click.IntRange(1, 2**20),
    default=QUESTION_TOKENS,
    show_default=True,
    help="Tokens of the question that memory is stated for.",
)


@click.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea doctor",
        "geofovea doctor --tokens 16384",
        "geofovea doctor --model Qwen/Qwen3-VL-2B-Instruct",
    ],
)
@click.option(
    "--model",
    help="Say whether the focus of this model, a folder or a downloaded hub id, was calibrated.  "
    "[default: the configured one]",
)
@question_tokens_option
@json_option
def doctor(model: str | None, tokens: int, as_json: bool) -> None:
    """Check the machine and the installation."""
    examination = examine_here(tokens, model)
    if as_json:
        echo(json.dumps(examination.to_json()))
    else:
        _print(examination)


def examine_here(tokens: int = QUESTION_TOKENS, model: str | None = None) -> Examination:
    """What this machine has, with the models of this package that it can load.

    Args:
        tokens: Of the question that models have to have memory for.
        model: Whose focus is told, beside the embedded one's; the configured one if None.
    """
    from geofovea.pipeline.hosts.load import embedded_model_path
    from geofovea.pipeline.system.doctor import examine

    has_embedded = (embedded_model_path() / "config.json").exists()
    return examine(
        loadable_families(),
        has_embedded=has_embedded,
        focus=_focus_of_models(model),
        question_tokens=tokens,
    )


def _focus_of_models(model: str | None) -> dict[str, str]:
    """How the focus of the embedded models, and of another, was chosen; by name."""
    from geofovea.errors import GeoFoveaError
    from geofovea.pipeline.hosts.endpoint.settings import ENDPOINT_PREFIX
    from geofovea.pipeline.hosts.load import EMBEDDED, EMBEDDED_MODELS
    from geofovea.pipeline.system.configuration import read_configuration

    chosen = model or read_configuration().get("model") or EMBEDDED
    names = dict.fromkeys((*EMBEDDED_MODELS, chosen))
    states = {}
    for name in names:
        if name.startswith(ENDPOINT_PREFIX):
            states[name] = "an endpoint shows no attention; its focus is 'prompted'"
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from geofovea.pipeline.hosts.families.focus_state import focus_state

                states[name] = focus_state(name)
        except GeoFoveaError as error:
            states[name] = str(error)
        except Exception:  # whatever a torch that is not there raises
            return {}
    return states


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
    paragraph(f"versions  {versions}", indent=10)
    _print_missing(examination)
    for name, state in examination.focus.items():
        paragraph(f"focus     {name}: {state}", indent=10)
    print_models(examination, only_fitting=True)


def _print_missing(examination: Examination) -> None:
    """What is needed, and what only some uses need: an extra by its one command."""
    needed = [missing for missing in examination.missing if not missing.extra]
    for missing in needed:
        why = "" if missing.reason == "not installed" else f" ({missing.reason})"
        echo(f"missing   {missing.package}{why}: {missing.command}")
    if not examination.has_embedded:
        echo("missing   the embedded model's weights: geofovea train --output RUN")
    if not needed and examination.has_embedded:
        echo("OK        all that GeoFovea needs is installed")
    extras: dict[str, list[str]] = {}
    for missing in examination.missing:
        if missing.extra:
            why = "" if missing.reason == "not installed" else f" ({missing.reason})"
            extras.setdefault(missing.command, []).append(missing.package + why)
    for command, packages in extras.items():
        echo(f"optional  {', '.join(packages)}: {command}")


def print_models(examination: Examination, *, only_fitting: bool = False) -> None:
    """The models that are known, small to large, and where each of them fits.

    Args:
        examination: Of this machine.
        only_fitting: Leave out those that do not fit, and say how many they are.
    """
    from geofovea.pipeline.system.tables import markdown_table, print_table

    header = ("hub id", "GB", "RAM", "4bit", "license", "fits")
    fits = [fit for fit in examination.fits if not only_fitting or _places(fit) != _NOWHERE]
    # where nothing can be loaded yet, all of them are what one may install it for
    fits = fits or list(examination.fits)
    rows = [
        (
            fit.hub_id,
            _gigabytes(fit.download_gb),
            _gigabytes(fit.needed_bytes["bfloat16"] / 1e9),
            _gigabytes(fit.needed_bytes["4bit"] / 1e9),
            fit.license,
            _places(fit),
        )
        for fit in fits
    ]
    try:
        print_table(header, rows, numbers_from=len(header), is_dense=True)
    except ImportError:
        # rich is among what is missing
        echo(markdown_table(header, rows), lines=True)
    if others := len(examination.fits) - len(fits):
        echo(f"not fitting here: {counted(others, 'model')}; geofovea models lists all")
    paragraph(
        "GB is the download. RAM is the memory, in GB, of a question of "
        f"{examination.question_tokens} tokens in bfloat16, and 4bit that with --quantization "
        "4bit, which leaves experts (A3B) as they are."
    )
    paragraph(
        "* float32, the default on a CPU, does not fit: add --dtype bfloat16. - fits nowhere here: "
        "use an endpoint. NC: not for commercial use."
    )


def _gigabytes(number: float) -> str:
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"


def _places(fit: Fit) -> str:
    """Devices that hold a model, and how it runs where none does."""
    places = [
        name + ("*" if name == "cpu" and name not in fit.devices["float32"] else "")
        for name in fit.devices["bfloat16"]
    ]
    if not set(places) - {"cpu", "cpu*"}:
        places += [f"{name} (4bit)" for name in fit.devices["4bit"]]
    return ", ".join(places if fit.in_process else ()) or _NOWHERE
