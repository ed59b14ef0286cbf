"""The cache folders, their size limits, and the contents of one record."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from geofovea._arguments import as_bytes
from geofovea.errors import OutputError
from geofovea.tiling.cache.ownership import is_believed, our_files, this_user
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "ASIDE",
    "CACHE_VARIABLE",
    "LIMIT_VARIABLE",
    "bytes_in",
    "cache_folder",
    "cache_limit_bytes",
    "gigabytes_from",
    "kept_folder",
    "last_use",
    "levels_folder",
    "note_use",
    "read_record",
    "record_checksum",
    "record_path",
    "remove_folder",
    "shared_folders",
]

CACHE_VARIABLE = "GEOFOVEA_CACHE_DIR"
LIMIT_VARIABLE = "GEOFOVEA_CACHE_GB"

ASIDE = "building-"
"""How the names of folders begin in which a build is under way."""

_DEFAULT_GB = 32.0


def cache_folder() -> Path:
    """``$GEOFOVEA_CACHE_DIR``, else the folder for caches of this user and system."""
    setting = os.environ.get(CACHE_VARIABLE)
    return Path(setting).absolute() if setting else _users_own()


def kept_folder(kind: str) -> Path:
    """Where this user keeps things of one kind, such as ``levels``.

    Where another user has the folder of that name, this one has another beside it, or in the
    folder for caches of this user where that is not possible: nobody reads what others may write.
    """
    folder = cache_folder()
    shared = folder / kind
    user = this_user()
    if user is None or _is_free_for(user, shared):
        return shared
    beside = folder / f"{kind}-{user}"
    return beside if _is_free_for(user, beside) else _users_own() / kind


def shared_folders(kind: str) -> tuple[Path, ...]:
    """Folders of one kind to look into: this user's, then the one that the superuser filled."""
    own, shared = kept_folder(kind), cache_folder() / kind
    return (own, shared) if shared != own and is_believed(shared) else (own,)


def levels_folder() -> Path:
    """Where each scene has a folder, a lock, and while it is built a folder aside."""
    return kept_folder("levels")


def _users_own() -> Path:
    import platformdirs

    return Path(platformdirs.user_cache_dir("geofovea", appauthor=False))


def _is_free_for(user: int, folder: Path) -> bool:
    """Whether a folder is a user's, or is not there and may be made."""
    try:
        if folder.lstat().st_uid != user:
            return False
        status = folder.stat()
        return not stat.S_ISDIR(status.st_mode) or status.st_uid == user
    except (OSError, ValueError):
        pass
    # another one's folder that cannot be written; everything else is told when it is tried
    parent = folder.parent
    with suppress(OSError):
        is_anothers = parent.stat().st_uid != user
        # who acts, and not who started the program, has to be able to
        as_now = os.access in os.supports_effective_ids
        return not is_anothers or os.access(parent, os.W_OK | os.X_OK, effective_ids=as_now)
    return True


def cache_limit_bytes() -> int:
    """How large the level files of all scenes may become: ``$GEOFOVEA_CACHE_GB``, else 32 GB.

    Raises:
        OutputError: If the variable is not a positive number.
    """
    return gigabytes_from(LIMIT_VARIABLE, _DEFAULT_GB, "level files")


def gigabytes_from(variable: str, default: float, what: str) -> int:
    """The bytes that an environment variable grants in gigabytes.

    Args:
        variable: Its name.
        default: Gigabytes where it is not set.
        what: What may take them, for the message.

    Raises:
        OutputError: If it is not a positive number.
    """
    text = os.environ.get(variable) or str(default)
    with suppress(ValueError):
        gigabytes = float(text)
        if gigabytes > 0 and math.isfinite(gigabytes):
            return as_bytes(gigabytes, 1e9)
    raise OutputError(
        f"{variable}={text!r} is not a size; give the gigabytes that {what} may take, "
        f"such as {default:g}"
    )


def record_path(folder: Path) -> Path:
    """The file that says what is in the folder of a scene."""
    return folder / "record.json"


def read_record(folder: Path) -> dict[str, Any] | None:
    """What the folder of a scene should hold; None where it does not say so."""
    if not is_believed(folder) or not is_believed(record_path(folder)):
        return None
    try:
        record = json.loads(record_path(folder).read_text(encoding="utf-8"))
        sizes = [(int(f["bytes"]), int(f["mtime_ns"])) for f in record["files"].values()]
        # those of older versions have none, and are listed and removed alone
        if record.get("checksum", record_checksum(record)) != record_checksum(record):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return record if sizes and all(size > 0 for size, _ in sizes) else None


def record_checksum(record: dict[str, Any]) -> str:
    """SHA-256 of all that a record says besides it."""
    content = {key: value for key, value in record.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
    """Size of all our files in a folder."""
    return sum(status.st_size for _, status in our_files(folder))


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
        raise OutputError(f"{folder} cannot be removed: {reason_of(error)}") from error
