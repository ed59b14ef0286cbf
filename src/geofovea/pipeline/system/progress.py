"""Progress on standard error: a bar on a terminal, else a line now and then of what is counted.

What draws bars is imported with the first one: most questions show none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geofovea.pipeline.system.terminal import echo, visible

__all__ = ["counting_bar", "progress_bar", "tell"]

SECONDS_BETWEEN_LINES = 60.0


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """Show a bar; the value is a function that takes the share that is done, in [0, 1]."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(visible(title), total=1.0)
        yield lambda share: bar.update(task, completed=share)


@contextmanager
def counting_bar(title: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Show a bar with rate and time left; the value takes what is done, and a word on it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Things a minute, over the last while."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{60 * task.speed:.1f}/min")

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[word]}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(visible(title), total=total, word="")
        line = None if console.is_terminal else _Lines(title, total)

        def advance(count: int, word: str) -> None:
            bar.update(task, completed=count, word=visible(word))
            if line is not None:
                line.tell(count, word)

        yield advance


def tell(text: str) -> None:
    """Write one line on standard error: why nothing seems to happen."""
    echo(text, err=True)


class _Lines:
    """A line about every minute, for logs."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        self._next = time.monotonic() + SECONDS_BETWEEN_LINES

    def tell(self, count: int, word: str) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS_BETWEEN_LINES
        more = f", {word}" if word else ""
        tell(f"{self._title}: {count} of {self._total}{more}")
