"""The reply of a chat endpoint, taken apart without trusting it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geofovea.datasets.scoring.spoken_answer import spoken_answer
from geofovea.pipeline.hosts.endpoint.sanitize import printable
from geofovea.pipeline.hosts.endpoint.stream import joined_stream

__all__ = ["ChatReply", "NotAReplyError", "parse_reply"]

_MOST_CHARACTERS = 4000
_MOST_TOKENS = 10**9
_CUT = ("length", "max_tokens")
# OpenAI's word, and those of servers that give their own
_ENDED = ("", "stop", "eos", "eos_token", "stop_sequence", "end_turn", *_CUT)
# kinds of parts of a reply that are no thoughts
_TEXT_PARTS = (None, "text", "output_text")


class NotAReplyError(Exception):
    """The bytes are no chat completion; the text says what is wrong, never what they hold.

    Attributes:
        may_pass: Asking again may help: they are not even JSON, or tell of a failure.
    """

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        """Keep the reason."""
        super().__init__(reason)
        self.may_pass = may_pass


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One completion.

    Attributes:
        text: What the model said, without what it thought aloud before, printable and bounded in
            length.
        log_probabilities: Of each token of the text; None where the endpoint gives none.
        usage: ``(prompt, answer)`` tokens as the endpoint counted them, thoughts included, or None.
        is_cut: Whether the answer ended at the limit on its length.
        ended_by: Why it ended early, in the endpoint's word, such as ``content_filter`` or
            ``refusal``; empty where the model ended it or the limit did.
        notes: What a careful reader should know about how it came about.
    """

    text: str
    log_probabilities: tuple[float, ...] | None
    usage: tuple[int, int] | None
    is_cut: bool
    ended_by: str = ""
    notes: tuple[str, ...] = ()


def parse_reply(content: bytes) -> ChatReply:
    """Take a body apart as an OpenAI chat completion, streamed or not.

    Raises:
        NotAReplyError: If it is none.
    """
    body = _body(content)
    try:
        choice = body["choices"][0]
        message = choice["message"]
        written, refusal = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise NotAReplyError("its reply is not a chat completion") from error
    if choice.get("error"):
        raise NotAReplyError("the model behind it failed", may_pass=True)
    text = _text(written)
    spoken = spoken_answer(text)
    answer = spoken.text
    # where the text is not all that was written, its log-probabilities are looked for by its words
    has_more = answer != text.strip() or isinstance(written, list)
    has_thought = has_more or bool(message.get("reasoning_content") or message.get("reasoning"))
    reason = choice.get("finish_reason")
    ended = reason if isinstance(reason, str) else ""
    is_refused = not answer and isinstance(refusal, str) and bool(refusal.strip())
    text = printable(refusal if is_refused else answer, _MOST_CHARACTERS)
    return ChatReply(
        text,
        _log_probabilities(choice.get("logprobs"), answer if has_thought else None)
        if text and not is_refused
        else None,
        _usage(body.get("usage")),
        ended in _CUT,
        "refusal" if is_refused else "" if ended in _ENDED else printable(ended, 40),
        () if is_refused else tuple(printable(doubt, 200) for doubt in spoken.doubts),
    )


def _body(content: bytes) -> Any:
    """The JSON of a reply, or what the events of a stream make together."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        body = joined_stream(content)
        if body is None:
            raise NotAReplyError("its reply is not JSON", may_pass=True) from error
        return body


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        # the newer form: parts, of which only texts are of use, and thoughts may be texts too
        text_parts = [p for p in content if isinstance(p, dict) and p.get("type") in _TEXT_PARTS]
        parts = [part.get("text") for part in text_parts]
        return "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise NotAReplyError("its reply is not a chat completion")
    return content


def _log_probabilities(value: Any, answer: str | None) -> tuple[float, ...] | None:
    """Of each token, None unless all are there and possible.

    Args:
        value: What the endpoint gives.
        answer: The end of the text whose tokens alone are wanted; None for all.
    """
    tokens = value.get("content") if isinstance(value, dict) else None
    if not isinstance(tokens, Sequence) or not tokens or isinstance(tokens, str):
        return None
    if answer is not None:
        tokens = _tokens_of(tokens, answer)
    values = [_number(item.get("logprob")) if isinstance(item, dict) else None for item in tokens]
    numbers = [value for value in values if value is not None]
    if not numbers or len(numbers) != len(values) or max(numbers) > 1e-3:
        return None
    return tuple(min(0.0, value) for value in numbers)


def _tokens_of(content: Sequence[Any], answer: str) -> Sequence[Any]:
    """The last of some tokens that spell an answer, a word that ends the turn aside; or none."""
    tokens = [item.get("token") if isinstance(item, dict) else None for item in content]
    for end in (len(tokens), len(tokens) - 1):
        spelled = ""
        for start in range(end - 1, -1, -1):
            token = tokens[start]
            if not isinstance(token, str) or len(spelled.strip()) > len(answer):
                break
            spelled = token + spelled
            if spelled.strip() == answer:
                return content[start:end]
    return ()


def _number(value: Any) -> float | None:
    """A finite number, or None; JSON may hold integers that no float can."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _usage(value: Any) -> tuple[int, int] | None:
    """Tokens of prompt and answer; None where they are not told or cannot be."""
    if not isinstance(value, dict):
        return None
    prompt, answer, total = (
        count
        if isinstance(count := value.get(f"{name}_tokens"), int) and not isinstance(count, bool)
        else None
        for name in ("prompt", "completion", "total")
    )
    # some write zeros for what they did not count: no prompt is empty
    if prompt is None or not 0 < prompt <= _MOST_TOKENS:
        return None
    # some leave thoughts out of the answer and count them in the total
    counts = [answer] if answer is not None else []
    counts += [total - prompt] if total is not None else []
    if not counts or not 0 <= max(counts) <= _MOST_TOKENS:
        return None
    return prompt, max(counts)
