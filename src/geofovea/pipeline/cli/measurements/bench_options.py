"""Options that several measurements of ``geofovea bench`` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from geofovea.pipeline.cli.options.shared import comma_separated

__all__ = ["numbers_of", "output_option"]

output_option = click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to fill."
)


def numbers_of(kind: type) -> Callable[..., tuple[Any, ...]]:
    """A callback of options: the numbers that they give."""
    return lambda _context, param, value: comma_separated(
        value, kind, example="4096,16384", param=param
    )
