"""Progress on standard error: a bar on a terminal, else a line now and then.

What draws bars is imported with the first one: most questions show none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context

from geofovea.pipeline.system.terminal import is_quiet, notice, visible

__all__ = ["counting_bar", "progress_bar", "tell"]

SECONDS_BETWEEN_LINES = 30.0


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[float], None]]:
    """Show a bar; the value is a function that takes the share that is done, in [0, 1]."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(20),
        TaskProgressColumn(),
        # the time that has passed moves on where a long step, such as building overviews, does not
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    is_shown = console.is_terminal and not is_quiet()
    with Progress(*columns, console=console, disable=not is_shown) as bar:
        task = bar.add_task(visible(title), total=1.0)
        with _lines(title, "0 %", is_shown=not console.is_terminal) as lines:

            def advance(share: float) -> None:
                bar.update(task, completed=share)
                lines.state = f"{100 * share:.0f} %"

            yield advance


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
    is_shown = console.is_terminal and not is_quiet()
    with Progress(*columns, console=console, disable=not is_shown) as bar:
        task = bar.add_task(visible(title), total=total, word="")
        with _lines(title, f"0 of {total}", is_shown=not console.is_terminal) as lines:

            def advance(done: int, word: str) -> None:
                bar.update(task, completed=done, word=visible(word))
                lines.state = f"{done} of {total}" + (f", {word}" if word else "")

            yield advance


def tell(text: str) -> None:
    """Write one line on standard error: why nothing seems to happen."""
    notice(text)


class _Lines:
    """A line now and then, for logs: also while one long item is worked on."""

    def __init__(self, title: str, state: str) -> None:
        self._title, self.state = title, state
        self._started = time.monotonic()

    def tell(self) -> None:
        minutes = (time.monotonic() - self._started) / 60
        tell(f"{self._title}: {self.state}, {minutes:.1f} min")


@contextmanager
def _lines(title: str, state: str, *, is_shown: bool) -> Iterator[_Lines]:
    lines, ended = _Lines(title, state), threading.Event()
    if not is_shown:
        yield lines
        return

    def work() -> None:
        while not ended.wait(SECONDS_BETWEEN_LINES):
            lines.tell()

    # what is quiet here is quiet there
    context = copy_context()
    thread = threading.Thread(target=context.run, args=(work,), daemon=True)
    thread.start()
    try:
        yield lines
    finally:
        ended.set()
        thread.join()
