"""Where messages go beside the terminal: a log file, and details for who wants them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geofovea.errors import OutputError
from geofovea.pipeline.system.terminal import NOTICES, quietly, visible
from geofovea.tiling.machine.system_errors import why_unwritten

__all__ = ["LOG", "logging_to"]

LOG = logging.getLogger("geofovea")
"""Of the whole package."""

_FORMAT = "%(asctime)s %(levelname)s %(message)s"


class _OneLine(logging.Formatter):
    """A record in one line without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


@contextmanager
def logging_to(
    file: Path | None = None, *, verbosity: int = 0, is_quiet: bool = False
) -> Iterator[None]:
    """Log while the block lasts.

    Args:
        file: Takes everything that is told, with times; it is appended to.
        verbosity: 1 tells on standard error what is done, 2 every detail.
        is_quiet: Nothing but errors and results is shown.

    Raises:
        OutputError: If the file cannot be written.
    """
    handlers: list[logging.Handler] = [logging.NullHandler()]
    level = logging.DEBUG if verbosity > 1 else logging.INFO
    if file is not None:
        try:
            handlers.append(logging.FileHandler(file, encoding="utf-8", errors="backslashreplace"))
        except OSError as error:
            raise OutputError(
                f"the log file {file} cannot be written: {why_unwritten(error)}"
            ) from error
    if verbosity:
        details = logging.StreamHandler(sys.stderr)
        # those are on the terminal already
        details.addFilter(lambda record: record.name != NOTICES)
        handlers.append(details)
    before = LOG.level
    LOG.setLevel(level if file is not None or verbosity else logging.WARNING)
    for handler in handlers:
        handler.setFormatter(_OneLine(_FORMAT))
        LOG.addHandler(handler)
    try:
        with quietly(is_quiet):
            yield
    finally:
        LOG.setLevel(before)
        for handler in handlers:
            LOG.removeHandler(handler)
            handler.close()
