"""What a look at the pixels of a scene found, kept so that opening it again needs no look.

A stretch and a border are found among native pixels, which for a PNG means to decode most of the
file. Each finding is a small file in the cache, named by a hash of all that it depends on. One that
is damaged is found again, and so is one that could not be kept: a finding is never an error.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import rasterio

from geofovea.tiling.cache_folder import ASIDE, bytes_in, cache_folder, remove_folder
from geofovea.tiling.source import Source

__all__ = ["clear_findings", "count_findings", "findings_folder", "found_once"]

_FORMAT = 2  # counts up when the same pixels give another finding
# a look at no more than these takes some hundredths of a second
_CHEAP_PIXELS = 2**20
_MOST_FILES = 4096
# what is removed beyond need, so that not every file that is written looks through all
_SLACK = 0.1
# these hold all their pixels, or say by their stamps when others do
_DRIVERS = ("GTiff", "PNG", "JPEG", "JP2OpenJPEG")

_log = logging.getLogger(__name__)


def findings_folder() -> Path:
    """Where each finding is a file."""
    return cache_folder() / "findings"


def found_once(
    source: Source,
    pixels: int,
    name: str,
    look: Callable[[], Any],
    depends_on: Mapping[str, Any] | None = None,
) -> Any:
    """What a look found, now or when the same file was looked at before.

    Args:
        source: What is looked at. Nothing is kept of what is far away, virtual or in memory, which
            cannot tell whether its pixels changed.
        pixels: How many it has; nothing is kept of few.
        name: What is found.
        look: Finds it, as plain lists, dicts, strings, numbers, booleans and None.
        depends_on: What else the finding depends on, as such things.

    Returns:
        The same as ``look`` returns. What it raises is raised, and not kept.
    """
    is_file = source.stamp is not None and source.remote is None and source.driver in _DRIVERS
    if not is_file or pixels <= _CHEAP_PIXELS:
        return look()
    parts = {
        "format": _FORMAT,
        "gdal": rasterio.__gdal_version__,
        "name": name,
        "scene": source.identity,
        "depends_on": dict(depends_on or {}),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    path = findings_folder() / f"{key[:32]}.json"
    kept = _read(path, key)
    if kept is not None:
        return kept["value"]
    found = look()
    _write(path, key, {"scene": source.path, "name": name, "value": found})
    return found


def count_findings() -> tuple[int, int]:
    """How many findings are kept, and their bytes."""
    folder = findings_folder()
    return len(list(folder.glob("*.json"))), bytes_in(folder)


def clear_findings() -> tuple[int, int]:
    """Remove all findings; whoever writes one meanwhile may keep it.

    Returns:
        How many and how many bytes were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    counted = count_findings()
    remove_folder(findings_folder())
    return counted


def _checksum(key: str, content: Mapping[str, Any]) -> str:
    return hashlib.sha256((key + json.dumps(content, sort_keys=True)).encode()).hexdigest()


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """What was kept, exactly as it was written; None where it was not."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        content: dict[str, Any] = record["content"]
        if record["checksum"] != _checksum(key, content) or "value" not in content:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    with suppress(OSError):  # a cache that is read only forgets when it was wanted
        os.utime(path)
    return content


def _write(path: Path, key: str, content: dict[str, Any]) -> None:
    """Keep a finding where that is possible: complete or not at all."""
    record = {"content": content, "checksum": _checksum(key, content)}
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent)
        with tempfile.NamedTemporaryFile(
            "w", prefix=ASIDE, dir=path.parent, delete=False, encoding="utf-8"
        ) as file:
            aside = Path(file.name)
            json.dump(record, file)
        aside.replace(path)
    except OSError as error:
        _log.info("%s was not kept: %s", path, error)
        if aside is not None:
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def _make_room(folder: Path) -> None:
    """Remove what was not wanted for the longest time, where there are too many files."""
    paths = list(folder.iterdir())
    if len(paths) < _MOST_FILES:
        return
    used = []
    for path in paths:
        with suppress(OSError):  # another process may be clearing them
            used.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(used)[: len(used) - int(_MOST_FILES * (1 - _SLACK))]:
        with suppress(OSError):
            path.unlink()
