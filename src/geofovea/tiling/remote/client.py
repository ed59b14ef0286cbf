"""Ranges of far-away files over HTTP(S), one bounded request at a time.

GDAL has a network client of its own, which follows redirects to any host, takes credentials from
the environment, and keeps what it read under the name alone. None of that can be switched off, so
GDAL gets a file object instead: every request goes to an allowed host, every reply is compared with
the file that was found, and a failure is a typed error of the read that met it.
"""

from __future__ import annotations

import base64
import http.client
import re
import socket
import ssl
import threading
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urljoin

from geofovea.errors import (
    GeoFoveaError,
    SceneNotFoundError,
    SceneReadError,
    SceneRefusedError,
)
from geofovea.tiling.remote.names import redacted
from geofovea.tiling.remote.policy import RemoteObject, check_host, split_url
from geofovea.tiling.remote.signing import signed_url

__all__ = ["TRANSIENT", "RangeClient", "Reply"]

SOCKET_SECONDS = 10.0
"""Longest wait for a connection and for the next bytes."""

REQUEST_SECONDS = 60.0
"""Longest time for one request, however slowly it drips."""

TRANSIENT = (408, 429, 500, 502, 503, 504)
"""What a server answers when another attempt may succeed."""

MAX_ATTEMPTS = 3

LONGEST_WAIT = 4.0
"""For how many seconds a server is left alone that asks for it; who asks for more ends the read."""

MAX_REDIRECTS = 5
_PAUSE_SECONDS = 0.2
_DOWNLOAD = "download it and give its path"
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)$")


