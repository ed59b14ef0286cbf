"""The folder that encoded tiles are kept in: how large it may be, what is in it, clearing it.

Each scene, as one encoder sees it, has a folder there, with a file for each tile and a record for
people. Files are used and removed one by one, and whatever is missing is encoded again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from geofovea.errors import OutputError
from geofovea.tiling.cache_folder import bytes_in, cache_folder, gigabytes_from, remove_folder

__all__ = [
    "KEEP_VARIABLE",
    "TOKENS_LIMIT_VARIABLE",
    "KeptTokens",
    "clear_tokens",
    "is_keeping_wanted",
    "list_tokens",
    "make_room_for_tokens",
    "record_of_tokens",
    "tokens_folder",
    "tokens_limit_bytes",
]

KEEP_VARIABLE = "GEOFOVEA_CACHE_TOKENS"
TOKENS_LIMIT_VARIABLE = "GEOFOVEA_TOKENS_GB"

_DEFAULT_GB = 8.0
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"": False, "0": False, "false": False, "no": False, "off": False}
# what is removed beyond need, so that not every tile that is written looks through all files
_SLACK = 0.1
# how much of the limit is written before the files of other processes are counted again
_UNSEEN = 0.05
# how far a time may lie ahead: a file system on another machine has a clock of its own
_LATER_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """What is kept of one scene as one encoder sees it.

    Attributes:
        scene: Absolute path of the scene's file; empty where the record does not say.
        model: Name of the host, as the user gave it; likewise.
        folder: Where the files lie.
        tiles: How many tiles.
        bytes: Size of all files.
        used: When one was last wanted, in seconds since 1970.
    """

    scene: str
    model: str
    folder: str
    tiles: int
    bytes: int
    used: float


def is_keeping_wanted(chosen: bool | None) -> bool:
    """What the caller chose about keeping tokens on disk, else ``$GEOFOVEA_CACHE_TOKENS``.

    Raises:
        OutputError: If the variable says neither yes nor no.
    """
    if chosen is not None:
        return chosen
    text = os.environ.get(KEEP_VARIABLE, "")
    if text.lower() not in _WORDS:
        raise OutputError(f"{KEEP_VARIABLE}={text!r} is neither yes nor no; set it to 1 or 0")
    return _WORDS[text.lower()]


def tokens_folder() -> Path:
    """Where each scene has a folder for each encoder."""
    return cache_folder() / "tokens"


def tokens_limit_bytes() -> int:
    """How large all files may become together: ``$GEOFOVEA_TOKENS_GB``, else 8 GB.

    Raises:
        OutputError: If the variable is no positive number.
    """
    return gigabytes_from(TOKENS_LIMIT_VARIABLE, _DEFAULT_GB, "encoded tiles")


def record_of_tokens(folder: Path) -> Path:
    """The file that tells people what the tiles of a folder are of."""
    return folder / "record.json"


def list_tokens() -> list[KeptTokens]:
    """All that is kept, largest first."""
    kept = [_kept(folder) for folder in _folders()]
    return sorted((k for k in kept if k.tiles), key=lambda k: -k.bytes)


def clear_tokens() -> tuple[int, int]:
    """Remove all encoded tiles; whoever writes one meanwhile may keep it.

    Returns:
        How many tiles and how many bytes were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    tiles, size = 0, 0
    for folder in _folders():
        kept = _kept(folder)
        remove_folder(folder)
        tiles, size = tiles + kept.tiles, size + kept.bytes
    return tiles, size


def make_room_for_tokens(limit_bytes: int, wanted_bytes: int) -> int:
    """Remove the tiles that were not wanted for the longest time, until more fit under the limit.

    Args:
        limit_bytes: How large all files may be together.
        wanted_bytes: What is to be written now; at most the limit.

    Returns:
        How much may be written until this is called again, at least what is wanted.
    """
    found, now = [], time.time_ns() + _LATER_NS
    for path in _tiles(tokens_folder()):
        with suppress(OSError):  # another process may be clearing it
            status = path.stat()
            # a clock that was wrong when it was used must not keep a tile for ever
            used = status.st_mtime_ns if status.st_mtime_ns <= now else 0
            found.append((used, status.st_size, path))
    total = sum(size for _, size, _ in found)
    if total + wanted_bytes > limit_bytes:
        bound = max(0, int((1 - _SLACK) * limit_bytes) - wanted_bytes)
        for _, size, path in sorted(found):
            if total <= bound:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
                _drop_if_bare(path.parent)
    return max(wanted_bytes, min(limit_bytes - total, int(_UNSEEN * limit_bytes)))


def _drop_if_bare(folder: Path) -> None:
    """Remove a folder that has nothing left but its record."""
    if next(_tiles(folder.parent, folder.name), None) is None:
        with suppress(OSError):
            record_of_tokens(folder).unlink()
            folder.rmdir()


def _folders() -> list[Path]:
    return sorted(path for path in tokens_folder().glob("*") if path.is_dir())


def _tiles(root: Path, folder: str = "*") -> Iterator[Path]:
    # those too that a killed process left half-written under a name of their own
    return root.glob(f"{folder}/*.safetensors")


def _kept(folder: Path) -> KeptTokens:
    try:
        record = json.loads(record_of_tokens(folder).read_text(encoding="utf-8"))
        scene, model = str(record["scene"]), str(record["model"])
    except (OSError, ValueError, KeyError, TypeError):
        scene, model = "", ""
    used = []
    for path in _tiles(folder.parent, folder.name):
        with suppress(OSError):
            used.append(path.stat().st_mtime)
    last = max(used, default=0.0)
    return KeptTokens(scene, model, str(folder), len(used), bytes_in(folder), last)
