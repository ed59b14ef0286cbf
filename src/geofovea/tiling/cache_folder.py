"""The folder that level files are kept in, how large it may be, and what one record in it says."""

from __future__ import annotations

import json
import math
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from geofovea.errors import OutputError

__all__ = [
    "ASIDE",
    "CACHE_VARIABLE",
    "LIMIT_VARIABLE",
    "bytes_in",
    "cache_folder",
    "cache_limit_bytes",
    "gigabytes_from",
    "last_use",
    "levels_folder",
    "note_use",
    "read_record",
    "record_path",
    "remove_folder",
]

CACHE_VARIABLE = "GEOFOVEA_CACHE_DIR"
LIMIT_VARIABLE = "GEOFOVEA_CACHE_GB"

ASIDE = "building-"
"""How the names of folders begin in which a build is under way."""

_DEFAULT_GB = 32.0


def cache_folder() -> Path:
    """``$GEOFOVEA_CACHE_DIR``, else the folder for caches of this user and system."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir("geofovea", appauthor=False))


def levels_folder() -> Path:
    """Where each scene has a folder, a lock, and while it is built a folder aside."""
    return cache_folder() / "levels"


def cache_limit_bytes() -> int:
    """How large the level files of all scenes may become: ``$GEOFOVEA_CACHE_GB``, else 32 GB.

    Raises:
        OutputError: If the variable is no positive number.
    """
    return gigabytes_from(LIMIT_VARIABLE, _DEFAULT_GB, "level files")


def gigabytes_from(variable: str, default: float, what: str) -> int:
    """The bytes that an environment variable grants in gigabytes.

    Args:
        variable: Its name.
        default: Gigabytes where it is not set.
        what: What may take them, for the message.

    Raises:
        OutputError: If it is no positive number.
    """
    text = os.environ.get(variable) or str(default)
    with suppress(ValueError):
        gigabytes = float(text)
        if gigabytes > 0 and math.isfinite(gigabytes):
            return int(gigabytes * 1e9)
    raise OutputError(
        f"{variable}={text!r} is no size; give the gigabytes that {what} may take, "
        f"such as {default:g}"
    )


def record_path(folder: Path) -> Path:
    """The file that says what is in the folder of a scene."""
    return folder / "record.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """What the folder of a scene should hold; None where it does not say so."""
    try:
        record = json.loads(record_path(folder).read_text(encoding="utf-8"))
        sizes = [(int(f["bytes"]), int(f["mtime_ns"])) for f in record["files"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if sizes and all(size > 0 for size, _ in sizes) else None


def note_use(folder: Path) -> None:
    """Remember that the files of a folder are wanted now; a cache that is read only forgets it."""
    with suppress(OSError):
        os.utime(record_path(folder))


def last_use(folder: Path) -> float:
    """When the files of a folder were last wanted, in seconds since 1970; 0 where unknown."""
    try:
        return record_path(folder).stat().st_mtime
    except OSError:
        return 0.0


def bytes_in(folder: Path) -> int:
    """Size of all files in a folder."""
    total = 0
    for path in folder.glob("*"):
        with suppress(OSError):  # another process may be clearing it
            total += path.stat().st_size
    return total


def remove_folder(folder: Path) -> None:
    """Remove a folder, if it is there.

    Raises:
        OutputError: If it cannot be removed.
    """
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{folder} cannot be removed: {error.strerror or error}") from error
