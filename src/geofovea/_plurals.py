"""Numbers of things in words: the singular for one, the plural for all others."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number of things in words: ``1 tile``, ``2 tiles``.

    Args:
        number: How many there are.
        one: What follows a 1, such as ``tile`` or ``row is empty``.
        many: What follows any other number, such as ``rows are empty``; None for ``one`` with an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
