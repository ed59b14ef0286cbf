"""Faults of a read that raise no exception: warnings of GDAL, and errors of remote files.

GDAL only warns when libjpeg finds a damaged tile, and continues with made-up pixels. It cannot pass
on an exception of a Python file object either. Both are collected here, on the thread where they
happen, while one of our reads is under way. The read then fails with them.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import rasterio  # noqa: F401  (makes the logger that is watched below)

from geofovea.errors import GeoFoveaError

__all__ = ["Faults", "collect_faults", "is_damage", "report_fault"]

_log = logging.getLogger(__name__)

# what decoders say of pixels; what readers of headers say (unknown tags, odd orders) is harmless
_DAMAGE = re.compile(
    r"corrupt|premature|truncat|unexpected end|not enough data|JPEGLib|libjpeg|libpng|"
    r"decod|\bCRC\b|checksum|bad code",
    re.IGNORECASE,
)
# Cameras write the first two into whole pictures: a few bytes of padding before the end mark, and
# fields that a sequential JPEG has but does not use. GDAL writes the third into a TIFF: rows below
# the picture in its last strip, which are left out.
_HARMLESS = re.compile(
    r"\b[1-4] extraneous bytes before marker 0xd9|Invalid SOS parameters|"
    r"JPEG strip size exceeds expected dimensions"
)


def is_damage(message: str) -> bool:
    """Whether a warning of GDAL means that pixels are not what was stored."""
    return bool(_DAMAGE.search(message)) and not _HARMLESS.search(message)


class Faults:
    """What one read has met on its way.

    Attributes:
        error: The first typed error of a file object, or None.
        damage: Warnings of decoders that mean damaged pixels.
    """

    def __init__(self) -> None:
        self.error: GeoFoveaError | None = None
        self.damage: list[str] = []


class _Collectors(threading.local):
    def __init__(self) -> None:
        # innermost last
        self.stack: list[Faults] = []


_collectors = _Collectors()


class _WatchedLogger(logging.Logger):
    """Rasterio's logger of GDAL's messages, which also tells the read that is under way.

    A handler or filter would see nothing where a program has disabled or quietened the logger
    (``logging.config`` disables every existing one by default).
    """

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802  (the name is logging's)
        watching = bool(_collectors.stack) and level >= logging.WARNING
        return watching or super().isEnabledFor(level)

    def handle(self, record: logging.LogRecord) -> None:
        if not _collectors.stack or record.levelno < logging.WARNING:
            super().handle(record)
            return
        message = record.getMessage()
        if is_damage(message):
            _collectors.stack[-1].damage.append(message)
        _log.debug("GDAL: %s", message)


logging.getLogger("rasterio._err").__class__ = _WatchedLogger


def report_fault(error: GeoFoveaError) -> None:
    """Let the read that is under way on this thread fail with an error, when GDAL is done."""
    if _collectors.stack and _collectors.stack[-1].error is None:
        _collectors.stack[-1].error = error


@contextmanager
def collect_faults() -> Iterator[Faults]:
    """Collect what goes wrong on this thread inside the block; blocks nest."""
    faults = Faults()
    _collectors.stack.append(faults)
    try:
        yield faults
    finally:
        _collectors.stack.remove(faults)
