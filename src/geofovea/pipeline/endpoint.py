"""One call to an OpenAI-compatible endpoint: bounded in time, repetitions and spending."""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from geofovea.errors import EndpointError
from geofovea.pipeline.chat_error import error_of
from geofovea.pipeline.chat_reply import ChatReply, NotAReplyError, parse_reply
from geofovea.pipeline.endpoint_request import MOST_SAID, SPEAKS, Failure, Refusal, post
from geofovea.pipeline.endpoint_settings import EndpointSettings
from geofovea.pipeline.printable import printable, without_key
from geofovea.pipeline.spending import Ledger

__all__ = ["EndpointClient"]

_MOST_PAUSE_SECONDS = 30.0
# 520 to 530 are those of gateways and of busy providers
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, *range(520, 531)})
_UNBILLED = frozenset({408, 425, 429, 503})
# runs of a key that are hidden in messages, and in answers, where words such as "none" must stay
_KEY_RUN, _KEY_RUN_IN_ANSWERS = 6, 12
_TOO_MUCH = re.compile(r"context|too long|too large|image\(s\)|images", re.IGNORECASE)
_ENDS_IN = "the address should end where /chat/completions begins, often in /v1"
_ADVICE = {
    401: "check the key in the environment variable {key_variable}",
    403: "check the key in the environment variable {key_variable}, and its rights",
    404: f"check the address and the name of the model: {_ENDS_IN}",
    413: "send less with --tokens, or allow shorter answers with --answer-tokens",
}


