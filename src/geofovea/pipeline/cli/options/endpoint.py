"""Command line options about models behind endpoints."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from geofovea.pipeline.hosts.endpoint.settings import (
    DEFAULT_ANSWER_TOKENS,
    DEFAULT_KEY_VARIABLE,
    EndpointSettings,
    SpendLimit,
)
from geofovea.pipeline.system.configuration import variable_of

__all__ = ["endpoint_options"]


def endpoint_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--endpoint`` and what belongs to it; the verb gets ``endpoint``, settings or None."""

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

    options = (
        click.option(
            "--endpoint",
            "endpoint_url",
            envvar=variable_of("endpoint"),
            metavar="URL",
            help="Where --model openai:NAME is, for example http://localhost:8000/v1.",
        ),
        click.option(
            "--api-key-variable",
            default=DEFAULT_KEY_VARIABLE,
            show_default=True,
            metavar="NAME",
            help="Environment variable that holds the endpoint's key.",
        ),
        click.option("--max-calls", default=SpendLimit().calls, show_default=True),
        click.option("--max-endpoint-tokens", default=SpendLimit().tokens, show_default=True),
        click.option(
            "--image-tokens",
            default=256,
            show_default=True,
            help="Vision tokens that the endpoint's model makes of a tile of 448 px.",
        ),
        click.option(
            "--answer-tokens",
            type=int,
            help="Longest answer: 128 of an endpoint, 16 of another model, unless it says more.",
        ),
        click.option(
            "--endpoint-seconds",
            default=180.0,
            show_default=True,
            help="Longest that one call may take: a slow answer, or a server that is not ready.",
        ),
    )
    for option in reversed(options):
        with_settings = option(with_settings)
    return with_settings
