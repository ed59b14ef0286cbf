"""The one way to a terminal: what it would obey is shown instead of sent.

Names of files, text inside files and what models say come from somebody else. An escape sequence
among them could rewrite lines that were printed before, or name a window, or worse.
"""

from __future__ import annotations

import logging
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import click

__all__ = [
    "NOTICES",
    "echo",
    "fact",
    "is_quiet",
    "notice",
    "paragraph",
    "quietly",
    "visible",
]

NOTICES = "geofovea.notices"
"""The logger of what `notice` shows."""
_NAMES = 10
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)

# join letters and emoji, and do nothing else
_JOINERS = "\u200c\u200d"


def visible(text: str, *, lines: bool = False) -> str:
    r"""A text in which what cannot be seen is written as Python writes it, such as ``\x1b``.

    Args:
        text: Any text, of any source.
        lines: Whether it may have several lines, and tabs in them.
    """
    if text.isascii() and text.isprintable():
        return text
    line_breaks = "\n\t" if lines else ""
    return "".join(
        c if c.isprintable() or c in line_breaks or c in _JOINERS else _escaped(c) for c in text
    )


def _escaped(character: str) -> str:
    # spaces of other widths are no harm
    if character.isspace() and ord(character) > 127 and character not in "\x85\u2028\u2029":
        return " "
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def echo(text: object, *, err: bool = False, lines: bool = False) -> None:
    r"""Print a text on standard output.

    Args:
        text: Its ``str`` is printed, harmless.
        err: Print it on standard error instead.
        lines: Whether it may have several lines; else a line break in it is shown as ``\n``.
    """
    click.echo(visible(str(text), lines=lines), err=err)


def notice(text: object) -> None:
    """Tell on standard error, in one line, what is no result: progress, a warning; and log it."""
    logging.getLogger(NOTICES).info("%s", " ".join(str(text).split()))
    if not _QUIET.get():
        echo(text, err=True)


def fact(name: str, text: object, *, is_warning: bool = False) -> None:
    """Print a line below a result: what it is about, and what is known of it.

    A terminal gets it in lines of its width, so that no word is broken; a file gets one line.

    Args:
        name: At most ten characters.
        text: The rest of the line.
        is_warning: Whether it is a `notice`, which is logged and goes to standard error.
    """
    line = f"  {name:<{_NAMES}} {text}"
    if is_warning:
        logging.getLogger(NOTICES).info("%s", " ".join(line.split()))
        if _QUIET.get():
            return
    paragraph(line, indent=_NAMES + 3, err=is_warning)


def paragraph(text: object, *, indent: int = 0, err: bool = False) -> None:
    """Print a text of one line.

    A terminal gets it in lines of its width, so that no word is broken; a file gets one line.

    Args:
        text: Its ``str`` is printed, harmless.
        indent: Blanks before each line but the first.
        err: Print it on standard error instead.
    """
    line = visible(str(text))
    stream = sys.stderr if err else sys.stdout
    # there is none where a shell has closed it
    if stream is not None and stream.isatty():
        line = textwrap.fill(
            line,
            max(40, shutil.get_terminal_size().columns),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    echo(line, err=err, lines=True)


def is_quiet() -> bool:
    """Whether notices are only logged."""
    return _QUIET.get()


@contextmanager
def quietly(wanted: bool = True) -> Iterator[None]:
    """Show no notices while the block lasts."""
    token = _QUIET.set(wanted)
    try:
        yield
    finally:
        _QUIET.reset(token)
