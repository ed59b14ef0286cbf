"""Command line options about how questions are answered, for ``ask``, ``batch`` and ``eval``."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from geofovea.errors import ModelError
from geofovea.pipeline.cli.options.endpoint import (
    endpoint_of_model,
    endpoint_options,
)
from geofovea.pipeline.cli.options.grouped import in_group, with_options
from geofovea.pipeline.cli.options.model import model_options
from geofovea.pipeline.cli.options.scene import view_options
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.system.configuration import variable_of
from geofovea.regionfocus.cache_policies.kv_spec import KV_NAMES
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS, parse_chain
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, REDUCTION_NAMES
from geofovea.regionfocus.strategies import (
    DEFAULT_DESCENT,
    DEFAULT_GEOMETRY,
    DEFAULT_REDUCTION,
    DESCENT_NAMES,
    FOCUS_NAMES,
    GEOMETRY_NAMES,
    ROUTE_NAMES,
)

if TYPE_CHECKING:
    from geofovea.pipeline.focus.stopping import StopAt
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings

__all__ = ["ask_options", "checked_chain"]

_budget, _search = in_group("Budget options"), in_group("Search options")
_LIMITS = ("tiles", "tokens", "seconds", "host_ram_mb")
_NAMES = ("cache_tokens", "index", "bands", "composite", "band_map", "nodata")
_OPTIONS = (
    *("focus", "focus_model", "reduction", "descent", "route", "geometry", "skip", "resampler"),
)


def ask_options(
    *,
    oracle: bool = True,
    published: bool = True,
    inside: bool = True,
    answers: bool = True,
    without: Collection[str] = (),
) -> Callable[[Callable[..., Any]], Any]:
    """Add the options of a question; the verb gets ``settings``, an `AskSettings`.

    Args:
        oracle: Whether the focus may be told where the evidence is.
        published: Whether the search may be that of the published method.
        inside: Whether tokens may be reduced inside the model, in its encoder or decoder.
        answers: Whether the verb asks for one answer from reduced tokens; verbs that look at one
            tile after another have no use for options about that.
        without: Names of parameters that the verb has no use for, and does not get.
    """
    # an oracle needs boxes with each question
    focus_names = [name for name in FOCUS_NAMES if oracle or name != "oracle"]
    descents = [name for name in DESCENT_NAMES if published or name != "published"]
    answering = _answering_options(descents, inside=inside) if answers else ()
    options = _all_options(focus_names, answering)

    def add(command: Callable[..., Any]) -> Any:
        wrapped = with_options(_with_settings(command), options)
        parameters = wrapped.__click_params__
        left_out = {name for each in parameters if each.name in without for name in each.opts}
        wrapped.__click_params__ = [each for each in parameters if each.name not in without]
        for each in wrapped.__click_params__:
            companions = getattr(each, "goes_with", ())
            each.goes_with = tuple(c for c in companions if c.partition(" ")[0] not in left_out)
        return wrapped

    return add


def _all_options(
    focus_names: Sequence[str], answering: Sequence[Callable[[Any], Any]]
) -> tuple[Callable[[Any], Any], ...]:
    """All options of a question, in the order of the help."""
    return (
        model_options,
        endpoint_options,
        _budget(
            "--max-tiles",
            "tiles",
            earlier=["--tiles"],
            type=int,
            envvar=variable_of("budget.max_tiles"),
            is_common=True,
            help="Encode at most this many tiles. Default: the model's.",
        ),
        _budget(
            "--max-tokens",
            "tokens",
            earlier=["--tokens"],
            type=int,
            envvar=variable_of("budget.max_tokens"),
            is_common=True,
            help="Show the model at most this many vision tokens. Default: the model's.",
        ),
        _budget(
            "--timeout",
            "seconds",
            earlier=["--seconds"],
            type=float,
            envvar=variable_of("budget.timeout"),
            help="End the search after this many seconds, and answer.",
        ),
        _budget(
            "--host-ram-mb",
            type=float,
            help="End the search when all processes together use this many MiB of memory.",
        ),
        _search(
            "--focus",
            type=click.Choice(focus_names),
            help="What decides where to look. Default: attention, or prompted at an endpoint.",
        ),
        _search(
            "--focus-model",
            goes_with=["--focus similarity", "--index"],
            help="Dual encoder for --focus similarity: a CLIP or SigLIP, or embedded.",
        ),
        _search(
            "--index",
            metavar="FOLDER",
            help=(
                "Folder that geofovea index wrote: look where its vectors match the question best. "
                "The default focus is then similarity."
            ),
        ),
        _search(
            "--focus-module",
            "rfm",
            earlier=["--rfm"],
            type=click.Path(path_type=Path),
            goes_with=["--focus rfm"],
            help="Region focus module: a folder that geofovea distill wrote.",
        ),
        *answering,
        _budget(
            "--cache-tokens/--no-cache-tokens",
            default=None,
            help="Keep encoded tiles on disk for the next run.",
        ),
        view_options,
    )


def _answering_options(
    descents: Sequence[str], *, inside: bool
) -> tuple[Callable[[Any], Any], ...]:
    """Options of verbs that ask for one answer, from tokens that are reduced."""
    return (
        partial(_reduction_option, inside=inside),
        _search(
            "--search",
            "descent",
            earlier=["--descent"],
            type=click.Choice(descents),
            default=DEFAULT_DESCENT,
            show_default=True,
            help="How the search goes from coarse to fine levels.",
        ),
        _search(
            "--route",
            type=click.Choice(ROUTE_NAMES),
            default="auto",
            show_default=True,
            help="How many places to look at closely.",
        ),
        _search(
            "--geometry",
            type=click.Choice(GEOMETRY_NAMES),
            default=DEFAULT_GEOMETRY,
            show_default=True,
            help="Compute answers about where places lie, or leave them to the model.",
        ),
        _budget(
            "--skip",
            metavar="NAME[:START]",
            help="What vision tokens skip inside the decoder, such as ima or dyvte.",
        ),
        _budget(
            "--resampler",
            metavar="NAME[:TOKENS]",
            help="Trained part that makes at most this many tokens of each tile, such as m3:4.",
        ),
        _search(
            "--min-contrast",
            "flatness",
            earlier=["--flatness"],
            type=float,
            help="Stop the search where no place stands out this much.",
        ),
        _search(
            "--confidence",
            type=float,
            help="Stop the search once the model is this sure, from 0 to 1.",
        ),
        _budget(
            "--memory",
            "megabytes",
            type=float,
            metavar="MB",
            help=(
                "Keep what the decoder makes of each tile, in at most this many megabytes, for the "
                "next question about the scene. Answers may differ."
            ),
        ),
        _budget(
            "--kv",
            "policy",
            metavar="NAME[:NUMBER][+NAME[:SHARE]]",
            default="plain",
            show_default=True,
            goes_with=["--memory"],
            help=(
                "How --memory stores keys and values, such as exact or plain:2, and which of them "
                f"words read, such as plain:2+tokenselect:0.05. Names: {', '.join(KV_NAMES)}."
            ),
        ),
    )


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(command)
    def run(
        *,
        loading: dict[str, Any],
        endpoint: EndpointSettings | None,
        rfm: Path | None = None,
        **values: Any,
    ) -> Any:
        context = click.get_current_context()
        endpoint = endpoint_of_model(loading, endpoint, context)
        how = {name: values.pop(name, None) for name in _NAMES}
        stop = _stop(values.pop("flatness", None), values.pop("confidence", None))
        chosen = {name: values.pop(name) for name in _OPTIONS if name in values}
        options = AnswerOptions(**chosen, stop=stop)
        limits = {name: values.pop(name) for name in _LIMITS}
        megabytes, kv = values.pop("megabytes", None), values.pop("policy", "plain")
        # an endpoint is told with each question, a model in this process when it is loaded
        tokens = context.params["answer_tokens"] if endpoint is None else None
        settings = AskSettings(
            model=loading.pop("name"),
            limits={name: limit for name, limit in limits.items() if limit is not None},
            options=options,
            load=LoadOptions(**loading, answer_tokens=tokens),
            endpoint=endpoint,
            rfm=None if rfm is None else str(rfm),
            memory=None if megabytes is None else MemoryOptions(megabytes, kv),
            **how,
        )
        # an impossible budget is refused before anything is read or loaded
        settings.budget()
        return command(settings=settings, **values)

    return run


def _stop(flatness: float | None, confidence: float | None) -> StopAt | None:
    if flatness is None and confidence is None:
        return None
    # brings torch, which the list of options does without
    from geofovea.pipeline.focus.stopping import StopAt

    return StopAt(flatness, confidence)


def checked_chain(_: click.Context, param: click.Parameter, value: str) -> str:
    """A callback of options: the text itself, if it is a chain."""
    try:
        parse_chain(value)
    except ModelError as error:
        raise click.BadParameter(str(error), param=param) from error
    return value


def _reduction_option(command: Any, *, inside: bool) -> Any:
    """Add the option to a verb; it arrives as text."""
    projected = ", ".join(REDUCTION_NAMES)
    option = _search(
        "--reduction",
        callback=checked_chain,
        default=DEFAULT_REDUCTION,
        show_default=True,
        metavar="NAME[:SHARE][+...]" if inside else "NAME",
        help=(
            "How tokens are reduced, at most one name for each stage, such as "
            f"divprune+fastv:0.25. Projected tokens: {projected}. Encoder: "
            f"{', '.join(ENCODER_LINKS)}. Decoder: {', '.join(DECODER_REDUCTION_NAMES)}."
            if inside
            else f"How tokens are reduced: {projected}."
        ),
    )
    return option(command)
