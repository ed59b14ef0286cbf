"""What can be read of a damaged journal, moved into a sound one."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from geofovea.errors import DataError, OutputError
from geofovea.pipeline.runs.journal_entry import COLUMNS, OLD_COLUMNS, sound_row
from geofovea.pipeline.runs.journal_tables import TABLES
from geofovea.pipeline.runs.sqlite_pages import MAGIC, records
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["Salvaged", "has_content", "is_damaged", "keep_rows", "rows_of_log", "salvage"]

_TABLE_NAMES = {"facts", "items"}
_KEEP = (
    f"INSERT INTO items VALUES ({', '.join('?' * len(COLUMNS))}) ON CONFLICT DO UPDATE SET "  # noqa: S608
    f"{', '.join(f'{name} = excluded.{name}' for name in COLUMNS[3:])} "
    "WHERE state != 'answered' AND (excluded.state = 'answered' OR "
    "(state = 'failed' AND excluded.changed > changed))"
)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What was done about a damaged journal.

    Attributes:
        backup: Where the damaged file is now.
        ends: Answers and failures that were saved.
    """

    backup: Path
    ends: int


def is_damaged(path: Path) -> bool:
    """Whether a file is not what SQLite or a journal makes of it; nothing is written for that.

    Raises:
        DataError: If it is not a regular file.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file: move it away, or name another folder")
    if not _size(path):
        # its log may have been left behind
        return has_content(path)
    try:
        return _has_flaws(path)
    except sqlite3.OperationalError as error:
        # "no such table" and the like are of the schema; what cannot be opened is told by who does
        return _code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    except (sqlite3.DatabaseError, UnicodeDecodeError):
        # the words of SQLite hold bytes of a damaged schema
        return True


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def _has_flaws(path: Path) -> bool:
    # read only: closing what may be written would copy a log of another file into this one
    base = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    base.text_factory = bytes
    try:
        if base.execute("PRAGMA integrity_check(1)").fetchall() != [(b"ok",)]:
            return True
        names = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        tables = {name.decode(errors="replace") for (name,) in base.execute(names)}
        described = base.execute("PRAGMA table_info(items)").fetchall()
    finally:
        base.close()
    columns = tuple(column[1].decode(errors="replace") for column in described)
    return bool(tables - _TABLE_NAMES) or columns not in ((), COLUMNS, OLD_COLUMNS)


def salvage(path: Path) -> Salvaged:
    """Put a journal with all that is sound in place of a damaged one, which is kept beside it.

    Raises:
        DataError: If nothing in it is sound, or it never was a journal; it stays as it is.
        OutputError: If there is no room for the new one; the damaged one stays as it is.
    """
    mended = path.with_name(path.name + ".mended")
    try:
        for leftover in (mended, *_companions(mended)):
            leftover.unlink(missing_ok=True)
        ends = _write(mended, path)
        if not ends:
            raise DataError(_no_rows_message(path))
        backup = _free_name(path)
        for old, new in zip(
            (path, *_companions(path)), (backup, *_companions(backup)), strict=True
        ):
            if _size(old) and not old.name.endswith("-shm"):
                shutil.copy2(old, new)
        # a log beside a file that it is not of would be taken for its own
        for companion in _companions(path):
            companion.unlink(missing_ok=True)
        mended.replace(path)
    except (OSError, sqlite3.Error) as error:
        raise OutputError(
            f"the damaged journal {path} cannot be mended: {reason_of(error)}; make room in its "
            "folder, and "
            "run the same command again"
        ) from error
    finally:
        mended.unlink(missing_ok=True)
    return Salvaged(backup, ends)


def rows_of_log(path: Path) -> list[tuple[Any, ...]]:
    """Sound rows in the write-ahead log of a journal; SQLite reads it up to its first flaw only."""
    return list(_sound_rows(path, log_only=True)) if _size(_companions(path)[0]) else []


def keep_rows(base: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> int:
    """Write rows that an open journal lacks, at once; how many those were.

    An answer is kept whatever else is found, and of two failures the later.
    """
    before = base.total_changes
    base.execute("BEGIN IMMEDIATE")
    for row in rows:
        base.execute(_KEEP, row)
    base.execute("COMMIT")
    return base.total_changes - before


def has_content(path: Path) -> bool:
    """Whether there is anything in a journal or in its log."""
    return _size(path) > 0 or _size(_companions(path)[0]) > 0


def _write(mended: Path, damaged: Path) -> int:
    base = sqlite3.connect(mended, isolation_level=None)
    try:
        base.executescript(TABLES)
        keep_rows(base, _sound_rows(damaged))
        (ends,) = base.execute("SELECT count(*) FROM items").fetchone()
    finally:
        base.close()
    return int(ends)


def _sound_rows(path: Path, *, log_only: bool = False) -> Iterator[tuple[Any, ...]]:
    for values in records(path, log_only=log_only):
        row = sound_row(values)
        if row is not None:
            yield row


def _no_rows_message(path: Path) -> str:
    try:
        with path.open("rb") as file:
            is_database = file.read(len(MAGIC)) == MAGIC
    except OSError:
        is_database = False
    way_out = f"move it away (mv '{path}' '{path}.damaged') and run the same command to start over"
    if not is_database:
        return f"{path} is not a journal of a run; name another folder, or {way_out}"
    return (
        f"{path} is a database of something else, or a journal so damaged that no answer in it can "
        f"be read; name another folder, or {way_out}"
    )


def _free_name(path: Path) -> Path:
    names = (f"{path.name}.damaged{'' if n == 1 else f'-{n}'}" for n in count(1))
    return next(p for p in map(path.with_name, names) if not p.exists())


def _companions(path: Path) -> tuple[Path, Path]:
    return Path(f"{path}-wal"), Path(f"{path}-shm")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
