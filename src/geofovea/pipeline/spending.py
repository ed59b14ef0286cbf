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
        with self._lock:
            use, limit = self._use, self.limit
            if use.calls + 1 > limit.calls:
                raise SpendLimitError(
                    f"the spend limit of {limit.calls} calls is used up; raise it with --max-calls"
                )
            if use.tokens + prompt_tokens + answer_tokens > limit.tokens:
                raise SpendLimitError(
                    f"the next call may cost {prompt_tokens + answer_tokens} tokens, {use.tokens} "
                    f"of at most {limit.tokens} are spent; raise the limit with "
                    "--max-endpoint-tokens, or send less with --tokens"
                )
            self._use = EndpointUse(
                use.calls + 1,
                use.repeated + is_repeat,
                use.images + images,
                use.prompt_tokens + prompt_tokens,
                use.answer_tokens + answer_tokens,
                use.estimated_calls + 1,
            )

    def settle(self, estimated: tuple[int, int], counted: tuple[int, int]) -> None:
        """Replace the estimate of a request (prompt, answer tokens) by what it really took."""
        with self._lock:
            use = self._use
            self._use = replace(
                use,
                prompt_tokens=use.prompt_tokens - estimated[0] + counted[0],
                answer_tokens=use.answer_tokens - estimated[1] + counted[1],
                estimated_calls=use.estimated_calls - 1,
            )
