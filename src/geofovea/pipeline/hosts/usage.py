"""What questions spend at an endpoint, and what they take from a scene memory."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

__all__ = ["EndpointUse", "MemoryUse"]


@dataclass(frozen=True, slots=True)
class EndpointUse:
    """What was spent.

    Attributes:
        calls: Requests sent, repeated ones included.
        repeated: How many of them repeated a failed one.
        images: Pictures sent.
        prompt_tokens: As the endpoint counted them; estimated where it did not say.
        answer_tokens: Likewise.
        estimated_calls: Requests whose tokens are an estimate.
    """

    calls: int = 0
    repeated: int = 0
    images: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0
    estimated_calls: int = 0

    @property
    def tokens(self) -> int:
        """All tokens."""
        return self.prompt_tokens + self.answer_tokens

    def since(self, earlier: EndpointUse) -> EndpointUse:
        """What was spent after ``earlier``."""
        before = asdict(earlier)
        return EndpointUse(**{k: v - before[k] for k, v in asdict(self).items()})

    def plus(self, more: EndpointUse) -> EndpointUse:
        """Both together."""
        counts = asdict(more)
        return EndpointUse(**{k: v + counts[k] for k, v in asdict(self).items()})

    def settled(self, estimated: tuple[int, int], actual: tuple[int, int]) -> EndpointUse:
        """With what a request really took (prompt, answer tokens) instead of its estimate."""
        return replace(
            self,
            prompt_tokens=self.prompt_tokens - estimated[0] + actual[0],
            answer_tokens=self.answer_tokens - estimated[1] + actual[1],
            estimated_calls=self.estimated_calls - 1,
        )

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What one question took from a scene memory.

    Attributes:
        tiles_stored: Tiles that it ran through the decoder and stored.
        tiles_read: Stored tiles that it read, once for each look and for the answer.
        entries_read: Vision tokens whose keys and values it read, likewise.
        nbytes: Bytes that the memory held then.
        ready_bytes: Bytes of keys and values that were restored beside them.
        tokens_stored: Vision tokens of the tiles that it ran and stored.
        looks_run: Vision tokens of each look behind which words of a question ran; of later looks
            only stored keys are read.
        entries_chosen: Vision entries that words of the last prompt attended to, over all layers
            and words, where a cache policy chooses them; else 0.
    """

    tiles_stored: int = 0
    tiles_read: int = 0
    entries_read: int = 0
    nbytes: int = 0
    ready_bytes: int = 0
    entries_chosen: int = 0
    tokens_stored: int = 0
    looks_run: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The counts by name."""
        return {
            "tiles_stored": self.tiles_stored,
            "tiles_read": self.tiles_read,
            "entries_read": self.entries_read,
            "bytes": self.nbytes,
            "ready_bytes": self.ready_bytes,
            "entries_chosen": self.entries_chosen,
            "tokens_stored": self.tokens_stored,
            "looks_run": list(self.looks_run),
        }
