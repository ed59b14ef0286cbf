"""What the questions to a model behind an endpoint spend."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

__all__ = ["EndpointUse"]


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
