"""What is made of an answer once it is there: places, figures, pictures, files.

None of it may cost the answer. What fails is left out, and a warning says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["Afterwork"]

Value = TypeVar("Value")
Other = TypeVar("Other")

_LONGEST = 300


class Afterwork:
    """Makes one thing after the other, and remembers what could not be made."""

    def __init__(self) -> None:
        """Begin without warnings."""
        self._warnings: dict[str, None] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """A sentence for each thing that failed, once."""
        return tuple(self._warnings)

    def attempt(self, what: str, make: Callable[[], Value], otherwise: Other) -> Value | Other:
        """What ``make`` returns; ``otherwise`` where it fails.

        Args:
            what: Its name, for the warning.
            make: Makes it.
            otherwise: Stands for it.
        """
        try:
            return make()
        except Exception as error:  # whatever it is, the answer is worth more
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST]
            self._warnings[f"{what} could not be made ({reason}); the answer stands"] = None
            return otherwise
