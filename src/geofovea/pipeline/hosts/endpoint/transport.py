"""Sends one request to an endpoint: once, within its time and size, and tells failures apart.

httpx2 is the client that huggingface_hub brings anyway. Its timeouts hold for single reads, so a
server that drips bytes could hold a call forever; the whole request therefore runs as a task that
asyncio ends, in a loop of its own (a notebook has one running already).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from geofovea.pipeline.hosts.endpoint.retry_after import RetryHint
from geofovea.pipeline.hosts.endpoint.sanitize import printable
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.system.cancellation import wait_for
from geofovea.tiling.machine.forks import ForkSafeLock

if TYPE_CHECKING:
    import httpx2

__all__ = ["MAX_DETAIL", "SPEAKS", "Failure", "Refusal", "post"]

Cause = TypeVar("Cause", bound=BaseException)

_MOST_REPLY_BYTES = 4 * 2**20
# a look-up of a name cannot be canceled; it is left alone after this time more
_GRACE_SECONDS = 5.0
# what answers at all takes a connection within this time, however long it then thinks
_CONNECT_SECONDS = 15.0
# no loop takes the time of a call that may last for years
_MOST_SECONDS = 86_400.0
MAX_DETAIL = 200
"""Characters of what others say that are repeated in a message."""
_MORE_TIME = "allow it more time with total_seconds="
SPEAKS = "check that the endpoint speaks OpenAI's chat API"


class Refusal(Exception):  # noqa: N818 - made into an EndpointError where it is known to be final
    """The same request would fail again.

    Attributes:
        is_of_all: Any other request would fail too: nobody is let in, or the address is wrong.
    """

    def __init__(
        self,
        reason: str,
        advice: str,
        detail: str = "",
        *,
        status: int = 0,
        is_billed: bool = False,
        is_of_all: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.advice, self.detail, self.status = reason, advice, detail, status
        self.is_billed, self.is_of_all = is_billed, is_of_all


class Failure(Exception):  # noqa: N818 - likewise
    """The same request may succeed later.

    Attributes:
        wait: How long the endpoint asks to be left alone.
        is_of_all: It is not there, not ready or too busy, whatever it is asked.
        is_waited_for: It is asked again as long as the call may take; otherwise a few times.
    """

    def __init__(
        self,
        reason: str,
        *,
        is_billed: bool,
        wait: RetryHint | None = None,
        advice: str = "",
        detail: str = "",
        status: int = 0,
        is_of_all: bool = False,
        is_waited_for: bool | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.is_billed, self.wait = reason, is_billed, wait
        self.detail, self.status = detail, status
        self.is_of_all = is_of_all
        self.is_waited_for = is_of_all if is_waited_for is None else is_waited_for
        self.advice = advice or "check that it runs, or try again later"


class TimedOut(Failure):
    """No whole reply came within the time that the request had."""


def post(
    settings: EndpointSettings, key: str | None, body: bytes, seconds: float
) -> tuple[int, Mapping[str, str], bytes]:
    """Send a request and wait for its whole reply.

    Args:
        settings: Where to.
        key: Sent as a bearer token; None sends none.
        body: JSON.
        seconds: Longest wait, from connecting to the last byte.

    Returns:
        Status, headers (names in lower case) and body.

    Raises:
        CancelledError: If nobody wants the reply any more; the connection is closed then.
        Failure: If there is no whole reply in time.
        Refusal: If it is too large or compressed, or can never be asked for.
    """
    seconds = min(seconds, _MOST_SECONDS)
    status, headers, content = _in_own_loop(
        lambda: _post(settings, key, body, seconds), seconds + min(seconds, _GRACE_SECONDS)
    )
    return status, headers, content


async def _post(
    settings: EndpointSettings, key: str | None, body: bytes, seconds: float
) -> tuple[int, Mapping[str, str], bytes]:
    import httpx2

    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    url = f"{settings.display_url}/chat/completions"
    client = _client(settings, seconds)
    has_answered = False
    try:
        async with (
            asyncio.timeout(seconds),
            client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            has_answered = True
            content = await _content(response)
            answer_headers = {name.lower(): value for name, value in response.headers.items()}
            return response.status_code, answer_headers, content
    except httpx2.ConnectTimeout:
        raise Failure("it cannot be reached in time", is_billed=False, is_of_all=True) from None
    except (TimeoutError, httpx2.TimeoutException):
        raise TimedOut("it did not answer in time", is_billed=True, advice=_MORE_TIME) from None
    except httpx2.InvalidURL:
        raise Refusal("its address is not one", "check it", is_of_all=True) from None
    except httpx2.ConnectError as error:
        raise _not_connected(error) from None
    except httpx2.ProxyError:
        raise Failure(
            "the proxy of the environment does not let it through",
            is_billed=False,
            advice="see HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or name its host in NO_PROXY",
            is_of_all=True,
            is_waited_for=False,
        ) from None
    except httpx2.HTTPError as error:
        # their texts may hold headers, their kinds do not
        kind = type(error).__name__
        raise Failure(
            f"the connection broke ({kind})",
            is_billed=True,
            # who forwards a port to a server that does not listen yet hangs up at once
            is_waited_for=not has_answered,
        ) from None


def _client(settings: EndpointSettings, seconds: float) -> httpx2.AsyncClient:
    import httpx2

    try:
        return httpx2.AsyncClient(
            timeout=httpx2.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS)),
            trust_env=not settings.is_local,
            verify=_trusted(settings),
        )
    except (ImportError, ValueError, httpx2.InvalidURL):
        # their texts may hold the password of a proxy
        raise Refusal(
            "the proxy in HTTP_PROXY, HTTPS_PROXY or ALL_PROXY cannot be used",
            "name one by an http address there, or the endpoint's host in NO_PROXY",
            is_of_all=True,
        ) from None


async def _content(response: httpx2.Response) -> bytes:
    """The body of a reply as it was sent; one that is compressed or too large is refused."""
    is_billed = 200 <= response.status_code < 300
    if response.headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise Refusal(
            "its reply is compressed, which was not asked for",
            "turn that off",
            is_billed=is_billed,
        )
    content = bytearray()
    async for piece in response.aiter_raw():
        content += piece
        if len(content) > _MOST_REPLY_BYTES:
            raise Refusal(
                f"its reply is larger than {_MOST_REPLY_BYTES // 2**20} MiB",
                SPEAKS,
                is_billed=is_billed,
            )
    return bytes(content)


def _not_connected(error: Exception) -> Refusal | Failure:
    """What it means that no connection came about."""
    if doubt := _doubted(error):
        return Refusal(
            f"its certificate is not trusted ({doubt})",
            "name a file with that of its authority in the environment variable SSL_CERT_FILE",
            is_of_all=True,
        )
    if _caused_by(error, socket.gaierror) is not None:
        # a name that is misspelled would be waited for in vain
        return Failure(
            "it cannot be reached: its host is not known",
            is_billed=False,
            advice="check the name of the host and the network",
            is_of_all=True,
            is_waited_for=False,
        )
    return Failure("it cannot be reached", is_billed=False, is_of_all=True)


def _trusted(settings: EndpointSettings) -> ssl.SSLContext:
    import httpx2

    if not settings.is_encrypted:
        # reading all certificates of the system takes longer than a plain request
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        # that of the environment is for servers on this machine too, other than its proxy
        return httpx2.create_ssl_context()
    except (OSError, ValueError):
        raise Refusal(
            "what SSL_CERT_FILE, SSL_CERT_DIR or SSLKEYLOGFILE names cannot be used",
            "correct the environment variable, or leave it out",
            is_of_all=True,
        ) from None


def _doubted(error: BaseException) -> str:
    """Why a certificate was not trusted, in OpenSSL's words; empty if it was something else."""
    cause = _caused_by(error, ssl.SSLCertVerificationError)
    return "" if cause is None else printable(cause.verify_message, MAX_DETAIL)


