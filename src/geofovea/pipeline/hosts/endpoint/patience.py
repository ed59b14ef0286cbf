"""Patience with an endpoint over one call: how long it is waited for, and when no more."""

from __future__ import annotations

import random
import time

from geofovea.errors import EndpointError, EndpointUnavailableError
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.hosts.endpoint.transport import Failure, Refusal, TimedOut
from geofovea.pipeline.system.cancellation import sleep
from geofovea.pipeline.system.progress import tell

__all__ = ["Patience"]

_MOST_PAUSE_SECONDS = 30.0
_FAILURES_BORNE = 4
# shorter pauses are not told
_REPORTED_SECONDS = 2.0


class Patience:
    """What one call may still take.

    Attributes:
        waited_seconds: How long was paused so far.
        reason: Why, in the words of the last failure; empty before the first.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        """Begin now."""
        self._settings = settings
        self._deadline = time.monotonic() + settings.total_seconds
        self._requests = 0
        self._borne = 0
        self._last_reason = ""
        self._not_ready: Failure | None = None
        self._given_seconds = settings.total_seconds
        self.waited_seconds = 0.0
        self.reason = ""

    @property
    def seconds(self) -> float:
        """Longest that the next request may take.

        Raises:
            EndpointError: If no time is left.
        """
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise self._over(TimedOut("it did not answer in time", is_billed=False))
        self._given_seconds = min(remaining, self._settings.attempt_seconds or remaining)
        return self._given_seconds

    def refused(self, refusal: Refusal) -> EndpointError:
        """The error of a refusal."""
        return self._error(refusal.reason, refusal.advice, is_of_all=refusal.is_of_all)

    def pause(self, failure: Failure) -> None:
        """Wait until the request may be repeated.

        Raises:
            CancelledError: If nobody wants the answer any more.
            EndpointUnavailableError: If the endpoint is not there, not ready or too busy for as
                long as the call may take.
            EndpointError: If it failed too often or for too long otherwise.
        """
        self._requests += 1
        self._borne += not failure.is_waited_for
        self.reason = failure.reason
        if failure.is_waited_for:
            self._not_ready = failure
        most = self._settings.attempts
        if self._borne >= _FAILURES_BORNE or (most is not None and self._requests >= most):
            reason = f"{failure.reason} ({self._requests} attempts)"
            raise self._error(reason, failure.advice, is_of_all=failure.is_of_all)
        seconds = self._pause_seconds(failure)
        self._tell(failure.reason, seconds)
        sleep(seconds)
        self.waited_seconds += seconds

    def _pause_seconds(self, failure: Failure) -> float:
        longest = min(self._settings.pause_seconds * 2.0 ** min(self._requests - 1, 60), 1e9)
        # full jitter spreads clients that were refused together; half of it is kept as distance
        pause = min(_MOST_PAUSE_SECONDS, longest) * random.uniform(0.5, 1)
        remaining = self._deadline - time.monotonic()
        if failure.wait is not None:
            hint = failure.wait.seconds
            if failure.wait.is_certain and hint >= remaining:
                raise self._over(failure, f"asks for {hint:,.0f} s of patience")
            pause = max(pause, hint) if hint < remaining else pause
        if pause < remaining:
            return pause
        if not failure.is_waited_for or remaining <= max(self._settings.pause_seconds, 1.0):
            raise self._over(failure)
        # what is left is for one request more, and time for its answer
        return remaining / 2

    def _over(self, failure: Failure, asks: str = "") -> EndpointError:
        total = self._settings.total_seconds
        # a request that got little time because others were waited for tells less than they did
        if isinstance(failure, TimedOut) and self._given_seconds < total / 2:
            failure = self._not_ready or failure
        why = f"{failure.reason}{f' and {asks}' if asks else ''}"
        return self._error(
            f"{why}, and the {total:g} s that a call may take (total_seconds=) do not hold "
            "another attempt",
            failure.advice,
            is_of_all=failure.is_of_all,
        )

    def _tell(self, reason: str, seconds: float) -> None:
        if seconds < _REPORTED_SECONDS or reason == self._last_reason:
            return
        self._last_reason = reason
        remaining = max(0.0, self._deadline - time.monotonic())
        tell(
            f"waiting for the endpoint {self._settings.display_url}: {reason}; asked again in "
            f"{seconds:.0f} s, for {remaining:.0f} s at most"
        )

    def _error(self, reason: str, advice: str, *, is_of_all: bool) -> EndpointError:
        kind = EndpointUnavailableError if is_of_all else EndpointError
        return kind(f"the endpoint {self._settings.display_url} failed: {reason}; {advice}")
