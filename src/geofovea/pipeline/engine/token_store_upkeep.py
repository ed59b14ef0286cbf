"""The folder that encoded tiles are kept in: how large it may be, what is in it, clearing it.

Each scene, as one encoder sees it, has a folder there, with a file for each tile and a record for
people; what a decoder makes of the tiles, for a scene memory, has another one. Files are used and
removed one by one, and whatever is missing is made again. Only what carries our mark and has a name
of our own form is ever removed.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from geofovea._arguments import check_flag
from geofovea.errors import OutputError
from geofovea.tiling.cache.folder import bytes_in, gigabytes_from, kept_folder
from geofovea.tiling.cache.ownership import (
    MARK,
    is_believed,
    is_ours,
    left_in,
    mark_folder,
    our_files,
    real_folders,
    remove_ours,
)
from geofovea.tiling.machine.system_errors import why_unwritten

__all__ = [
    "KEEP_VARIABLE",
    "TOKENS_LIMIT_VARIABLE",
    "TokenFolder",
    "TokenKind",
    "clear_tokens",
    "folder_of_tokens",
    "keeps_tokens",
    "list_tokens",
    "make_room_for_tokens",
    "mark_tokens",
    "record_of_tokens",
    "strangers_among_tokens",
    "tokens_folder",
    "tokens_limit_bytes",
]

KEEP_VARIABLE = "GEOFOVEA_CACHE_TOKENS"
TOKENS_LIMIT_VARIABLE = "GEOFOVEA_TOKENS_GB"

TokenKind = Literal["tokens", "memory"]
"""What a folder holds: vision tokens, or keys and values of a scene memory."""

_TOKENS = "tokens"
_DEFAULT_GB = 8.0
# those too that a killed process left half-written under a name of their own
_TILE = re.compile(r"(\d+_\d+_\d+|\.geofovea-\w+)\.safetensors")
_FILES = re.compile(rf"{_TILE.pattern}|\.geofovea-\w+\.json|record\.json")
_NAME_OF_OLD = re.compile(r"[0-9a-f]{32}")
_RECORD_OF_OLD = {"scene", "model"}
_WORDS = {"1": True, "true": True, "yes": True, "on": True}
_WORDS |= {"": False, "0": False, "false": False, "no": False, "off": False}
# what is removed beyond need, so that not every tile that is written looks through all files
_SLACK = 0.1
# how much of the limit is written before the files of other processes are counted again
_UNSEEN = 0.05
# how far a time may lie ahead: a file system on another machine has a clock of its own
_LATER_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class TokenFolder:
    """What is kept of one scene as one encoder sees it.

    Attributes:
        scene: Absolute path of the scene's file; empty where the record does not say.
        model: Name of the host, as the user gave it; likewise.
        kind: ``"tokens"``, or ``"memory"`` for keys and values.
        folder: Where the files lie.
        tiles: How many tiles.
        bytes: Size of all files.
        used: When one was last wanted, in seconds since 1970.
    """

    scene: str
    model: str
    kind: TokenKind
    folder: str
    tiles: int
    bytes: int
    used: float


def keeps_tokens(preference: bool | None) -> bool:
    """What the caller chose about keeping tokens on disk, else ``$GEOFOVEA_CACHE_TOKENS``.

    Raises:
        OutputError: If the caller or the variable says neither yes nor no.
    """
    if preference is not None:
        check_flag("cache_tokens", preference, OutputError)
        return preference
    text = os.environ.get(KEEP_VARIABLE, "")
    if text.lower() not in _WORDS:
        raise OutputError(f"{KEEP_VARIABLE}={text!r} is neither yes nor no; set it to 1 or 0")
    return _WORDS[text.lower()]


def tokens_folder() -> Path:
    """Where each scene has a folder for each encoder."""
    return kept_folder(_TOKENS)


def folder_of_tokens(name: str) -> Path:
    """A folder of this name; another name where something that is not ours has taken it."""
    names = (name, *(f"{name}-{number}" for number in range(1, 10)))
    folders = [tokens_folder() / each for each in names]
    return next((f for f in folders if not os.path.lexists(f) or _is_ours(f)), folders[0])


def mark_tokens(folder: Path) -> None:
    """Say that a folder holds encoded tiles, unless it does so already.

    Raises:
        OutputError: If that cannot be written.
    """
    if not (folder / MARK).exists():
        try:
            mark_folder(folder, _TOKENS)
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {why_unwritten(error)}") from error


def tokens_limit_bytes() -> int:
    """How large all files may become together: ``$GEOFOVEA_TOKENS_GB``, else 8 GB.

    Raises:
        OutputError: If the variable is not a positive number.
    """
    return gigabytes_from(TOKENS_LIMIT_VARIABLE, _DEFAULT_GB, "encoded tiles")


def record_of_tokens(folder: Path) -> Path:
    """The file that tells people what the tiles of a folder are of."""
    return folder / "record.json"


def list_tokens() -> list[TokenFolder]:
    """All that is kept, largest first."""
    entries = [_entry_of(folder) for folder in _folders()]
    return sorted((k for k in entries if k.tiles), key=lambda k: -k.bytes)


def clear_tokens(
    scene: str | None = None,
    before: float | None = None,
    kinds: Collection[str] = ("tokens", "memory"),
) -> tuple[int, int]:
    """Remove what is kept of tiles; whoever writes one meanwhile may keep it.

    Args:
        scene: Absolute path of the scene whose tiles are meant; None for those of all.
        before: Only those of folders that were last wanted before this, in seconds since 1970.
        kinds: Which kinds, see `TokenFolder`.

    Returns:
        How many tiles and how many bytes were removed.

    Raises:
        OutputError: If something cannot be removed.
    """
    tiles, size = 0, 0
    for folder in _folders():
        entry = _entry_of(folder)
        if entry.kind not in kinds or scene not in (None, entry.scene):
            continue
        if before is None or entry.used < before:
            size += remove_ours(folder, _FILES)
            tiles += entry.tiles
    return tiles, size


def strangers_among_tokens() -> list[str]:
    """Names of what lies among the folders of encoded tiles and was not made here."""
    ours = {f"{folder.name}/" for folder in _folders()}
    return [name for name in left_in(tokens_folder()) if name not in ours]


def make_room_for_tokens(limit_bytes: int, new_bytes: int) -> int:
    """Remove the tiles that were not wanted for the longest time, until more fit under the limit.

    Args:
        limit_bytes: How large all files may be together.
        new_bytes: What is to be written now; at most the limit.

    Returns:
        How much may be written until this is called again, at least what is wanted.
    """
    files, now = [], time.time_ns() + _LATER_NS
    for path, status in (each for folder in _folders() for each in _tiles(folder)):
        # a clock that was wrong when it was used must not keep a tile forever
        used = status.st_mtime_ns if status.st_mtime_ns <= now else 0
        files.append((used, status.st_size, path))
    total = sum(size for _, size, _ in files)
    if total + new_bytes > limit_bytes:
        bound = max(0, int((1 - _SLACK) * limit_bytes) - new_bytes)
        for _, size, path in sorted(files):
            if total <= bound:
                break
            with suppress(OSError):
                path.unlink()
                total -= size
                _drop_if_bare(path.parent)
    return max(new_bytes, min(limit_bytes - total, int(_UNSEEN * limit_bytes)))


def _drop_if_bare(folder: Path) -> None:
    """Remove a folder that has nothing left but its record."""
    if next(_tiles(folder), None) is None:
        with suppress(OutputError):
            remove_ours(folder, _FILES)


def _folders() -> list[Path]:
    return [folder for folder in real_folders(tokens_folder()) if _is_ours(folder)]


def _is_ours(folder: Path) -> bool:
    if is_ours(folder, _TOKENS):
        return True
    # version 0.1.0 wrote no mark, but a record beside the tiles
    is_of_old = _NAME_OF_OLD.fullmatch(folder.name) and is_believed(folder)
    return bool(is_of_old) and _record(folder).keys() == _RECORD_OF_OLD


def _tiles(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    return ((path, status) for path, status in our_files(folder) if _TILE.fullmatch(path.name))


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads(record_of_tokens(folder).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _entry_of(folder: Path) -> TokenFolder:
    record = _record(folder)
    scene, model = str(record.get("scene", "")), str(record.get("model", ""))
    used = [status.st_mtime for _, status in _tiles(folder)]
    last = max(used, default=0.0)
    kind: TokenKind = "memory" if record.get("kind") == "memory" else "tokens"
    return TokenFolder(scene, model, kind, str(folder), len(used), bytes_in(folder), last)
