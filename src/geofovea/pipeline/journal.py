"""The journal of a run: what was answered, what failed, and what was begun, on disk at once.

It is an SQLite database in write-ahead mode with full synchronisation: what was committed is there
after the process is killed or the power fails, and nothing else is. One run at a time holds it, and
only the process that holds it writes. It needs a disk of this machine, for SQLite's write-ahead log
does not work over network file systems.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from geofovea.errors import DataError, OutputError, RunError
from geofovea.pipeline.work import ItemKey

__all__ = ["Entry", "Journal"]

_FORMAT = 1
_BUSY_SECONDS = 30
_TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    scene TEXT NOT NULL, question TEXT NOT NULL, configuration TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'answered', 'failed')),
    tries INTEGER NOT NULL, record TEXT, error TEXT, changed REAL NOT NULL,
    PRIMARY KEY (scene, question, configuration)
);
COMMIT;
"""
_END = (
    "UPDATE items SET state = ?, record = ?, error = ?, tries = tries + 1, changed = ? "
    "WHERE scene = ? AND question = ? AND configuration = ? AND state = 'begun'"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the journal knows of an item.

    Attributes:
        state: ``begun`` (a run ended in the middle of it), ``answered`` or ``failed``.
        tries: How many times it was worked on, those that ended with their worker included.
        record: The answer as JSON text; None if there is none.
        error: Why it failed, in one line; None if it did not.
        changed: When this was written, in seconds since 1970.
    """

    state: Literal["begun", "answered", "failed"]
    tries: int
    record: str | None
    error: str | None
    changed: float


class Journal:
    """A context that holds the journal of one run against all other processes."""

    def __init__(self, path: str | os.PathLike[str], *, wait: bool = False) -> None:
        """Name the file; it is opened by ``with``.

        Args:
            path: The database; it is made if it is not there.
            wait: Wait for another run to end, instead of refusing.
        """
        from filelock import FileLock

        self.path = Path(path)
        self._lock = FileLock(f"{self.path}.lock", timeout=-1 if wait else 0)
        self._base: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        """Hold the journal.

        Raises:
            RunError: If another run holds it.
            OutputError: If it cannot be written.
            DataError: If the file is something else.
        """
        from filelock import Timeout

        try:
            self._lock.acquire()
        except Timeout as error:
            raise RunError(
                f"{self.path} is in use by {self._holder()}; wait for it to end (--wait does), or "
                "name another folder"
            ) from error
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def adopt(
        self, configuration: str, described: Mapping[str, Any], *, beside_others: bool = False
    ) -> None:
        """Say under which configuration items are going to be answered.

        Args:
            configuration: Its hash.
            described: What it consists of, for the message below.
            beside_others: Go on although the journal holds answers of another configuration.

        Raises:
            RunError: If the last run was of another configuration.
        """
        rows = self._all("SELECT value FROM facts WHERE name = 'current'")
        current = json.loads(rows[0][0]) if rows else None
        if current and current["hash"] != configuration and not beside_others:
            raise RunError(
                f"{self.path} holds answers of another configuration "
                f"({_differences(current['described'], described)}); name another folder, or pass "
                "--replace to write new results over its files (its answers stay in the journal)"
            )
        told = {"hash": configuration, "described": dict(described)}
        self._write("INSERT OR REPLACE INTO facts VALUES ('current', ?)", (json.dumps(told),))

    def entries(self, configuration: str) -> dict[ItemKey, Entry]:
        """All that is known of items of one configuration."""
        rows = self._all(
            "SELECT scene, question, state, tries, record, error, changed FROM items "
            "WHERE configuration = ?",
            (configuration,),
        )
        return {ItemKey(r[0], r[1], configuration): Entry(*r[2:]) for r in rows}

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit what is written inside at once, for one synchronisation of the disk.

        What was written is kept if something else fails inside: it is true all the same.
        """
        self._write("BEGIN IMMEDIATE", ())
        try:
            yield
        finally:
            # after a full disk SQLite may have rolled back by itself
            if self._connection().in_transaction:
                self._write("COMMIT", ())

    def begin(self, key: ItemKey) -> None:
        """Note that an item is being worked on.

        One that was begun before and came to no end has one try more: it took its worker, or the
        whole run, down with it or was in hand when that happened.
        """
        self._write(
            "INSERT INTO items VALUES (?, ?, ?, 'begun', 0, NULL, NULL, ?) "
            "ON CONFLICT DO UPDATE SET tries = tries + (state = 'begun'), state = 'begun', "
            "changed = excluded.changed WHERE state != 'answered'",
            (key.scene, key.question, key.configuration, time.time()),
        )

    def answer(self, key: ItemKey, record: str) -> None:
        """Keep an answer; one that is kept is never written over."""
        self._end(key, "answered", record, None)

    def fail(self, key: ItemKey, error: str) -> None:
        """Keep why an item failed."""
        self._end(key, "failed", None, error)

    def _end(self, key: ItemKey, state: str, record: str | None, error: str | None) -> None:
        self._write(
            _END,
            (state, record, error, time.time(), key.scene, key.question, key.configuration),
        )

    def _open(self) -> None:
        with self._errors():
            # isolation None: each statement is committed by itself
            base = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._base = base
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = FULL")
            base.executescript(_TABLES)
        found = self._all("SELECT value FROM facts WHERE name = 'format'")
        if found and found[0][0] != str(_FORMAT):
            raise DataError(
                f"{self.path} is a journal of format {found[0][0]}, this version reads {_FORMAT}; "
                "name another folder, or go on with the version that wrote it"
            )
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        for fact in (("format", str(_FORMAT)), ("holder", holder)):
            self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", fact)

    def _close(self) -> None:
        if self._base is not None:
            try:
                self._base.close()
            finally:
                self._base = None
        self._lock.release()

    def _holder(self) -> str:
        try:
            base = sqlite3.connect(self.path, timeout=1)
            try:
                row = base.execute("SELECT value FROM facts WHERE name = 'holder'").fetchone()
            finally:
                base.close()
        except sqlite3.Error:
            row = None
        return str(row[0]) if row else "another process"

    def _all(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._connection().execute(query, values).fetchall()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._errors():
            self._connection().execute(statement, values)

    def _connection(self) -> sqlite3.Connection:
        if self._base is None:
            raise OutputError(f"{self.path} is not open: use the journal in a with statement")
        return self._base

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(
                f"the journal {self.path} cannot be written: {error}; all answers before this one "
                "are in it: make room, and run the same command again"
            ) from error
        except sqlite3.Error as error:
            raise DataError(
                f"{self.path} is no journal of a run, or a damaged one: {error}; move it away, or "
                "name another folder"
            ) from error


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings two configurations do not share, for people."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    shown = [f"{name}: {old.get(name)!r} there, {new.get(name)!r} now" for name in names[:4]]
    return "; ".join(shown) + ("; ..." if len(names) > 4 else "")
