"""What somebody gave for an option: whether it is a number that can be meant, and how to show it.

Every room asks here, so that text, truth values, NaN and numbers without end are refused alike, and
by an error of this package instead of one of Python's.
"""

from __future__ import annotations

import math
import sys
from numbers import Integral, Real
from typing import Any

__all__ = ["as_bytes", "check_flag", "is_number", "is_whole", "shown"]

_MOST_LETTERS = 60


def is_whole(value: Any, least: int = 0, most: int = sys.maxsize) -> bool:
    """Whether something is a whole number from ``least`` to ``most``; True and False are none."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    return is_integer and bool(least <= value <= most)


def is_number(value: Any) -> bool:
    """Whether something is a finite real number that a float can hold; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def as_bytes(count: float, unit: float) -> int:
    """Whole bytes of a finite number of larger units; at most as many as a list has places.

    Their product may be larger than any float.
    """
    return int(min(count * unit, sys.maxsize))


def check_flag(name: str, value: object, refusal: type[Exception]) -> None:
    """Refuse what is neither True nor False: a text such as "no" is true to Python.

    Args:
        name: Of the option.
        value: What was given.
        refusal: The error of the room that asks.

    Raises:
        refusal: If it is something else.
    """
    if not isinstance(value, bool):
        raise refusal(f"{name}={shown(value)} is neither True nor False")


def shown(value: object) -> str:
    """A value as a message quotes it, in at most 60 letters."""
    try:
        text = repr(value)
    except Exception:  # a value of others may fail at anything, and Python shows no endless number
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 3]}..."
