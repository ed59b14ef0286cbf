"""The server itself: its socket, its token, the address that is printed, and its end."""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp

from geofovea.errors import ServingError
from geofovea.pipeline.answers.showing import has_screen
from geofovea.pipeline.system.loopback import is_loopback
from geofovea.pipeline.viewer.guard import ServedAt
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["Listening", "listen", "run_server"]

_MOST_HEADER_BYTES = 16 * 2**10
_MOST_CONNECTIONS = 64
_GOODBYE_SECONDS = 2
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Listening:
    """A socket that is bound, and the secret that opens what is behind it.

    Attributes:
        socket: Bound to a port; nothing is answered before the server runs.
        served_at: Where it is reached.
        token: 256 random bits.
    """

    socket: socket.socket
    served_at: ServedAt
    token: str

    @property
    def address(self) -> str:
        """What a browser is given; what stands behind ``#`` reaches no log and no other server."""
        name = self.served_at.name
        if self.served_at.is_open and _is_wildcard(name):
            name = "127.0.0.1" if "." in name else "::1"
        host = f"[{name}]" if ":" in name else name
        return f"http://{host}:{self.served_at.port}/#token={self.token}"


def listen(host: str = "127.0.0.1", port: int = 0, *, allow_network: bool = False) -> Listening:
    """Bind a port.

    Args:
        host: A name or an address of this machine.
        port: The port; 0 takes a free one.
        allow_network: Whether it may be reached from other machines. Nothing is encrypted then.

    Raises:
        ServingError: If the address is not of the loopback and that is not allowed, or the port
            cannot be had.
    """
    is_open = not is_loopback(host)
    if is_open and not allow_network:
        raise ServingError(
            f"--host {host} lets other machines reach the scenes, and nothing is encrypted: allow "
            "it with --allow-network, or leave --host out and forward the port with "
            "ssh -L PORT:127.0.0.1:PORT"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = _named_tcp(socket.create_server((host, port), family=family, backlog=_BACKLOG))
    except (OSError, OverflowError) as error:
        reason = reason_of(error)
        raise ServingError(
            f"port {port} of {host} cannot be had ({reason}): choose another with --port, or leave "
            "it out for a free one"
        ) from error
    served_at = ServedAt(bound.getsockname()[1], host, is_open)
    return Listening(bound, served_at, secrets.token_urlsafe(32))


def run_server(
    app: ASGIApp, listening: Listening, *, opens_browser: bool, ready: Callable[[], None]
) -> None:
    """Answer requests until a signal ends it.

    Args:
        app: The application, guard included.
        listening: Its socket.
        opens_browser: Whether the address is opened in the user's browser.
        ready: Called once requests are answered.
    """
    # what it would say of requests is of no use to who asked; ours say it in words
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    server = uvicorn.Server(server_config(app))

    def tell() -> None:
        while not server.started and not server.should_exit:
            time.sleep(0.02)
        if server.started:
            ready()
            if opens_browser and has_screen():
                webbrowser.open(listening.address)

    threading.Thread(target=tell, name="geofovea-ready", daemon=True).start()
    server.run(sockets=[listening.socket])


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves an application: bounded, and without a word about itself."""
    return uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="auto",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_graceful_shutdown=_GOODBYE_SECONDS,
    )


def _named_tcp(bound: socket.socket) -> socket.socket:
    """The same socket, known to be of TCP.

    Only of such a one asyncio sends small pieces at once; else the second piece of a response waits
    up to 40 ms for the first one to be acknowledged.
    """
    family, kind = bound.family, bound.type
    return socket.socket(family, kind, socket.IPPROTO_TCP, fileno=bound.detach())


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False
