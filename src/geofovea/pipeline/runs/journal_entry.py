"""One entry of a journal: the state of an item, and the check that finds a damaged entry.

An entry carries a digest of what it says. A disk that returns other bytes than were written, or a
hand that changed them, is noticed with the entry, and the item is worked on again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from geofovea.pipeline.runs.item import ItemKey

__all__ = ["COLUMNS", "OLD_COLUMNS", "Entry", "digest_of", "is_sound", "sound_row"]

OLD_COLUMNS = ("scene", "question", "configuration", "state", "tries", "record", "error", "changed")
COLUMNS = (*OLD_COLUMNS, "digest")
_DIGITS = 32


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


def digest_of(key: ItemKey, state: str, record: str | None, error: str | None) -> str:
    """What an entry that has an end is checked by; its tries and its time are not in it."""
    values = (key.scene, key.question, key.configuration, state, record, error)
    parts = [b"-" if text is None else b"+" + _encoded(text) for text in values]
    # each with its length, so that nothing can move from one to the next
    text = b"".join(b"%d:%b" % (len(part), part) for part in parts)
    return hashlib.sha256(text).hexdigest()[:_DIGITS]


def is_sound(row: Sequence[Any]) -> bool:
    """Whether a row of ``COLUMNS`` says what was written into it.

    Of an item that was begun nothing is at stake but the order of work.
    """
    *values, digest = row
    scene, question, configuration, state, tries, record, error, changed = values
    texts = (scene, question, configuration, state)
    if not all(isinstance(text, str) for text in texts) or not isinstance(tries, int):
        return False
    if not all(text is None or isinstance(text, str) for text in (record, error)):
        return False
    if not isinstance(changed, int | float):
        return False
    if state == "begun":
        return True
    key = ItemKey(scene, question, configuration)
    return isinstance(digest, str) and digest == digest_of(key, state, record, error)


def sound_row(values: Sequence[Any]) -> tuple[Any, ...] | None:
    """A row of ``COLUMNS`` with an end, if that is what these values of a record are.

    Those of the first format have no digest: they are taken for sound if they can be understood.
    """
    if len(values) == len(COLUMNS):
        return tuple(values) if values[3] in ("answered", "failed") and is_sound(values) else None
    if len(values) != len(OLD_COLUMNS) or values[3] not in ("answered", "failed"):
        return None
    texts = values[:4]
    if not all(isinstance(text, str) for text in texts) or not is_understood(*values[5:7]):
        return None
    key = ItemKey(*values[:3])
    return (*values, digest_of(key, values[3], values[5], values[6]))


def is_understood(record: Any, error: Any) -> bool:
    """Whether an end of the first format can be read: an answer, or why there is none."""
    if record is None:
        return isinstance(error, str)
    try:
        return isinstance(json.loads(record), dict)
    except (TypeError, ValueError):
        return False


def _encoded(text: str) -> bytes:
    # what is not UTF-8 in the file is read as lone surrogates, and differs from what was written
    return text.encode("utf-8", "surrogatepass")
