"""Parameters of a chat request that some endpoints do not take, and how to do without them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

__all__ = ["adapted", "is_too_much", "refused_parameter"]

# what can be left out, in the words that refusals have for it
_NAMES = {
    "logprobs": re.compile(r"log[-_ ]?prob", re.IGNORECASE),
    "max_tokens": re.compile(r"max[-_ ]?tokens", re.IGNORECASE),
    "temperature": re.compile(r"temperature", re.IGNORECASE),
    "stream": re.compile(r"\bstream\b|['\"]stream", re.IGNORECASE),
}
# some serve nothing but streams
_WANTS_STREAM = re.compile(
    r"stream\b[^.;]{0,25}\btrue\b"
    r"|non[- ]?stream|stream(?:ing)? (?:is |mode is )?(?:required|only)|(?:only|requires?) stream",
    re.IGNORECASE,
)
_STREAMED = "stream: false"
_TOO_MUCH = re.compile(r"context|too long|too large|image\(s\)|images", re.IGNORECASE)
_REFUSES = re.compile(
    r"support|unknown|unexpected|unrecogni[sz]ed|not (?:allowed|permitted|available|accepted)"
    r"|invalid|extra (?:inputs?|fields?)|deprecated|forbidden|must be|only",
    re.IGNORECASE,
)
# what these statuses speak of is how much is asked for, and when
_PATIENCE = frozenset({408, 425, 429})


def is_too_much(text: str) -> bool:
    """Whether a refusal is about the size of the prompt."""
    return _TOO_MUCH.search(text) is not None


def refused_parameter(text: str, status: int, request: Mapping[str, Any]) -> str | None:
    """The parameter of a request that a reply refuses, whatever its status says.

    Gateways turn the refusal of a server behind them into a fault of their own, such as 500.

    Args:
        text: What the endpoint says in words.
        status: Of its reply.
        request: The request.

    Returns:
        One of those that can be done without; None if none is named, or only in passing.
    """
    if request.get("stream") is False and _WANTS_STREAM.search(text):
        return _STREAMED
    matches = (name for name, words in _NAMES.items() if name in request and words.search(text))
    name = next(matches, None)
    if (status in _PATIENCE or is_too_much(text)) and not _REFUSES.search(text):
        return None
    return name


def adapted(payload: Mapping[str, Any], refused: Collection[str]) -> dict[str, Any]:
    """A request without what is refused; the length of an answer stays bounded."""
    request = {name: value for name, value in payload.items() if name not in refused}
    if "max_tokens" in refused and "max_tokens" in payload:
        # the newer word of the same API
        request["max_completion_tokens"] = payload["max_tokens"]
    if _STREAMED in refused:
        request["stream"] = True
    return request
