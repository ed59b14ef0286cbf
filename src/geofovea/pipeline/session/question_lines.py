"""Questions from a file or a stream, one a line, as they come and never all at once."""

from __future__ import annotations

import io
import os
import select
import stat
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from geofovea.errors import DataError, QuestionError
from geofovea.pipeline.session.request import MAX_QUESTION_LENGTH
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["QuestionLine", "open_questions"]

_CHUNK_BYTES = 65536
# a longer line is refused for its length, whatever the rest of it is
_MOST_BYTES = 8 * MAX_QUESTION_LENGTH


@dataclass(frozen=True, slots=True)
class QuestionLine:
    """A question, or why a line does not hold one.

    Attributes:
        text: The question, as far as it can be shown.
        error: Why it cannot be asked; None if it can.
    """

    text: str
    error: QuestionError | None = None


@contextmanager
def open_questions(path: Path | None, most: int) -> Iterator[Iterator[Sequence[QuestionLine]]]:
    """The questions of a file, in groups of what is there already, at most ``most`` each.

    Blank lines are skipped. A stream that is slow is not waited for once there is a question, so
    who writes one and waits for its answer gets it.

    Args:
        path: A text file in UTF-8; None for standard input.
        most: Questions of a group.

    Raises:
        DataError: If the file cannot be read, or is not a regular file.
    """
    if path is None:
        yield _groups(_standard_input(), most, "standard input")
        return
    try:
        # what is not a regular file might make us wait for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        reason = reason_of(error)
        raise DataError(
            f"the questions {str(path)!r} cannot be read: {reason}; give a text file with one "
            "question a line, or - for standard input"
        ) from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise DataError(
                f"the questions {str(path)!r} are not a regular file; give a text file with one "
                "question a line, or - for standard input"
            )
        yield _groups(descriptor, most, str(path))
    finally:
        os.close(descriptor)


def _standard_input() -> int | IO[bytes]:
    """Its descriptor, or what stands for it in this process where it has none."""
    try:
        return sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return io.BytesIO() if sys.stdin is None else sys.stdin.buffer


def _groups(source: int | IO[bytes], most: int, name: str) -> Iterator[Sequence[QuestionLine]]:
    lines = _Lines(source)
    number = 0
    while True:
        group: list[QuestionLine] = []
        while len(group) < most and (line := lines.next(wait=not group)) is not None:
            number += 1
            parsed = _parse(line, name, number)
            if parsed is not None:
                group.append(parsed)
        if not group:
            return
        yield group


def _parse(line: bytes, name: str, number: int) -> QuestionLine | None:
    if number == 1:
        line = line.removeprefix(b"\xef\xbb\xbf")
    try:
        text = line.decode().strip()
    except UnicodeDecodeError:
        text = line[:MAX_QUESTION_LENGTH].decode(errors="replace").strip()
        if len(line) >= _MOST_BYTES:  # cut in the middle of a letter
            return QuestionLine(text)
        return QuestionLine(
            text, QuestionError(f"line {number} of {name} is not UTF-8: save it as UTF-8")
        )
    return QuestionLine(text) if text else None


class _Lines:
    """Lines of a descriptor or stream; of a line without an end only its beginning is held."""

    def __init__(self, source: int | IO[bytes]) -> None:
        self._source = source
        self._whole: deque[bytes] = deque()
        self._rest = b""
        self._has_ended = False

    def next(self, *, wait: bool) -> bytes | None:
        """The next line; None at the end, or if it is not there yet and shall not be waited for."""
        while not self._whole and not self._has_ended and (wait or self._is_ready()):
            self._fill()
        return self._whole.popleft() if self._whole else None

    def _fill(self) -> None:
        source = self._source
        data = (
            os.read(source, _CHUNK_BYTES) if isinstance(source, int) else source.read(_CHUNK_BYTES)
        )
        *whole, rest = (self._rest + data).split(b"\n")
        self._whole += (line[:_MOST_BYTES] for line in whole)
        self._rest = rest[:_MOST_BYTES]
        if not data:
            self._has_ended = True
            self._whole.append(self._rest)

    def _is_ready(self) -> bool:
        if not isinstance(self._source, int):
            return True
        try:
            return bool(select.select([self._source], [], [], 0)[0])
        except (OSError, ValueError):  # where only sockets can be asked
            return False
