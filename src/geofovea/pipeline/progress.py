"""Progress bars on standard error, silent when it is not a terminal.

What draws them is imported with the first bar: most questions show none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from geofovea.pipeline.terminal import echo, visible

__all__ = ["counting_bar", "progress_bar", "tell"]


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
        yield lambda done, word: bar.update(task, completed=done, word=visible(word))


def tell(text: str) -> None:
    """Write one line on standard error: why nothing seems to happen."""
    echo(text, err=True)
