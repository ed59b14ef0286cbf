"""A question that nobody wants any more leaves its endpoint at once, whatever that is doing."""

import threading
import time

import pytest
from chat_server import dripping, silent, status

from geofovea.errors import CancelledError
from geofovea.pipeline.hosts.endpoint.client import EndpointClient
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.system.cancellation import cancellable

PAYLOAD = {"model": "m", "messages": [], "max_tokens": 8}


class Cancellation:
    """Comes a little after the first request has reached the server."""

    def __init__(self, server):
        self._server, self._since = server, None

    def check(self):
        if self._server.requests:
            self._since = self._since or time.monotonic()
            if time.monotonic() - self._since > 0.2:
                raise CancelledError("nobody waits")


class Streaming:
    """Sends pieces of an answer without an end, and notes that its reader is gone."""

    def __init__(self):
        self.is_left = threading.Event()

    def __call__(self, handler, request):
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while not handler.server.is_over.wait(0.02):
                handler.wfile.write(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n')
                handler.wfile.flush()
        except OSError:
            self.is_left.set()
            raise


def canceled(server, client):
    begun = time.monotonic()
    with cancellable(Cancellation(server).check), pytest.raises(CancelledError):
        client.complete(PAYLOAD, 100, 8, 1)
    assert time.monotonic() - begun < 20


def client_of(server, limit=None):
    limit = limit or SpendLimit()
    return EndpointClient(
        EndpointSettings(server.url, total_seconds=60, limit=limit), Ledger(limit)
    )


@pytest.mark.parametrize("answer", [silent, dripping], ids=["silent", "dripping"])
def test_it_does_not_wait_for_a_reply(server, answer):
    server.otherwise = answer
    canceled(server, client_of(server))
    assert len(server.requests) == 1


def test_it_does_not_wait_until_it_may_ask_again(server):
    server.otherwise = status(503, "Loading model", Retry_After="30")
    canceled(server, client_of(server))
    assert len(server.requests) == 1


def test_a_stream_is_closed_so_that_its_server_stops_to_work(server):
    server.otherwise = streaming = Streaming()
    canceled(server, client_of(server))
    assert streaming.is_left.wait(20)


def test_what_was_sent_counts_as_spent(server):
    server.otherwise = silent
    client = client_of(server)
    canceled(server, client)
    assert client.ledger.use.calls == 1
    assert client.ledger.use.answer_tokens == 8
