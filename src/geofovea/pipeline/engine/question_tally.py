"""What a focus does while one question is worked on."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["QuestionTally"]


@dataclass
class QuestionTally:
    """Counts and remarks of one question.

    Attributes:
        tiles_read: Tiles that the focus read from the scene.
        tokens_scored: Tokens of each look that the host's attention scored.
        warnings: What a careful reader of the answer should know.
    """

    tiles_read: int = 0
    tokens_scored: list[int] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
