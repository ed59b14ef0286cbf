"""Joins a streamed reply: some servers stream even when asked not to.

Server-sent events (``data: {...}`` lines) and JSON lines, with the pieces of OpenAI's chat API or
of Ollama's own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["joined_stream"]

_END = "[DONE]"


def joined_stream(content: bytes) -> dict[str, Any] | None:
    """The chat completion that a stream spells.

    Args:
        content: The whole body.

    Returns:
        A completion, or the object with which the stream tells of an error; None if it is no
        stream, or one that ended before its end.
    """
    pieces = list(_pieces(content))
    if not all(isinstance(piece, dict) for piece in pieces):
        return None
    if failed := next((piece for piece in pieces if piece.get("error")), None):
        return dict(failed)
    if not any(_choice(piece) for piece in pieces):
        return None
    texts: list[str] = []
    thoughts: list[str] = []
    tokens: list[Any] = []
    reason, usage, is_over = None, None, content.rstrip().endswith(_END.encode())
    for piece in pieces:
        choice = _choice(piece)
        delta = choice.get("delta") or choice.get("message") or {}
        if isinstance(delta, dict):
            texts += [t for t in [delta.get("content")] if isinstance(t, str)]
            thought = delta.get("reasoning_content") or delta.get("reasoning")
            thoughts += [thought] if isinstance(thought, str) else []
        probabilities = choice.get("logprobs")
        tokens += probabilities.get("content") or [] if isinstance(probabilities, dict) else []
        reason = choice.get("finish_reason") or reason
        usage = piece.get("usage") or usage
        is_over = is_over or reason is not None
    if not is_over:
        return None
    message = {"role": "assistant", "content": "".join(texts)}
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    whole = {"message": message, "finish_reason": reason, "logprobs": {"content": tokens}}
    return {"choices": [whole], "usage": usage}


def _choice(piece: dict[str, Any]) -> dict[str, Any]:
    """The part of a piece that adds to the answer."""
    choices = piece.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return dict(choices[0])
    if isinstance(piece.get("message"), dict) or isinstance(piece.get("response"), str):
        # Ollama's own: the last piece says that it is done, and why
        message = piece.get("message") or {"content": piece["response"]}
        reason = (piece.get("done_reason") or "stop") if piece.get("done") is True else None
        return {"message": message, "finish_reason": reason}
    return {}


def _pieces(content: bytes) -> Iterator[Any]:
    """The JSON values of all events or lines; None for what is not JSON."""
    pending = ""
    # no other line ends: JSON texts may hold those
    for line in content.decode("utf-8", errors="replace").split("\n"):
        name, colon, value = line.partition(":")
        if not line.strip() or (colon and name in ("", "event", "id", "retry")):
            continue
        text = (value if name == "data" else line).strip()
        if text == _END:
            break
        pending += text
        try:
            yield json.loads(pending)
        except (ValueError, RecursionError):
            # one value may go over several lines
            continue
        pending = ""
    if pending:
        yield None
