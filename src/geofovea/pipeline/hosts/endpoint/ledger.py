"""What was spent at an endpoint, held under a limit before it is spent."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from geofovea.errors import SpendLimitError
from geofovea.pipeline.hosts.endpoint.settings import SpendLimit
from geofovea.pipeline.hosts.usage import EndpointUse
from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["CostRatio", "Ledger", "Reservation"]


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a request was counted at before it was sent.

    Attributes:
        estimate: Prompt and answer tokens that it was expected to take.
        tokens: Those that were counted.
    """

    estimate: tuple[int, int]
    tokens: tuple[int, int]


@dataclass(frozen=True, slots=True)
class CostRatio:
    """How many times its estimate a request has taken at most, at least 1.

    Attributes:
        prompt: Of the prompt.
        answer: Of the answer; above 1 where thoughts are not held to its limit.
    """

    prompt: float = 1.0
    answer: float = 1.0

    def applied(self, prompt_tokens: int, answer_tokens: int) -> Reservation:
        """What to count for a request of this estimate."""
        estimate = (prompt_tokens, answer_tokens)
        scaled = zip(estimate, (self.prompt, self.answer), strict=True)
        prompt, answer = (math.ceil(tokens * times) for tokens, times in scaled)
        return Reservation(estimate, (prompt, answer))

    def after(self, reserved: Reservation, actual: tuple[int, int]) -> CostRatio:
        """After a request that took ``actual``."""
        shares = [
            took / max(1, estimate)
            for took, estimate in zip(actual, reserved.estimate, strict=True)
        ]
        return CostRatio(max(self.prompt, shares[0]), max(self.answer, shares[1]))


class _Here(threading.local):
    """What one thread spent."""

    use = EndpointUse()


class Ledger:
    """Counts what is spent; a request that might exceed the limit is refused before it is sent.

    Threads may share it.
    """

    def __init__(self, limit: SpendLimit) -> None:
        """Start with nothing spent."""
        self.limit = limit
        self._use = EndpointUse()
        self._here = _Here()
        self._cost_ratio = CostRatio()
        self._lock = ForkSafeLock()

    @property
    def use(self) -> EndpointUse:
        """What was spent so far."""
        return self._use

    @property
    def use_here(self) -> EndpointUse:
        """What the calling thread spent so far: a question is asked by one thread."""
        return self._here.use

    def reserve(
        self, prompt_tokens: int, answer_tokens: int, images: int, *, is_repeat: bool
    ) -> Reservation:
        """Count a request at its estimate, before it is sent.

        An endpoint that counted more than was estimated is believed: later estimates are larger
        by as much.

        Returns:
            What was counted, for ``settle``.

        Raises:
            SpendLimitError: If it might exceed the limit; nothing is counted then.
        """
        with self._lock:
            reserved = self._cost_ratio.applied(prompt_tokens, answer_tokens)
            request = EndpointUse(1, int(is_repeat), images, *reserved.tokens, 1)
            self._check(self._use, request)
            self._note(lambda use: use.plus(request))
            return reserved

    def settle(self, reserved: Reservation, actual: tuple[int, int]) -> None:
        """Replace the estimate of a request by what it really took (prompt, answer tokens)."""
        with self._lock:
            self._note(lambda use: use.settled(reserved.tokens, actual))
            self._cost_ratio = self._cost_ratio.after(reserved, actual)

    def _note(self, change: Callable[[EndpointUse], EndpointUse]) -> None:
        """Change what all threads spent, and what this one did."""
        self._use, self._here.use = change(self._use), change(self._here.use)

    def _check(self, use: EndpointUse, request: EndpointUse) -> None:
        """Refuse a request that might exceed the limit after ``use``."""
        limit = self.limit
        if use.calls + 1 > limit.calls:
            raise SpendLimitError(
                f"the spend limit of {limit.calls} calls is used up; raise it with --max-calls"
            )
        if use.tokens + request.tokens > limit.tokens:
            raise SpendLimitError(
                f"the next call may cost {request.tokens} tokens, {use.tokens} of at most "
                f"{limit.tokens} are spent; raise the limit with --max-api-tokens, or send "
                "less with tokens="
            )
