"""Who may talk to the server, and how much at a time: the outermost layer of the application.

Every page in the user's browser can reach a server on the loopback, and so can any name that
somebody points at 127.0.0.1. A request must therefore go to our own address, come from our own
page, and carry the token that was printed in the terminal. No cookie is used, so that a browser
adds nothing by itself.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADERS", "MOST_BODY_BYTES", "Guard", "ServedAt"]

MOST_BODY_BYTES = 64 * 2**10
_BODY_SECONDS = 20.0
_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types default"
    ),
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
}
"""Of every response."""


@dataclass(frozen=True, slots=True)
class ServedAt:
    """Where the server is reached.

    Attributes:
        port: Its port.
        name: The name or address that was given to listen on.
        is_open: Whether it listens beyond this machine.
    """

    port: int
    name: str = "127.0.0.1"
    is_open: bool = False

    def is_host(self, host: str, own_address: str | None) -> bool:
        """Whether a ``Host`` header names this server.

        Args:
            host: The header.
            own_address: The address at which the connection arrived. Nobody can point a name at an
                address that is written in numbers.
        """
        return host.lower() in self._hosts(own_address)

    def is_origin(self, origin: str, own_address: str | None) -> bool:
        """Whether an ``Origin`` header is that of our own page."""
        scheme, _, host = origin.lower().partition("://")
        return scheme == "http" and self.is_host(host, own_address)

    def _hosts(self, own_address: str | None) -> set[str]:
        names = {*_LOOPBACK_NAMES}
        if self.is_open:
            names.add(_bracketed(self.name.lower()))
            if own_address and _is_address(own_address):
                names.add(_bracketed(own_address))
        # browsers leave the port of http out
        bare = names if self.port == 80 else set()
        return {f"{name}:{self.port}" for name in names} | bare


class Guard:
    """Refuses what does not come from our own page or from who has the token; bounds bodies."""

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        served_at: ServedAt,
        public: Collection[str],
        most_body_bytes: int = MOST_BODY_BYTES,
    ) -> None:
        """Stand before an application.

        Args:
            app: The application.
            token: What a request has to bring as ``Authorization: Bearer``.
            served_at: Where the server is reached.
            public: Paths without data, which are given without a token: the page loads them before
                it knows the token.
            most_body_bytes: The most that a request may bring.
        """
        self._app = app
        self._token = token.encode()
        self._served_at = served_at
        self._public = frozenset(public)
        self._most = most_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; see ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            # there is no WebSocket here
            await send({"type": "websocket.close", "code": 1008})
            return
        guarded = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, guarded)
            return
        await self._app(scope, self._bounded(receive), guarded)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        own = scope["server"][0] if scope.get("server") else None
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._served_at.is_host(hosts[0], own):
            return _said(421, "this server is reached by the address that it printed, and no other")
        if any(not self._served_at.is_origin(origin, own) for origin in origins):
            return _said(403, "other pages may not ask this server")
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return _said(
                403, "other pages may not ask this server: open the printed address in a new tab"
            )
        if not self._is_small(headers):
            return _said(413, f"a request has at most {self._most} bytes")
        if scope["path"] in self._public or self._is_known(headers):
            return None
        has_token = "authorization" in headers
        answer = _said(
            401,
            "the token is not that of this server: open the address that it printed in the terminal"
            if has_token
            else "this needs the token: open the address that the server printed in the terminal, "
            "or send it as Authorization: Bearer TOKEN",
        )
        answer.headers["www-authenticate"] = "Bearer"
        return answer

    def _is_known(self, headers: Headers) -> bool:
        values = headers.getlist("authorization")
        scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
        # as bytes: texts outside of ASCII are not compared
        is_right = secrets.compare_digest(token.strip().encode("utf-8", "replace"), self._token)
        return scheme.lower() == "bearer" and is_right

    def _is_small(self, headers: Headers) -> bool:
        lengths = headers.getlist("content-length")
        return all(length.isdecimal() and int(length[:20]) <= self._most for length in lengths)

    def _bounded(self, receive: Receive) -> Receive:
        """Count what really arrives, for a length may be missing, and wait for it only so long."""
        count, is_whole = 0, False

        async def bounded() -> Message:
            nonlocal count, is_whole
            if is_whole:
                return await receive()
            try:
                # in this task: whoever only looks whether a client is still there waits for nothing
                async with asyncio.timeout(_BODY_SECONDS):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the request did not arrive in time") from None
            if message["type"] == "http.request":
                count += len(message.get("body", b""))
                is_whole = not message.get("more_body", False)
            if count > self._most:
                raise HTTPException(413, f"a request has at most {self._most} bytes")
            return message

        return bounded


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return with_headers


def _said(status: int, text: str) -> PlainTextResponse:
    return PlainTextResponse(text + "\n", status)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
