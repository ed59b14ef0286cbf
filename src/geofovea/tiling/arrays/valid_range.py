"""Ranges of valid numbers that CF lets an array declare: they are reported, but not applied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["valid_range_warnings"]

_KEYS = ("valid_range", "valid_min", "valid_max")


def valid_range_warnings(*attributes: Mapping[Any, Any]) -> tuple[str, ...]:
    """A sentence where one of some variables declares a range; see ``valid_range`` of CF.

    The range is in the numbers as stored. After decoding nobody can tell which they were, so none
    is applied.
    """
    declared = {key for attrs in attributes for key in _KEYS if key in attrs}
    if not declared:
        return ()
    names = " and ".join(key for key in _KEYS if key in declared)
    return (
        f"the array declares {names}, which is not applied: numbers outside count as pixels; set "
        "them to NaN first, for example with where()",
    )
