"""A complete prompt, which states by itself the form of answer that it wants."""

from __future__ import annotations

__all__ = ["FinishedPrompt"]


class FinishedPrompt(str):
    """The words of a benchmark or a harness, to be asked exactly as they are.

    It goes wherever a question goes; what writes prompts adds no instruction to it.
    """

    __slots__ = ()
