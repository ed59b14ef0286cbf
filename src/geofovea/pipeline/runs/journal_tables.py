"""The tables of a journal, and the migration of earlier formats."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from geofovea.pipeline.runs.journal_entry import COLUMNS, OLD_COLUMNS, sound_row

__all__ = ["FORMAT", "TABLES", "differences", "renewed"]

FORMAT = 2
TABLES = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (
    scene TEXT NOT NULL, question TEXT NOT NULL, configuration TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('begun', 'answered', 'failed')),
    tries INTEGER NOT NULL, record TEXT, error TEXT, changed REAL NOT NULL, digest TEXT,
    PRIMARY KEY (scene, question, configuration)
);
COMMIT;
"""


def renewed(base: sqlite3.Connection) -> None:
    """Give the entries of a journal of the first format their digests, if it is of that.

    What cannot be understood gets none, and is told as damaged when it is read.
    """
    columns = [column[1] for column in base.execute("PRAGMA table_info(items)")]
    if tuple(columns) != OLD_COLUMNS:
        return
    base.execute("BEGIN IMMEDIATE")
    base.execute("ALTER TABLE items ADD COLUMN digest TEXT")
    old_columns = ", ".join(OLD_COLUMNS)
    ends = f"SELECT rowid, {old_columns} FROM items WHERE state != 'begun'"  # noqa: S608
    for number, *values in base.execute(ends).fetchall():
        row = sound_row(values)
        digest = None if row is None else row[COLUMNS.index("digest")]
        base.execute("UPDATE items SET digest = ? WHERE rowid = ?", (digest, number))
    base.execute("COMMIT")


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which settings two configurations do not share, for people."""
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    texts = [f"{name}: {old.get(name)!r} there, {new.get(name)!r} now" for name in names[:4]]
    return "; ".join(texts) + ("; ..." if len(names) > 4 else "")
