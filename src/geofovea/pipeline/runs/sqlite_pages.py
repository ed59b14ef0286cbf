"""Records in the pages of an SQLite file and its write-ahead log, read without SQLite.

SQLite refuses a file whose header, schema or inner pages are damaged, although the leaf pages with
the rows may be whole. Here every page is looked at by itself, after the file format that SQLite
publishes. Nothing is taken on trust: who asks has to tell sound records from others.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

__all__ = ["MAGIC", "records"]

MAGIC = b"SQLite format 3\0"
_LEAF = 0x0D
_HEADER = 100  # bytes of page 1 that are no page
_LOG_HEADER, _FRAME_HEADER = 32, 24
_USUAL = 4096
_TORN = (IndexError, ValueError, OverflowError, struct.error)


def records(path: Path, *, log_only: bool = False) -> Iterator[tuple[Any, ...]]:
    """The values of each record in a leaf page of a table; texts that are no UTF-8 are bytes.

    A record may come more than once: as it is in the file, in the log, and as it was before.

    Args:
        path: The database; its log is looked for beside it.
        log_only: Leave out the records that are in the file itself.
    """
    main, log = _mapped(path), _mapped(Path(f"{path}-wal"))
    for size in dict.fromkeys((*_declared_sizes(main, log), _USUAL)):
        pages = _Pages(main, log, size)
        yield from pages.records(log_only=log_only)


def _mapped(path: Path) -> bytes | mmap.mmap:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError:
        pass
    return b""


def _declared_sizes(main: bytes | mmap.mmap, log: bytes | mmap.mmap) -> Iterator[int]:
    sizes = int.from_bytes(main[16:18], "big"), int.from_bytes(log[8:12], "big")
    for size in sizes:
        real = 65536 if size == 1 else size
        if 512 <= real <= 65536 and real & (real - 1) == 0:
            yield real


class _Pages:
    """All images of all pages, as far as the files go."""

    def __init__(self, main: bytes | mmap.mmap, log: bytes | mmap.mmap, size: int) -> None:
        self._main, self._log, self._size = main, log, size
        self._frames = range(_LOG_HEADER + _FRAME_HEADER, len(log), size + _FRAME_HEADER)
        # the last frame of a page is its newest image
        self._newest = {self._number(frame): frame for frame in self._frames}

    def records(self, *, log_only: bool) -> Iterator[tuple[Any, ...]]:
        for start in range(0, 0 if log_only else len(self._main), self._size):
            skipped = 0 if start else _HEADER
            yield from self._of_page(self._main[start : start + self._size], skipped)
        for frame in self._frames:
            skipped = _HEADER if self._number(frame) == 1 else 0
            yield from self._of_page(self._log[frame : frame + self._size], skipped)

    def _number(self, frame: int) -> int:
        start = frame - _FRAME_HEADER
        return int.from_bytes(self._log[start : start + 4], "big")

    def _of_page(self, page: bytes, skipped: int) -> Iterator[tuple[Any, ...]]:
        if page[skipped : skipped + 1] != bytes([_LEAF]):
            return
        count = int.from_bytes(page[skipped + 3 : skipped + 5], "big")
        for place in range(skipped + 8, min(skipped + 8 + 2 * count, len(page) - 1), 2):
            start = int.from_bytes(page[place : place + 2], "big")
            for with_log in (True, False) if self._log else (False,):
                with suppress(*_TORN):
                    yield _values(self._payload(page, start, with_log=with_log))

    def _payload(self, page: bytes, start: int, *, with_log: bool) -> bytes:
        """All bytes of a record, those on overflow pages included."""
        length, start = _varint(page, start)
        _, start = _varint(page, start)
        if length > len(self._main) + len(self._log):
            raise ValueError("longer than the file")
        own = self._own_bytes(length)
        payload = bytearray(page[start : start + own])
        following = int.from_bytes(page[start + own : start + own + 4], "big")
        while len(payload) < length:
            more = self._page(following, with_log=with_log)
            payload += more[4 : 4 + length - len(payload)]
            following = int.from_bytes(more[:4], "big")
        return bytes(payload)

    def _own_bytes(self, length: int) -> int:
        """How many bytes of a record are on its own page."""
        most = self._size - 35
        if length <= most:
            return length
        least = (self._size - 12) * 32 // 255 - 23
        fitting = least + (length - least) % (self._size - 4)
        return fitting if fitting <= most else least

    def _page(self, number: int, *, with_log: bool) -> bytes:
        frame = self._newest.get(number) if with_log else None
        start = (number - 1) * self._size
        page = (
            self._main[start : start + self._size]
            if frame is None
            else (self._log[frame : frame + self._size])
        )
        if number < 1 or len(page) < self._size:
            raise ValueError("no such page")
        return page


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """A number of 1 to 9 bytes, and where the next begins."""
    value = 0
    for place in range(start, start + 8):
        value = value << 7 | data[place] & 0x7F
        if data[place] < 0x80:
            return value, place + 1
    return value << 8 | data[start + 8], start + 9


def _values(payload: bytes) -> tuple[Any, ...]:
    """The columns of a record."""
    end, place = _varint(payload, 0)
    kinds = []
    while place < end:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    values, place = [], end
    for kind in kinds:
        value, place = _value(payload, place, kind)
        values.append(value)
    if place > len(payload):
        raise ValueError("cut short")
    return tuple(values)


def _value(payload: bytes, start: int, kind: int) -> tuple[Any, int]:
    if kind in (8, 9):
        return kind - 8, start
    if kind >= 12:
        end = start + (kind - 12) // 2
        return (payload[start:end] if kind % 2 == 0 else _text(payload[start:end])), end
    size = (0, 1, 2, 3, 4, 6, 8, 8)[kind]
    data = payload[start : start + size]
    if kind == 0:
        return None, start
    if kind == 7:
        (number,) = struct.unpack(">d", data)
        return number, start + size
    return int.from_bytes(data, "big", signed=True), start + size


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw
