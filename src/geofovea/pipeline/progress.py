"""Progress on standard error: a bar on a terminal, else a line now and then of what is counted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["counting_bar", "progress_bar"]

SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """Show a bar; the value is a function that takes the share that is done, in [0, 1]."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=1.0)
        yield lambda share: bar.update(task, completed=share)


class _RateColumn(ProgressColumn):
    """Things a minute, over the last while."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{60 * task.speed:.1f}/min")


@contextmanager
def counting_bar(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a bar with rate and time left; the value takes what is done, and a word on it."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[word]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total, word="")
        line = None if console.is_terminal else _Lines(title, total)

        def advance(done: int, word: str) -> None:
            bar.update(task, completed=done, word=word)
            if line is not None:
                line.tell(done, word)

        yield advance


class _Lines:
    """A line about every minute, for logs."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def tell(self, done: int, word: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS_BETWEEN_LINES
        more = f", {word}" if word else ""
        print(f"{self._title}: {done} of {self._total}{more}", file=sys.stderr, flush=True)
