"""Cached measurements of a scene's pixels, so that opening it again measures nothing.

A stretch and a border are found among native pixels, which for a PNG means to decode most of the
file. Each finding is a small file in the cache, named by a hash of all that it depends on. One that
is damaged is found again, and so is one that could not be kept: a finding is never an error. Only
files that say by their names and first words that they are findings are ever removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import rasterio

from geofovea.errors import OutputError
from geofovea.tiling.cache.folder import ASIDE, kept_folder, shared_folders
from geofovea.tiling.cache.ownership import is_believed, left_in, our_files
from geofovea.tiling.files.formats import FORMATS
from geofovea.tiling.files.source import Source
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "clear_findings",
    "count_findings",
    "findings_folder",
    "measured_once",
    "strangers_among_findings",
]

_FORMAT = 4  # counts up when the same pixels give another finding
# a look at no more than these takes some hundredths of a second
_CHEAP_PIXELS = 2**20
_MOST_FILES = 4096
# what is removed beyond need, so that not every file that is written looks through all
_SLACK = 0.1
_NAME = re.compile(r"[0-9a-f]{32}\.json")
_NAME_ASIDE = re.compile(rf"{ASIDE}[0-9a-f]{{32}}-\w+")
# how a finding begins, as it is written now and as version 0.1.0 wrote it
_BEGINS = (b'{"geofovea_finding": ', b'{"content": {"scene": ')
# a small file is written in less
_ASIDE_SECONDS = 3600.0
# these hold all their pixels, or say by their stamps when others do
_DRIVERS = frozenset(FORMATS)

_log = logging.getLogger(__name__)


def findings_folder() -> Path:
    """Where each finding is a file."""
    return kept_folder("findings")


def measured_once(
    source: Source,
    pixels: int,
    name: str,
    measure: Callable[[], Any],
    depends_on: Mapping[str, Any] | None = None,
) -> Any:
    """The result of a measurement of a file, made now or kept from an earlier one of the same file.

    Args:
        source: What is measured. Nothing is kept of what is far away, virtual or in memory, which
            cannot tell whether its pixels changed.
        pixels: How many it has; nothing is kept of few.
        name: What is measured.
        measure: Does it; returns plain lists, dicts, strings, numbers, booleans and None.
        depends_on: What else the value depends on, as such things.

    Returns:
        The same as ``measure`` returns. What it raises is raised, and not kept.
    """
    is_file = source.stamp is not None and source.remote is None and source.driver in _DRIVERS
    if not is_file or pixels <= _CHEAP_PIXELS:
        return measure()
    parts = {
        "format": _FORMAT,
        "gdal": rasterio.__gdal_version__,
        "name": name,
        "scene": source.identity,
        "depends_on": dict(depends_on or {}),
    }
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    name_kept = f"{key[:32]}.json"
    for folder in shared_folders("findings"):
        content = _read(folder / name_kept, key)
        if content is not None:
            return content["value"]
    value = measure()
    _write(findings_folder() / name_kept, key, {"scene": source.path, "name": name, "value": value})
    return value


def count_findings() -> tuple[int, int]:
    """How many findings are kept, and their bytes."""
    sizes = [size for _, size, _ in _findings(findings_folder())]
    return len(sizes), sum(sizes)


def clear_findings(scene: str | None = None, before: float | None = None) -> tuple[int, int]:
    """Remove findings; whoever writes one meanwhile may keep it.

    Args:
        scene: Absolute path of the scene whose findings are meant; None for those of all.
        before: Only those that were last wanted before this, in seconds since 1970.

    Returns:
        How many and how many bytes were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    number, removed = 0, 0
    for path, size, used in _findings(findings_folder()):
        is_meant = before is None or used < before
        if is_meant and scene is not None:
            is_meant = _scene_of(path) == scene
        if is_meant:
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{path} cannot be removed: {reason_of(error)}") from error
            number, removed = number + 1, removed + size
    return number, removed


def strangers_among_findings() -> list[str]:
    """Names of what lies among the findings and was not made here."""
    ours = {path.name for path, _, _ in _findings(findings_folder())}
    return [name for name in left_in(findings_folder()) if name not in ours]


def _findings(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """Our files in a folder, with their sizes and when they were last wanted."""
    for path, status in our_files(folder):
        is_named = _NAME.fullmatch(path.name) or _NAME_ASIDE.fullmatch(path.name)
        if is_named and _is_finding(path):
            yield path, status.st_size, status.st_mtime


def _is_finding(path: Path) -> bool:
    """Whether a file begins as findings do; one aside that is empty was never written."""
    try:
        with path.open("rb") as file:
            begin = file.read(max(map(len, _BEGINS)))
    except OSError:
        return False
    return begin.startswith(_BEGINS) or (not begin and path.name.startswith(ASIDE))


def _scene_of(path: Path) -> str | None:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["content"]["scene"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _checksum(key: str, content: Mapping[str, Any]) -> str:
    return hashlib.sha256((key + json.dumps(content, sort_keys=True)).encode()).hexdigest()


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """What was kept, exactly as it was written; None where it was not, or by another user."""
    if not is_believed(path):
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        content: dict[str, Any] = record["content"]
        is_sound = record["checksum"] == _checksum(key, content)
        if record["geofovea_finding"] != _FORMAT or not is_sound or "value" not in content:
            return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    with suppress(OSError):  # a cache that is read only forgets when it was wanted
        os.utime(path)
    return content


def _write(path: Path, key: str, content: dict[str, Any]) -> None:
    """Keep a finding where that is possible: complete or not at all."""
    record = {
        "geofovea_finding": _FORMAT,
        "content": content,
        "checksum": _checksum(key, content),
    }
    aside = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent)
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{ASIDE}{path.stem}-", dir=path.parent, delete=False, encoding="utf-8"
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
    paths = (path for path, _ in our_files(folder) if _NAME.fullmatch(path.name))
    if sum(1 for _ in paths) < _MOST_FILES:
        return
    now, used = time.time(), []
    for path, _, last in _findings(folder):
        if not path.name.startswith(ASIDE):
            used.append((last, path))
        elif now - last > _ASIDE_SECONDS:
            used.append((0.0, path))
    for _, path in sorted(used)[: len(used) - int(_MOST_FILES * (1 - _SLACK))]:
        with suppress(OSError):  # another process may be clearing them
            path.unlink()