class EndpointClient:
    """Sends chat requests to one endpoint, counts them, and repeats those that may yet succeed."""

    def __init__(self, settings: EndpointSettings, ledger: Ledger) -> None:
        """Keep the settings; nothing is sent yet."""
        self.settings = settings
        self.ledger = ledger
        # what this endpoint was found not to take; see _adapted
        self._refused: set[str] = set()

    def complete(
        self, payload: Mapping[str, Any], prompt_tokens: int, answer_tokens: int, images: int
    ) -> ChatReply:
        """Send a request until it is answered.

        Args:
            payload: The request; ``max_tokens``, ``temperature`` and ``logprobs`` are left out or
                renamed where the endpoint says that it does not take them.
            prompt_tokens: What the prompt may cost, for the spend limit.
            answer_tokens: What the answer may cost.
            images: Pictures in it.

        Raises:
            EndpointError: If there is no answer within the time and the attempts allowed, or the
                endpoint refuses, or answers with something else.
            SpendLimitError: If the limit might be exceeded.
        """
        deadline = time.monotonic() + self.settings.total_seconds
        failed = 0
        while True:
            reserved = self.ledger.reserve(
                prompt_tokens, answer_tokens, images, is_repeat=failed > 0
            )
            left_out = frozenset(self._refused)
            try:
                reply = self._attempt(payload, left_out, deadline)
            except Refusal as refusal:
                if not refusal.is_billed:
                    self.ledger.settle(reserved, (0, 0))
                if not self._learn(refusal, left_out):
                    raise self._error(refusal.reason, refusal.advice) from None
            except Failure as failure:
                failed += 1
                if not failure.is_billed:
                    self.ledger.settle(reserved, (0, 0))
                if failed >= self.settings.attempts:
                    raise self._error(
                        f"{failure.reason} ({failed} attempts)", failure.advice
                    ) from None
                self._pause(failed, failure, deadline)
            else:
                if reply.usage is not None:
                    self.ledger.settle(reserved, reply.usage)
                return reply

    def _pause(self, failed: int, failure: Failure, deadline: float) -> None:
        longest = self.settings.pause_seconds * 2 ** (failed - 1)
        # full jitter spreads clients that were refused together; half of it is kept as distance
        pause = min(_MOST_PAUSE_SECONDS, longest) * random.uniform(0.5, 1)
        if failure.wait_seconds is not None:
            pause = max(pause, failure.wait_seconds)
        if time.monotonic() + pause >= deadline:
            raise self._error(
                f"{failure.reason}, and the {self.settings.total_seconds:g} s that a call may take "
                "do not hold another attempt",
                failure.advice,
            )
        time.sleep(pause)

    def _attempt(
        self, payload: Mapping[str, Any], left_out: frozenset[str], deadline: float
    ) -> ChatReply:
        seconds = min(self.settings.attempt_seconds, deadline - time.monotonic())
        if seconds <= 0:
            raise Failure("it did not answer in time", is_billed=False)
        key = self.settings.key()
        body = json.dumps(_adapted(payload, left_out)).encode()
        status, headers, content = post(self.settings, key, body, seconds)
        if status != 200:
            raise self._unanswered(status, headers, content, key)
        try:
            reply = parse_reply(content)
        except NotAReplyError as error:
            raise self._not_a_reply(error, headers, content, key) from error
        return replace(reply, text=without_key(reply.text, key, _KEY_RUN_IN_ANSWERS))

    def _unanswered(
        self, status: int, headers: Mapping[str, str], content: bytes, key: str | None
    ) -> Refusal | Failure:
        """What a status other than 200 means."""
        if 300 <= status < 400:
            return Refusal("it redirects, which is not followed", "give the address it leads to")
        said = _said(content, key) if status >= 400 else ""
        reason = f"it answered {status}{_in_words(said)}"
        if status in _TRANSIENT:
            return Failure(
                reason,
                is_billed=status not in _UNBILLED,
                wait_seconds=_retry_after(headers.get("retry-after")),
            )
        advice = _ADVICE.get(status, "see what it says")
        if status in (400, 422) and _TOO_MUCH.search(said):
            advice = _ADVICE[413]
        advice = advice.format(key_variable=self.settings.key_variable)
        # who accepts a request may work on it, whatever comes back
        return Refusal(reason, advice, said, is_billed=200 <= status < 300)

    def _not_a_reply(
        self, error: NotAReplyError, headers: Mapping[str, str], content: bytes, key: str | None
    ) -> Refusal | Failure:
        """What a status of 200 means without an answer; the model may have worked for it."""
        told, kind = error_of(content), headers.get("content-type", "json").lower()
        in_words = _in_words(_said(content, key))
        if "event-stream" in kind:
            return Refusal(
                "it streams its reply, which was not asked for", "turn that off", is_billed=True
            )
        if error.may_pass and "json" not in kind:
            return Refusal(
                "its reply is not JSON but of another type",
                f"check the address: {_ENDS_IN}",
                is_billed=True,
            )
        # some report an error with a status that says that all is well
        if error.may_pass or told.code in _TRANSIENT:
            return Failure(
                f"{error}{in_words}",
                is_billed=True,
                wait_seconds=_retry_after(headers.get("retry-after")),
            )
        return Refusal(f"{error}{in_words}", SPEAKS, is_billed=True)

    def _learn(self, refusal: Refusal, left_out: frozenset[str]) -> bool:
        """Whether a refusal names a parameter that can be done without; it is left out from now."""
        if refusal.advice == _ADVICE[413]:
            # a prompt that is too long is no better without them
            return False
        for name in ("logprobs", "max_tokens", "temperature"):
            # another thread may have learnt it since this request was sent
            if name in refusal.said and name not in left_out:
                self._refused.add(name)
                return True
        return False

    def _error(self, reason: str, advice: str) -> EndpointError:
        return EndpointError(f"the endpoint {self.settings.shown} failed: {reason}; {advice}")


def _adapted(payload: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    """A request without what an endpoint does not take."""
    adapted = dict(payload)
    for name in left_out & adapted.keys():
        value = adapted.pop(name)
        if name == "max_tokens":
            # the newer word of the same API
            adapted["max_completion_tokens"] = value
    return adapted


def _said(content: bytes, key: str | None) -> str:
    """What an endpoint says of an error, without any part of the key; often nothing."""
    return without_key(error_of(content).text, key, min(_KEY_RUN, len(key or "")))


def _in_words(said: str) -> str:
    return f" ({printable(said, MOST_SAID)})" if said else ""


def _retry_after(value: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
