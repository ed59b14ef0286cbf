"""Files that a verb writes: a name that promises another format is refused before the work."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

import click

from geofovea.errors import OutputError
from geofovea.pipeline.system.terminal import fact

__all__ = ["check_format", "save_printed", "written_as"]


def check_format(path: Path, formats: Collection[str], what: str) -> None:
    """Refuse a file in a format that there is not.

    Args:
        path: The file.
        formats: Suffixes with their dot.
        what: What is written, in the plural.

    Raises:
        OutputError: If no format has its suffix.
    """
    if path.suffix.lower() not in formats:
        raise OutputError(
            f"{path} has the suffix {path.suffix!r}, and {what} are saved as one of: "
            f"{', '.join(formats)}"
        )


def written_as(*suffixes: str) -> Callable[..., Path | None]:
    """A callback of an option that always writes one format; a name without a suffix will do."""

    def check(_: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
        if path is not None and path.suffix and path.suffix.lower() not in suffixes:
            name = max(parameter.opts, key=len)
            raise OutputError(
                f"{name} writes a file with the suffix {suffixes[0]}, got {path}; with --output, "
                "the suffix chooses the format"
            )
        return path

    return check


class _Savable(Protocol):
    def save(self, path: Path) -> None: ...


def save_printed(result: _Savable, *paths: Path | None, tell: bool) -> None:
    """Write what was printed before: a file that cannot be written does not cost the result.

    Args:
        result: What was printed.
        paths: Where it goes; None is nowhere.
        tell: Whether to print what was written.

    Raises:
        OutputError: If a file cannot be written.
    """
    for path in filter(None, paths):
        result.save(path)
        if tell:
            fact("wrote", f"{path}")
