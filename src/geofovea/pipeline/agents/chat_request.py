"""What a client of chat completions sends, checked and made into a question about a scene."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geofovea.errors import QuestionError
from geofovea.pipeline.viewer.job_request import JobRequest

__all__ = ["ChatRequest", "ChatRequestError"]

_MOST_MESSAGES = 512
# members that ask for something that an answer cannot have
_REFUSED = {
    "tools": "no tools are called here; the tools of agents are served at /mcp",
    "functions": "no functions are called here; the tools of agents are served at /mcp",
    "audio": "answers are text",
    "logprobs": "probabilities of tokens are not given; the confidence is in geofovea.confidence",
    "web_search_options": "nothing but the scene is read",
}
_OWN = ("region", "budget", "choices")


class ChatRequestError(QuestionError):
    """A request that cannot be answered.

    Attributes:
        param: Which member it is about, None for the whole.
    """

    def __init__(self, message: str, param: str | None = None) -> None:
        """Say what is wrong, and with which member."""
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat request of which the last message is asked.

    Attributes:
        model: The scene, by its id or as ``scene:ID``.
        question: The last message.
        is_streamed: Whether chunks are wanted.
        limits: ``region``, ``budget`` and ``choices``, as `JobRequest` has them.
        notes: What was not taken into account, in sentences.
    """

    model: str
    question: str
    is_streamed: bool
    limits: Mapping[str, Any]
    notes: tuple[str, ...]

    @classmethod
    def from_json(cls, body: Any) -> ChatRequest:
        """Read the body of a request.

        Raises:
            ChatRequestError: If it is not a chat request, or asks for something unsupported.
        """
        if not isinstance(body, dict):
            raise ChatRequestError("a request is an object with model and messages")
        model = body.get("model")
        if not isinstance(model, str) or not model:
            raise ChatRequestError("model names a scene, such as scene:1; see /v1/models", "model")
        for name, why in _REFUSED.items():
            if body.get(name):
                raise ChatRequestError(f"{name} is not supported: {why}", name)
        if body.get("n") not in (None, 1):
            raise ChatRequestError("there is one answer to a question: leave n out", "n")
        form = body.get("response_format")
        if form is not None and (not isinstance(form, dict) or form.get("type") != "text"):
            raise ChatRequestError("answers are plain text", "response_format")
        question, notes = _question(body.get("messages"))
        own = body.get("geofovea")
        if own is not None and (not isinstance(own, dict) or not set(own) <= set(_OWN)):
            raise ChatRequestError(f"geofovea is an object with {', '.join(_OWN)}", "geofovea")
        return cls(model, question, body.get("stream") is True, own or {}, notes)

    def job(self, scene_id: str) -> JobRequest:
        """The question about a scene.

        Raises:
            BadJobError: If a limit is of the wrong kind.
        """
        return JobRequest.from_json(
            {"scene": scene_id, "question": self.question, **dict(self.limits)}
        )


def _question(messages: Any) -> tuple[str, tuple[str, ...]]:
    """The last message as a question, and what was left out."""
    if not isinstance(messages, list) or not 1 <= len(messages) <= _MOST_MESSAGES:
        raise ChatRequestError(f"messages is a list of 1 to {_MOST_MESSAGES} messages", "messages")
    last = messages[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        raise ChatRequestError("the last message is what is asked, of the role user", "messages")
    notes: tuple[str, ...] = ()
    if len(messages) > 1:
        notes = ("each question stands alone: only the last message was asked",)
    return _text_of(last.get("content")), notes


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [
        part["text"]
        for part in parts
        if isinstance(part, dict)
        and part.get("type") == "text"
        and isinstance(part.get("text"), str)
    ]
    if len(texts) != len(parts):
        raise ChatRequestError(
            "the content of a message is text; the picture is the scene that model names",
            "messages",
        )
    return "\n".join(texts)
