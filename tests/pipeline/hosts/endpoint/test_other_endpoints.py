"""Servers of other makes: what they send, byte by byte, is understood or refused in words."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest

from geofovea.errors import EndpointError
from geofovea.pipeline.hosts.endpoint.client import EndpointClient
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit

PAYLOAD = {"model": "m", "messages": [], "max_tokens": 8, "temperature": 0, "logprobs": True}


@contextmanager
def socket_server(*replies):
    """Sends each reply verbatim to one connection and closes it; the last one again and again."""
    listener = socket.create_server(("127.0.0.1", 0))
    served = []

    def serve():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += connection.recv(65536)
                head, _, body = head.partition(b"\r\n\r\n")
                lines = head.lower().splitlines()
                length = next(int(x.split(b":")[1]) for x in lines if b"content-length" in x)
                while len(body) < length:
                    body += connection.recv(65536)
                connection.sendall(replies[min(len(served), len(replies) - 1)])
                served.append(json.loads(body))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", served
    finally:
        # wakes the thread that waits for a connection
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def asked(url, attempts=3):
    wanted = EndpointSettings(
        url, limit=SpendLimit(), attempt_seconds=20.0, total_seconds=40.0, pause_seconds=0.01,
        attempts=attempts,
    )  # fmt: skip
    return EndpointClient(wanted, Ledger(wanted.limit)).complete(PAYLOAD, 1000, 8, 1)


def message(content, **more):
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]} | more)


def http(body, head="HTTP/1.1 200 OK", kind="Content-Type: application/json\r\n", more=""):
    raw = body.encode() if isinstance(body, str) else body
    return f"{head}\r\n{kind}{more}Content-Length: {len(raw)}\r\n\r\n".encode() + raw


def chunked(text):
    raw = text.encode()
    parts = [raw[i : i + 7] for i in range(0, len(raw), 7)]
    body = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in parts)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\n"
    return head + b"transfer-encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


OLD = b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + message("yes").encode()
LEGACY = json.dumps(
    {
        "choices": [
            {
                "message": {"content": "yes", "refusal": None, "reasoning_content": "hm"},
                "logprobs": {"tokens": ["yes"], "token_logprobs": [-0.1]},
                "finish_reason": None,
            }
        ],
        "usage": None,
    }
)


@pytest.mark.parametrize(
    "reply",
    [
        OLD,
        chunked(message("yes")),
        http(message("yes"), kind=""),
        http(b"\xef\xbb\xbf" + message("yes").encode()),
        http(LEGACY),
        http(message([{"type": "text", "text": "y"}, {"type": "text", "text": "es"}])),
        http(message("yes", usage={"prompt_tokens": 9.5, "completion_tokens": None})),
        http(message("yes", usage={"total_tokens": 12})),
    ],
    ids=["1.0", "chunked", "no type", "bom", "legacy", "parts", "odd usage", "total alone"],
)
def test_what_other_makes_send_is_understood(reply):
    with socket_server(reply) as (url, _):
        found = asked(url)
    assert (found.text, found.usage) == ("yes", None)
    assert found.log_probabilities is None


def test_no_content_is_an_empty_answer():
    with socket_server(http(message(None))) as (url, _):
        assert asked(url).text == ""


PAGE = "<html><body><h1>Too Many Requests</h1></body></html>"
HTML = "Content-Type: text/html\r\n"


@pytest.mark.parametrize("wait", ["", "Retry-After: 0.01\r\n", "Retry-After: soon\r\n",
                                  "Retry-After: Fri, 01 Jan 2021 00:00:00 GMT\r\n",
                                  "Retry-After: nan\r\n"])  # fmt: skip
@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_page_that_asks_for_patience_is_waited_out(status, wait):
    busy = http(PAGE, f"HTTP/1.1 {status} Busy", HTML, wait)
    with socket_server(busy, busy, http(message("yes"))) as (url, served):
        assert asked(url).text == "yes"
    assert len(served) == 3


def test_a_page_of_an_error_is_not_repeated_in_the_message():
    expected = pytest.raises(EndpointError, match=r"answered 502 \(2 attempts\)")
    page = http(PAGE, "HTTP/1.1 502 Bad Gateway", HTML)
    with socket_server(page) as (url, served), expected as caught:
        asked(url, attempts=2)
    assert "<" not in str(caught.value)
    assert len(served) == 2


@pytest.mark.parametrize(
    ("reply", "reason", "calls"),
    [
        (
            http("data: {}\n\ndata: [DONE]\n\n", kind="Content-Type: text/event-stream\r\n"),
            "it streams its reply",
            2,
        ),
        (
            http('{"error": {"message": "the model is not loaded", "code": 500}}'),
            "not a chat completion .the model is not loaded.",
            2,
        ),
        (http('{"choices": []}'), "not a chat completion", 1),
        (http("[]"), "not a chat completion", 1),
        (http("null"), "not a chat completion", 1),
        (http(PAGE, kind=""), "not JSON", 2),
        (http(PAGE, kind=HTML), "not JSON but of another type", 1),
        (b"", "the connection broke", 2),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "the connection broke", 2),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "the connection broke", 2),
    ],
)
def test_what_is_no_answer_is_refused_in_words(reply, reason, calls):
    expected = pytest.raises(EndpointError, match=reason)
    with socket_server(reply) as (url, served), expected as caught:
        asked(url, attempts=2)
    assert len(served) == calls
    assert "\n" not in str(caught.value)
