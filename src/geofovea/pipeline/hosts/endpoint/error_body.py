"""Reads the error bodies of endpoints, in the shapes that the various servers use.

OpenAI, OpenRouter, llama.cpp: ``{"error": {"message", "code", "param"}}``; Ollama, LM Studio:
``{"error": text}``; vLLM, SGLang: ``{"message", "code"}``; what is built on FastAPI:
``{"detail": [{"loc", "msg"}]}``, which Mistral puts under ``message``; Google wraps the first into
a list.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from geofovea.pipeline.hosts.endpoint.sanitize import printable

__all__ = ["ChatError", "error_of"]

_NAMES = ("error", "errors", "message", "detail", "msg")
_DEEPEST = 6
_MOST_ITEMS = 4
_MOST_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class ChatError:
    """What an endpoint says about a request that it did not answer.

    Attributes:
        text: In its words, printable and on one line, with the parameter that it names; often
            empty.
        code: The status that it gives within the body, or None.
    """

    text: str = ""
    code: int | None = None


def error_of(content: bytes) -> ChatError:
    """What a body says; nothing where it says nothing or is not JSON."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return ChatError()
    choices = body.get("choices") if isinstance(body, dict) else None
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        # a model that failed behind a gateway leaves its error in the choice
        body = {"error": choices[0].get("error")}
    return ChatError(printable(_words(body, 0), _MOST_CHARACTERS), _code(body))


def _words(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(item, depth + 1) for item in value[:_MOST_ITEMS])))
    if not isinstance(value, dict):
        return ""
    text = next(filter(None, (_words(value.get(name), depth + 1) for name in _NAMES)), "")
    behind = value.get("metadata")
    raw = behind.get("raw") if isinstance(behind, dict) else None
    if isinstance(raw, str) and raw:
        # what the provider behind a gateway said, in its own shape
        text = f"{text}: {raw}" if text else raw
    place, parameter = value.get("loc"), value.get("param")
    if isinstance(place, list) and place and isinstance(place[-1], str):
        parameter = place[-1]
    return (
        f"{text} ({parameter})"
        if text and isinstance(parameter, str) and parameter not in text
        else text
    )


def _code(value: Any) -> int | None:
    for _ in range(_DEEPEST):
        if isinstance(value, list):
            value = value[0] if value else None
        if not isinstance(value, dict):
            return None
        code = value.get("code")
        if isinstance(code, int) and not isinstance(code, bool):
            return code
        if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) == 3:
            return int(code)
        value = value.get("error")
    return None
