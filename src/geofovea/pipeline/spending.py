"""What was spent at an endpoint, held under a limit before it is spent."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, replace

from geofovea.errors import SpendLimitError
from geofovea.pipeline.endpoint_settings import SpendLimit

__all__ = ["EndpointUse", "Ledger"]


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

    def settled(self, estimated: tuple[int, int], counted: tuple[int, int]) -> EndpointUse:
        """With what a request really took (prompt, answer tokens) instead of its estimate."""
        return replace(
            self,
            prompt_tokens=self.prompt_tokens - estimated[0] + counted[0],
            answer_tokens=self.answer_tokens - estimated[1] + counted[1],
            estimated_calls=self.estimated_calls - 1,
        )

    def to_json(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


class Ledger:
    """Counts what is spent; a request that might exceed the limit is refused before it is sent."""

    def __init__(self, limit: SpendLimit) -> None:
        """Start with nothing spent."""
        self.limit = limit
        self._use = EndpointUse()
        self._lock = threading.Lock()

    @property
    def use(self) -> EndpointUse:
        """What was spent so far."""
        return self._use

    def reserve(
        self, prompt_tokens: int, answer_tokens: int, images: int, *, is_repeat: bool
    ) -> None:
        """Count a request at its estimate, before it is sent.

        Raises:
            SpendLimitError: If it might exceed the limit; nothing is counted then.
        """
        asked = EndpointUse(1, int(is_repeat), images, prompt_tokens, answer_tokens, 1)
        with self._lock:
            self._check(self._use, asked)
            self._use = self._use.plus(asked)

    def settle(self, estimated: tuple[int, int], counted: tuple[int, int]) -> None:
        """Replace the estimate of a request (prompt, answer tokens) by what it really took."""
        with self._lock:
            self._use = self._use.settled(estimated, counted)

    def _check(self, use: EndpointUse, asked: EndpointUse) -> None:
        """Refuse a request that might exceed the limit after ``use``."""
        limit = self.limit
        if use.calls + 1 > limit.calls:
            raise SpendLimitError(
                f"the spend limit of {limit.calls} calls is used up; raise it with --max-calls"
            )
        if use.tokens + asked.tokens > limit.tokens:
            raise SpendLimitError(
                f"the next call may cost {asked.tokens} tokens, {use.tokens} of at most "
                f"{limit.tokens} are spent; raise the limit with --max-endpoint-tokens, or send "
                "less with --tokens"
            )
