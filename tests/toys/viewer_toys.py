"""What tests of the page's server share: a gate before a scene's pixels, and ends of jobs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.serving import listen, server_config

SECONDS = 60


class Gate:
    """Holds whoever reads a tile of the model until it is opened."""

    def __init__(self, session: Any) -> None:
        self._session, self._read = session, session.reader.read
        self.reached, self._open = threading.Event(), threading.Event()
        session.reader.read = self._held

    def _held(self, tile: Any) -> Any:
        self.reached.set()
        assert self._open.wait(SECONDS), "nobody opened the gate"
        return self._read(tile)

    def wait(self) -> None:
        """Until a question stands before it."""
        assert self.reached.wait(SECONDS), "no question came to the gate"

    def open(self) -> None:
        """Let all pass from now on."""
        self._open.set()


@contextmanager
def gate_before(session: Any) -> Iterator[Gate]:
    """A gate before the pixels of a session; open at the end, whatever happens."""
    gate = Gate(session)
    try:
        yield gate
    finally:
        gate.open()


def until(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until something is so."""
    ends = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < ends, f"{what} did not happen within {SECONDS} s"
        time.sleep(0.005)


def ended(job: Any) -> Any:
    """A job, once it has ended."""
    until(lambda: job.has_ended, "the end of the job")
    return job


def names_of(job: Any) -> list[str]:
    """The names of its events."""
    return [event.name for event in job.events_after(0)]


def last_of(job: Any) -> tuple[str, dict[str, Any]]:
    """Its last event, with the data."""
    event = job.events_after(0)[-1]
    return event.name, json.loads(event.text)


@contextmanager
def running(desk: Any, make: Any = make_app) -> Iterator[tuple[tuple[str, int], str]]:
    """An application over a desk, on a real socket: ``(address, token)``."""
    listening = listen()
    app = make(desk, listening.token, listening.served_at)
    server = uvicorn.Server(server_config(app))
    thread = threading.Thread(target=server.run, args=([listening.socket],), daemon=True)
    thread.start()
    until(lambda: server.started, "the start of the server")
    try:
        yield listening.socket.getsockname(), listening.token
    finally:
        server.should_exit = True
        thread.join(30)
        listening.socket.close()
