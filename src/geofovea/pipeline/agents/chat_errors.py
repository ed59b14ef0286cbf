"""Errors in the form that clients of chat completions expect, from a route or from the guard."""

from __future__ import annotations

import json
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from geofovea.pipeline.agents.plain import plain_text

__all__ = ["CHAT_PREFIX", "ChatErrors", "error_body"]

CHAT_PREFIX = "/v1/"
_MOST_BYTES = 64 * 2**10
_KINDS = {
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "not_found"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
}


def error_body(status: int, message: str, param: str | None = None, code: str | None = None) -> Any:
    """The body of an error response.

    Args:
        status: Of the response.
        message: In words.
        param: Which part of the request it is about.
        code: A short name of it; one for the status by default.
    """
    server = ("server_error", None)
    kind, usual = _KINDS.get(status, server if status >= 500 else ("invalid_request_error", None))
    text = plain_text(message.strip())
    return {"error": {"message": text, "type": kind, "param": param, "code": code or usual}}


class ChatErrors:
    """Stands before an application, and rewrites its errors below ``/v1/``."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application, its guard included."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; see ASGI."""
        is_chat = scope["type"] == "http" and scope["path"].startswith(CHAT_PREFIX)
        await self._app(scope, receive, _Rewritten(send) if is_chat else send)


class _Rewritten:
    """A ``send`` that holds an error back until its body is there."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 400:
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        self._body = (self._body + message.get("body", b""))[:_MOST_BYTES]
        if message.get("more_body", False):
            return
        start, self._start = self._start, None
        body = json.dumps(_reshaped(start["status"], self._body)).encode()
        headers = MutableHeaders(scope=start)
        headers["content-type"] = "application/json"
        headers["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _reshaped(status: int, body: bytes) -> Any:
    """What an error says, in the one shape; what has it stays as it is."""
    text = body.decode("utf-8", "replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return error_body(status, text)
    if isinstance(content, dict) and isinstance(content.get("error"), dict):
        return content
    message = content.get("error") if isinstance(content, dict) else text
    return error_body(status, str(message))
