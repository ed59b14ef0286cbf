"""Command line options about models behind endpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from geofovea.pipeline.cli.options.companions import check_absent, is_typed
from geofovea.pipeline.cli.options.grouped import in_group, with_options
from geofovea.pipeline.hosts.endpoint.settings import (
    DEFAULT_ANSWER_TOKENS,
    DEFAULT_KEY_VARIABLE,
    ENDPOINT_PREFIX,
    EndpointSettings,
    SpendLimit,
)
from geofovea.pipeline.hosts.load_options import AUTO
from geofovea.pipeline.system.configuration import variable_of

__all__ = ["endpoint_of_model", "endpoint_options"]

_OF_ENDPOINT = {"goes_with": ["--base-url"]}
_SETTINGS = (
    *("api_key_variable", "max_calls", "max_endpoint_tokens", "image_tokens", "endpoint_seconds"),
)
"""What is said of an endpoint alone."""


_option = in_group("Endpoint options")
_OPTIONS = (
    _option(
        "--base-url",
        "endpoint_url",
        earlier=["--endpoint"],
        envvar=variable_of("endpoint"),
        metavar="URL",
        is_common=True,
        help="Address of openai:NAME, such as http://localhost:11434/v1.",
    ),
    _option(
        "--api-key-variable",
        **_OF_ENDPOINT,
        default=DEFAULT_KEY_VARIABLE,
        show_default=True,
        metavar="NAME",
        help="Environment variable that holds the key of the endpoint.",
    ),
    _option(
        "--max-calls",
        **_OF_ENDPOINT,
        default=SpendLimit().calls,
        show_default=True,
        help="Send at most this many requests.",
    ),
    _option(
        "--max-api-tokens",
        "max_endpoint_tokens",
        earlier=["--max-endpoint-tokens"],
        **_OF_ENDPOINT,
        default=SpendLimit().tokens,
        show_default=True,
        help="Spend at most this many tokens, as the endpoint counts them.",
    ),
    _option(
        "--image-tokens",
        **_OF_ENDPOINT,
        default=256,
        show_default=True,
        help="Vision tokens that the model makes of a tile of 448 x 448 px.",
    ),
    _option(
        "--max-new-tokens",
        "answer_tokens",
        earlier=["--answer-tokens"],
        type=int,
        help="Tokens of the longest answer. Default: 128 at an endpoint, 16 elsewhere.",
    ),
    _option(
        "--api-timeout",
        "endpoint_seconds",
        earlier=["--endpoint-seconds"],
        **_OF_ENDPOINT,
        default=180.0,
        show_default=True,
        help="Longest time for one call, in seconds.",
    ),
)


def endpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--base-url`` and what belongs to it; the verb gets ``endpoint``, settings or None."""

    @wraps(command)
    def with_settings(
        *,
        endpoint_url: str | None,
        api_key_variable: str,
        max_calls: int,
        max_endpoint_tokens: int,
        image_tokens: int,
        answer_tokens: int | None,
        endpoint_seconds: float,
        **others: Any,
    ) -> Any:
        endpoint = None
        if endpoint_url is not None:
            endpoint = EndpointSettings(
                endpoint_url,
                key_variable=api_key_variable,
                limit=SpendLimit(max_calls, max_endpoint_tokens),
                image_tokens=image_tokens,
                answer_tokens=DEFAULT_ANSWER_TOKENS if answer_tokens is None else answer_tokens,
                total_seconds=endpoint_seconds,
            )
        return command(endpoint=endpoint, **others)

    wrapped: Callable[..., Any] = with_options(with_settings, _OPTIONS)
    return wrapped


def endpoint_of_model(
    loading: dict[str, Any], endpoint: EndpointSettings | None, context: click.Context
) -> EndpointSettings | None:
    """The endpoint of the model that is named; None where that is behind none.

    An address that was typed for such a model is left to ``load_host``, which refuses it.

    Args:
        loading: As ``model_options`` gives it; a model behind an endpoint loses the device that is
            configured for others.
        endpoint: As `endpoint_options` gives it.
        context: Of the verb.

    Raises:
        UsageError: If an option of an endpoint was typed without its address, which may be
            configured for another model.
    """
    is_behind = loading["name"].startswith(ENDPOINT_PREFIX)
    if is_behind and not is_typed(context, "device"):
        loading["device"] = AUTO
    if is_behind or is_typed(context, "endpoint_url"):
        return endpoint
    check_absent(_SETTINGS, "goes with a model behind an endpoint, --model openai:NAME")
    # one that is configured is for the model that is configured
    return None