def _caused_by(error: BaseException, kind: type[Cause]) -> Cause | None:
    """The first of a kind among an error and what led to it."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, kind):
        cause = cause.__cause__ or cause.__context__
    return cause


def _in_own_loop(work: Callable[[], Coroutine[Any, Any, Any]], seconds: float) -> Any:
    """Run a coroutine on a thread of its own, and give back what it gives or raises."""
    request = _Request(work)
    threading.Thread(target=request.run, name="geofovea-endpoint", daemon=True).start()
    try:
        wait_for(request.has_ended, seconds)
    except BaseException:
        request.end()
        raise
    if request.error is not None:
        raise request.error
    if not request.has_ended.is_set():
        raise TimedOut("it did not answer in time", is_billed=True, advice=_MORE_TIME)
    return request.reply


class _Request:
    """A coroutine in a loop of its own, which another thread may end.

    Attributes:
        reply: What it gave.
        error: What it raised.
        has_ended: Set when one of both is there.
    """

    def __init__(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._work = work
        self._lock = ForkSafeLock()
        self._task: asyncio.Task[Any] | None = None
        self._is_unwanted = False
        self.reply: Any = None
        self.error: BaseException | None = None
        self.has_ended = threading.Event()

    def run(self) -> None:
        """Run it to its end."""
        try:
            self.reply = asyncio.run(self._until_unwanted())
        except BaseException as error:
            self.error = error
        finally:
            self.has_ended.set()

    def end(self) -> None:
        """Have it closed, without waiting: a look-up of a name cannot be canceled."""
        with self._lock:
            self._is_unwanted = True
            if self._task is not None and not self.has_ended.is_set():
                # a loop that is closed has nothing to end
                with suppress(RuntimeError):
                    self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    async def _until_unwanted(self) -> Any:
        with self._lock:
            self._task = asyncio.current_task()
            if self._is_unwanted:
                return None
        return await self._work()
