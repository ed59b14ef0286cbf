"""One call to an OpenAI-compatible endpoint: bounded in time, bytes, repetitions and spending.

httpx2 is the client that huggingface_hub brings anyway. Its timeouts hold for single reads, so a
server that drips bytes could hold a call for ever; the whole request therefore runs as a task that
asyncio ends, in a loop of its own (a notebook has one running already).
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from geofovea.errors import EndpointError
from geofovea.pipeline.chat_reply import ChatReply, NotAReplyError, error_text, parse_reply
from geofovea.pipeline.endpoint_settings import EndpointSettings
from geofovea.pipeline.spending import Ledger

__all__ = ["EndpointClient"]

_MOST_REPLY_BYTES = 4 * 2**20
_MOST_PAUSE_SECONDS = 30.0
# a look-up of a name cannot be cancelled; it is left alone after this time more
_GRACE_SECONDS = 5.0
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_UNBILLED = frozenset({408, 425, 429, 503})
_ADVICE = {
    401: "check the key in the environment variable {key_variable}",
    403: "check the key in the environment variable {key_variable}, and its rights",
    404: "check the address and the name of the model",
    413: "send less with --tokens",
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
        estimate = (prompt_tokens, answer_tokens)
        failed = 0
        while True:
            self.ledger.reserve(*estimate, images, is_repeat=failed > 0)
            try:
                reply = self._attempt(payload, deadline)
            except _Refusal as refusal:
                self.ledger.settle(estimate, (0, 0))
                if not self._learn(refusal):
                    raise self._error(refusal.reason, refusal.advice) from None
            except _Failure as failure:
                failed += 1
                if not failure.is_billed:
                    self.ledger.settle(estimate, (0, 0))
                if failed >= self.settings.attempts:
                    raise self._error(
                        f"{failure.reason} ({failed} attempts)", failure.advice
                    ) from None
                self._pause(failed, failure, deadline)
            else:
                if reply.usage is not None:
                    self.ledger.settle(estimate, reply.usage)
                return reply

    def _pause(self, failed: int, failure: _Failure, deadline: float) -> None:
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

    def _attempt(self, payload: Mapping[str, Any], deadline: float) -> ChatReply:
        seconds = min(self.settings.attempt_seconds, deadline - time.monotonic())
        if seconds <= 0:
            raise _Failure("it did not answer in time", is_billed=False)
        key = self.settings.key()
        body = json.dumps(self._adapted(payload)).encode()
        status, headers, content = _in_own_loop(
            lambda: _post(self.settings, key, body, seconds), seconds + _GRACE_SECONDS
        )
        # some report an error with a status that says that all is well
        said = error_text(content) if status == 200 or status >= 400 else ""
        if key is not None:
            said = said.replace(key, "***")
        in_words = f" ({said})" if said else ""
        reason = f"it answered {status}{in_words}"
        advice = _ADVICE.get(status, "try again later").format(
            key_variable=self.settings.key_variable
        )
        if status in _TRANSIENT:
            raise _Failure(
                reason,
                is_billed=status not in _UNBILLED,
                wait_seconds=_retry_after(headers.get("retry-after")),
            )
        if 300 <= status < 400:
            raise _Refusal("it redirects, which is not followed", "give the address it leads to")
        if status != 200:
            raise _Refusal(reason, advice if status in _ADVICE else "see what it says", said)
        if "json" not in headers.get("content-type", "json").lower():
            raise _Refusal(
                "its reply is not JSON but of another type",
                "check the address: it should end where /chat/completions begins, often in /v1",
            )
        try:
            return parse_reply(content)
        except NotAReplyError as error:
            if error.is_damaged:
                raise _Failure(str(error), is_billed=True) from error
            raise _Refusal(
                f"{error}{in_words}", "check that the endpoint speaks OpenAI's chat API"
            ) from error

    def _learn(self, refusal: _Refusal) -> bool:
        """Whether a refusal names a parameter that can be done without; it is left out from now."""
        for name in ("logprobs", "max_tokens", "temperature"):
            if name in refusal.said and name not in self._refused:
                self._refused.add(name)
                return True
        return False

    def _adapted(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        adapted = dict(payload)
        for name in self._refused & adapted.keys():
            value = adapted.pop(name)
            if name == "max_tokens":
                # the newer word of the same API
                adapted["max_completion_tokens"] = value
        return adapted

    def _error(self, reason: str, advice: str) -> EndpointError:
        return EndpointError(f"the endpoint {self.settings.shown} failed: {reason}; {advice}")


class _Refusal(Exception):  # noqa: N818 - made into an EndpointError where it is known to be final
    """The same request would fail again."""

    def __init__(self, reason: str, advice: str, said: str = "") -> None:
        super().__init__(reason)
        self.reason, self.advice, self.said = reason, advice, said


class _Failure(Exception):  # noqa: N818 - likewise
    """The same request may succeed later."""

    def __init__(
        self, reason: str, *, is_billed: bool, wait_seconds: float | None = None, advice: str = ""
    ) -> None:
        super().__init__(reason)
        self.reason, self.is_billed, self.wait_seconds = reason, is_billed, wait_seconds
        self.advice = advice or "check that it runs, or try again later"


async def _post(
    settings: EndpointSettings, key: str | None, body: bytes, seconds: float
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers (names in lower case) and body of one reply.

    Raises:
        _Failure: If there is no whole reply in time.
        _Refusal: If it is too large or compressed.
    """
    import httpx2

    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    url = f"{settings.shown}/chat/completions"
    try:
        async with (
            asyncio.timeout(seconds),
            httpx2.AsyncClient(
                timeout=seconds, trust_env=not settings.is_local, verify=_trusted(url)
            ) as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            if response.headers.get("content-encoding", "identity") != "identity":
                raise _Refusal("its reply is compressed, which was not asked for", "turn that off")
            content = bytearray()
            async for piece in response.aiter_raw():
                content += piece
                if len(content) > _MOST_REPLY_BYTES:
                    raise _Refusal(
                        f"its reply is larger than {_MOST_REPLY_BYTES // 2**20} MiB",
                        "check that the endpoint speaks OpenAI's chat API",
                    )
            found = {name.lower(): value for name, value in response.headers.items()}
            return response.status_code, found, bytes(content)
    except (TimeoutError, httpx2.TimeoutException):
        raise _Failure("it did not answer in time", is_billed=True) from None
    except httpx2.InvalidURL:
        raise _Refusal("its address is not one", "check it") from None
    except httpx2.ConnectError:
        raise _Failure("it cannot be reached", is_billed=False) from None
    except httpx2.HTTPError as error:
        # their texts may hold headers, their kinds do not
        kind = type(error).__name__
        raise _Failure(f"the connection broke ({kind})", is_billed=True) from None


def _trusted(url: str) -> ssl.SSLContext | bool:
    # reading all certificates of the system takes longer than a plain request
    return url.startswith("https:") or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _in_own_loop(work: Callable[[], Any], seconds: float) -> Any:
    """Run a coroutine on a thread of its own, and give back what it gives or raises."""
    outcome: list[Any] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(asyncio.run(work()))
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, name="geofovea-endpoint", daemon=True)
    thread.start()
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not outcome:
        raise _Failure("it did not answer in time", is_billed=True)
    return outcome[0]


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
    except (ValueError, TypeError):
        return None
