"""The reply of a chat endpoint, taken apart without trusting it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["ChatReply", "NotAReplyError", "error_text", "parse_reply", "printable"]

_MOST_CHARACTERS = 4000
_MOST_TOKENS = 10**9


class NotAReplyError(Exception):
    """The bytes are no chat completion; the text says what is wrong, never what they hold.

    Attributes:
        is_damaged: They are not even JSON, so that asking again may help.
    """

    def __init__(self, reason: str, *, is_damaged: bool = False) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.is_damaged = is_damaged


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One completion.

    Attributes:
        text: What the model said, printable and bounded in length.
        log_probabilities: Of each token of the text; None where the endpoint gives none.
        usage: ``(prompt, answer)`` tokens as the endpoint counted them, or None.
        is_cut: Whether the answer ended at the limit on its length.
    """

    text: str
    log_probabilities: tuple[float, ...] | None
    usage: tuple[int, int] | None
    is_cut: bool


def parse_reply(content: bytes) -> ChatReply:
    """Take a body apart as an OpenAI chat completion.

    Raises:
        NotAReplyError: If it is none.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotAReplyError("its reply is not JSON", is_damaged=True) from error
    try:
        choice = body["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise NotAReplyError("its reply is not a chat completion") from error
    if isinstance(text, list):
        # the newer form: parts, of which only texts are of use
        parts = [part.get("text") for part in text if isinstance(part, dict)]
        text = "".join(part for part in parts if isinstance(part, str))
    if text is None:
        text = ""
    if not isinstance(text, str):
        raise NotAReplyError("its reply is not a chat completion")
    return ChatReply(
        printable(text, _MOST_CHARACTERS),
        _log_probabilities(choice.get("logprobs")),
        _usage(body.get("usage")),
        choice.get("finish_reason") == "length",
    )


def error_text(content: bytes) -> str:
    """What an endpoint says about a refused request, printable and short; often nothing."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ""
    found = body
    # {"error": {"message": ...}} of OpenAI, {"message": ...} of vLLM, {"error": "..."} of Ollama
    for name in ("error", "message"):
        if isinstance(found, dict) and name in found:
            found = found[name]
    return printable(found, 200) if isinstance(found, str) else ""


def printable(text: str, most: int) -> str:
    """A text without what a terminal would obey, on one line, cut to ``most`` characters."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return plain[:most]


def _log_probabilities(found: Any) -> tuple[float, ...] | None:
    """Of each token, None unless all are there and possible."""
    content = found.get("content") if isinstance(found, dict) else None
    if not isinstance(content, Sequence) or not content or isinstance(content, str):
        return None
    values = [item.get("logprob") if isinstance(item, dict) else None for item in content]
    numbers = [float(v) for v in values if isinstance(v, (int, float)) and v is not True]
    if len(numbers) != len(values) or any(math.isnan(v) or v > 1e-3 for v in numbers):
        return None
    return tuple(min(0.0, v) for v in numbers)


def _usage(found: Any) -> tuple[int, int] | None:
    if not isinstance(found, dict):
        return None
    counts = found.get("prompt_tokens"), found.get("completion_tokens", 0)
    whole = [c for c in counts if isinstance(c, int) and not isinstance(c, bool)]
    if len(whole) != 2 or not all(0 <= c <= _MOST_TOKENS for c in whole):
        return None
    return whole[0], whole[1]