class _Transient(Exception):  # noqa: N818  (a state, never seen outside)
    """A failure that another attempt may not meet.

    Attributes:
        wait_s: For how many seconds the server asks to be left alone.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class Reply(NamedTuple):
    """One range as the server sent it."""

    content: bytes
    size_bytes: int
    validators: tuple[str, str]


class RangeClient:
    """Asks a server for ranges of one file over one kept connection; for one thread."""

    def __init__(self, remote: RemoteObject) -> None:
        self.remote = remote
        self._connection: http.client.HTTPConnection | None = None
        self._server = ("", "")
        # what the server answered last; 0 before
        self.status = 0
        # where a redirect led, so that it is followed once
        self._target: str | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def fetch(self, start: int, stop: int) -> Reply:
        """The bytes from ``start`` up to ``stop``, or up to the end of the file.

        Raises:
            SceneNotFoundError: If the server has no such file.
            SceneRefusedError: If a redirect leads to a host that is not allowed.
            SceneReadError: If the server does not send them in time, not in ranges, not whole, or
                sends another version of the file.
        """
        reason, wait_s = "", 0.0
        for attempt in range(MAX_ATTEMPTS):
            time.sleep(max(_PAUSE_SECONDS * attempt, wait_s))
            try:
                return self._follow(start, stop)
            except BaseException as error:
                # what is left of a reply must not be taken for the next one
                self.close()
                reason = _reason_to_ask_again(error)
                if not reason:
                    raise
                wait_s = getattr(error, "wait_s", 0.0)
                if wait_s > LONGEST_WAIT:
                    raise self._error(
                        f"{reason} and asks to be left alone for {wait_s:.0f} s",
                        "try again after that",
                    ) from error
            self._target = None
        raise self._error(f"{reason} ({MAX_ATTEMPTS} attempts)", "try again later")

    def _follow(self, start: int, stop: int) -> Reply:
        remote = self.remote
        url = self._target or signed_url(remote.url)
        allowed = (*remote.allowed_hosts, *_signed_host(remote.url, url))
        for _ in range(MAX_REDIRECTS + 1):
            with self._send(split_url(url), start, stop) as response:
                location = response.getheader("Location")
                if not 300 <= response.status < 400 or location is None:
                    return self._receive(response, start, stop)
            self.close()
            before = url
            try:
                url = urljoin(url, location)
            except ValueError as error:
                raise self._error(
                    "the server redirects to something that is not an address",
                    "give the address that is meant",
                ) from error
            parts = split_url(url)
            check_host(parts, allowed, f"{remote.display_name} redirects to {redacted(url)}")
            if before.startswith("https:") and parts.scheme != "https":
                raise SceneRefusedError(
                    f"{remote.display_name!r} redirects from https to {parts.scheme}, which is not "
                    "safe; give the address that it leads to"
                )
            self._target = url
        raise self._error(f"more than {MAX_REDIRECTS} redirects", "give the address they lead to")

    def _send(self, parts: SplitResult, start: int, stop: int) -> http.client.HTTPResponse:
        server = (parts.scheme, parts.netloc.rpartition("@")[2])
        if self._connection is None or self._server != server:
            self.close()
            self._connection, self._server = _connect(parts), server
        headers = {
            "Range": f"bytes={start}-{stop - 1}",
            "Accept-Encoding": "identity",
            "User-Agent": "geofovea",
        }
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with _Deadline(self._connection):
            self._connection.request("GET", path, headers=headers)
            return self._connection.getresponse()

    def _receive(self, response: http.client.HTTPResponse, start: int, stop: int) -> Reply:
        self.status = response.status
        self._check_status(response)
        content_range = _CONTENT_RANGE.match(response.getheader("Content-Range", ""))
        if response.status != 206:
            raise self._error(
                f"the server answered {response.status}", "check the URL and the rights to read it"
            )
        if content_range is None:
            raise self._error(
                "the server does not say which part of how large a file it sent", _DOWNLOAD
            )
        if response.getheader("Content-Encoding", "identity").strip().lower() != "identity":
            raise self._error("the server compresses what it sends", _DOWNLOAD)
        first, last, size_bytes = (int(number) for number in content_range.groups())
        validators = (response.getheader("ETag", ""), response.getheader("Last-Modified", ""))
        remote = self.remote
        if remote.size_bytes and (size_bytes, validators) != (remote.size_bytes, remote.validators):
            raise self._error("it changed on the server", "open the scene again")
        if first != start or last != min(stop, size_bytes) - 1:
            raise self._error("the server sent another range", _DOWNLOAD)
        assert self._connection is not None  # noqa: S101  (for the type checker)
        with _Deadline(self._connection):
            # one byte more than there is, for a longer reply may be of something else
            content = response.read(last - first + 2)
        if len(content) < last - first + 1:
            raise _Transient("the reply was cut short")
        if len(content) > last - first + 1:
            raise self._error("the server sent more than it said", _DOWNLOAD)
        return Reply(content, size_bytes, validators)

    def _check_status(self, response: http.client.HTTPResponse) -> None:
        """Refuse replies whose status says why they hold no part of the file."""
        status = response.status
        if status in TRANSIENT:
            wait_s = _seconds_of(response.getheader("Retry-After", ""))
            raise _Transient(f"the server answered {status}", wait_s)
        if status in (404, 410):
            raise SceneNotFoundError(
                f"there is no file {self.remote.display_name!r} (the server answered {status}); "
                "check the URL"
            )
        if status == 200:
            raise self._error("the server does not serve ranges of bytes", _DOWNLOAD)
        if status == 416:
            raise self._error(
                "the server has no such part of it (it answered 416)",
                "open the scene again if the file was replaced, or download it and give its path",
            )

    def _error(self, reason: str, advice: str) -> SceneReadError:
        return SceneReadError(f"{self.remote.display_name!r} could not be read: {reason}; {advice}")


class _Deadline:
    """Cuts the connection when a request takes too long, byte by byte or otherwise."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._timer = threading.Timer(REQUEST_SECONDS, self._shut_down)
        self._timer.daemon = True
        self._is_over = False

    def _shut_down(self) -> None:
        self._is_over = True
        if self._connection.sock is not None:
            with suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._is_over:
            # half a reply may look like a whole one, or like any other failure
            raise _Transient("the server did not answer in time")


def _connect(parts: SplitResult) -> http.client.HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            host, parts.port, timeout=SOCKET_SECONDS, context=context
        )
    return http.client.HTTPConnection(host, parts.port, timeout=SOCKET_SECONDS)


def _seconds_of(retry_after: str) -> float:
    """What ``Retry-After`` asks for: seconds or a date (RFC 9110, 10.2.3); 0 for anything else."""
    text = retry_after.strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    return max(0.0, moment.timestamp() - time.time())


def _signed_host(url: str, signed: str) -> tuple[str, ...]:
    # allowing a bucket allows the server that the caller's own settings put it on
    return (split_url(signed).hostname or "",) if url != signed else ()


def _reason_to_ask_again(error: BaseException) -> str:
    """Why another attempt may succeed; empty where it would not."""
    if isinstance(error, _Transient):
        return str(error)
    # some of our own errors are of the kinds below, too
    if isinstance(error, GeoFoveaError):
        return ""
    if isinstance(error, (OSError, http.client.HTTPException, ValueError)):
        # their texts may hold the URL or a header, their kinds do not
        return _plain_reason(error)
    return ""


def _plain_reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server did not answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"the connection failed ({type(error).__name__})"
