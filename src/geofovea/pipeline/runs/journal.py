"""The journal of a run: what was answered, what failed, and what was begun, on disk at once.

It is an SQLite database in write-ahead mode with full synchronization: what was committed is there
after the process is killed or the power fails, and nothing else is. One run at a time holds it, and
only the process that holds it writes. It needs a disk of this machine, for SQLite's write-ahead log
does not work over network file systems. A damaged one is mended when it is opened: what is sound
is kept, and the rest is worked on again.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from geofovea.errors import DataError, OutputError, RunError
from geofovea.pipeline.runs.item import ItemKey
from geofovea.pipeline.runs.journal_entry import COLUMNS, Entry, digest_of, is_sound
from geofovea.pipeline.runs.journal_salvage import is_damaged, keep_rows, rows_of_log, salvage
from geofovea.pipeline.runs.journal_tables import FORMAT, TABLES, differences, renewed
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["JOURNAL", "Entry", "Journal"]

JOURNAL = "journal.sqlite"
"""Its name in the folder of a run."""

_BUSY_SECONDS = 30
_BEGIN = (
    "INSERT INTO items VALUES (?, ?, ?, 'begun', 0, NULL, NULL, ?, NULL) "
    "ON CONFLICT DO UPDATE SET tries = tries + (state = 'begun'), state = 'begun', "
    "changed = excluded.changed WHERE state != 'answered'"
)
_END = (
    "UPDATE items SET state = ?, record = ?, error = ?, tries = tries + 1, changed = ?, "
    "digest = ? WHERE scene = ? AND question = ? AND configuration = ? AND state = 'begun'"
)
_FAILED_BEFORE = (
    "UPDATE items SET state = 'failed' WHERE scene = ? AND question = ? AND configuration = ? "
    "AND state = 'begun' AND error NOT NULL"
)
_NEVER_STARTED = (
    "DELETE FROM items WHERE scene = ? AND question = ? AND configuration = ? "
    "AND state = 'begun' AND tries = 0"
)
_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_RIGHTS = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


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
        self.notes: list[str] = []
        """What was found damaged and what was done about it, for people."""

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
        except (OSError, NotImplementedError) as error:
            reason = reason_of(error)
            raise OutputError(
                f"{self.path} cannot be written: {reason}; name a folder on a disk of this machine "
                "that you may write to"
            ) from error
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
            RunError: If the journal holds work of another configuration.
        """
        current = self._current()
        if current is None:
            others = self._all(
                "SELECT 1 FROM items WHERE configuration != ? LIMIT 1", (configuration,)
            )
            current = ("", {}) if others else (configuration, {})
        # a run that was refused before its first item leaves nothing to protect
        holds_work = bool(self._all("SELECT 1 FROM items LIMIT 1"))
        if current[0] != configuration and holds_work and not beside_others:
            difference = differences(current[1], described) if current[1] else "which is not known"
            raise RunError(
                f"{self.path} holds answers of another configuration "
                f"({difference}); name another folder, or pass "
                "--overwrite to write new results over its files (its answers stay in the journal)"
            )
        record = {"hash": configuration, "described": dict(described)}
        self._write("INSERT OR REPLACE INTO facts VALUES ('current', ?)", (json.dumps(record),))

    def entries(self, configuration: str) -> dict[ItemKey, Entry]:
        """All that is known of items of one configuration.

        A damaged entry is taken out, so that its item is worked on again; see ``notes``.
        """
        columns = ", ".join(COLUMNS)
        rows = self._all(
            f"SELECT rowid, {columns} FROM items WHERE configuration = ?",  # noqa: S608
            (configuration,),
        )
        entries, damaged = {}, []
        for number, *row in rows:
            if is_sound(row):
                entries[ItemKey(*row[:3])] = Entry(*row[3:-1])
            else:
                damaged.append(number)
        if damaged:
            with self.together():
                for number in damaged:
                    self._write("DELETE FROM items WHERE rowid = ?", (number,))
            self.notes.append(
                f"{len(damaged)} damaged entries of {self.path} were taken out: what they were "
                "about is asked again"
            )
        return entries

    @contextmanager
    def together(self) -> Iterator[None]:
        """Commit what is written inside at once, for one synchronization of the disk.

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
        self._write(_BEGIN, (key.scene, key.question, key.configuration, time.time()))

    def put_back(self, key: ItemKey) -> None:
        """Undo `begin` for an item that nobody works on any more, and that is not to blame.

        One that earlier runs died over stays noted as begun.
        """
        whose = (key.scene, key.question, key.configuration)
        self._write(_FAILED_BEFORE, whose)
        self._write(_NEVER_STARTED, whose)

    def answer(self, key: ItemKey, record: str) -> None:
        """Keep an answer; one that is kept is never written over."""
        self._end(key, "answered", record, None)

    def fail(self, key: ItemKey, error: str) -> None:
        """Keep why an item failed."""
        self._end(key, "failed", None, error)

    def _end(self, key: ItemKey, state: str, record: str | None, error: str | None) -> None:
        digest = digest_of(key, state, record, error)
        values = (state, record, error, time.time(), digest)
        self._write(_END, (*values, key.scene, key.question, key.configuration))

    def _open(self) -> None:
        if is_damaged(self.path):
            saved = salvage(self.path)
            self.notes.append(
                f"{self.path} was damaged: {saved.ends} answers and failures in it were sound and "
                f"are kept, the rest is asked again; the damaged file is now {saved.backup}"
            )
        logged = rows_of_log(self.path)
        with self._errors():
            # isolation None: each statement is committed by itself
            base = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._base = base
            # what is not UTF-8 differs from what was written, and is found by its digest
            base.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = FULL")
            self._check_format()
            base.executescript(TABLES)
            renewed(base)
            changed = keep_rows(base, logged)
        if changed:
            self.notes.append(
                f"the log of {self.path} was damaged: {changed} answers and failures in it were "
                "sound and are kept, the rest is asked again"
            )
        holder = f"process {os.getpid()} on {socket.gethostname()}"
        for fact in (("format", str(FORMAT)), ("holder", holder)):
            self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", fact)

    def _check_format(self) -> None:
        base = self._connection()
        if not base.execute("SELECT 1 FROM sqlite_schema WHERE name = 'facts'").fetchall():
            return
        rows = base.execute("SELECT value FROM facts WHERE name = 'format'").fetchall()
        # what is not a number was damaged, and entries are checked one by one
        if rows and str(rows[0][0]).isdecimal() and int(rows[0][0]) > FORMAT:
            raise DataError(
                f"{self.path} is a journal of format {rows[0][0]}, this version reads up to "
                f"{FORMAT}; name another folder, or continue with the version that wrote it"
            )

    def _current(self) -> tuple[str, dict[str, Any]] | None:
        """The hash of the configuration of the last run, and what it consists of, if known."""
        rows = self._all("SELECT value FROM facts WHERE name = 'current'")
        try:
            record = json.loads(rows[0][0])
            return str(record["hash"]), dict(record["described"])
        except (IndexError, KeyError, TypeError, ValueError):
            return None

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
        except UnicodeDecodeError as error:
            # the words of SQLite about a damaged file hold bytes of it
            raise DataError(self._damage("no text")) from error
        except sqlite3.Error as error:
            code = int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
            if code in _ROOM:
                raise OutputError(
                    f"the journal {self.path} cannot be written: {error}; all answers before this "
                    "one are in it: make room, and run the same command again"
                ) from error
            if code in _RIGHTS:
                raise OutputError(
                    f"the journal {self.path} cannot be written: {error}; check the permissions of "
                    "the file and its folder, or name another folder"
                ) from error
            if code in _BUSY:
                raise OutputError(
                    f"the journal {self.path} cannot be written: {error}; another program has it "
                    "open: close that, and run the same command again"
                ) from error
            raise DataError(self._damage(error)) from error

    def _damage(self, reason: object) -> str:
        return (
            f"{self.path} is not a journal of a run, or a damaged one: {reason}; run the same "
            "command again, which keeps what can be read, or name another folder"
        )
