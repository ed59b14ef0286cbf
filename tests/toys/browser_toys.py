"""A real server and a real browser for the tests of the page."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.serving import Listening, listen, server_config

WEB = Path(__file__).parents[2] / "web"

CHROMIUM_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def missing(reason: str) -> None:
    """Skip a test whose program is not installed; where CI runs, everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def chromium_path() -> str:
    """Debian's Chromium; `make browser` installs it."""
    path = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    )
    if not path:
        missing("there is no Chromium: make browser installs it")
    return str(path)


@contextmanager
def serving(desk: Desk) -> Iterator[Listening]:
    """The server of ``geofovea serve`` in a thread of its own, on a free port."""
    listening = listen()
    app = make_app(desk, listening.token, listening.served_at)
    server = uvicorn.Server(server_config(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening.socket]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield listening
    finally:
        server.should_exit = True
        thread.join(30)
        listening.socket.close()


@dataclass
class Witness:
    """What a page did that no page may do: a foreign request, an error, a failed request.

    Attributes:
        page: Of playwright.
        origin: From where everything has to come.
        faults: What happened, in words; a test that expects some clears it.
    """

    page: Any
    origin: str
    faults: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Listen from now on."""
        self._is_paused = False
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self._note(f"script: {error}"))
        self.page.on("request", self._on_request)
        self.page.on("requestfailed", self._on_failure)
        self.page.on("response", self._on_response)

    def pause(self) -> None:
        """Overlook what a reload breaks off."""
        self._is_paused = True

    def resume(self) -> None:
        """Look again."""
        self._is_paused = False

    def forget_aborted(self) -> None:
        """Overlook requests that the browser gave up itself, and nothing else."""
        self.faults = [fault for fault in self.faults if "net::ERR_ABORTED" not in fault]

    def take_refusals(self) -> list[str]:
        """Refused requests that a test expects, as status and last part of the address."""
        refusals = [fault for fault in self.faults if fault[:3].isdigit()]
        # the browser tells its console of each of them
        console = "console: Failed to load resource"
        self.faults = [
            fault
            for fault in self.faults
            if fault not in refusals and not fault.startswith(console)
        ]
        return [f"{fault[:3]}: {fault.rpartition('/')[2]}" for fault in refusals]

    def _note(self, fault: str) -> None:
        if not self._is_paused:
            self.faults.append(fault)

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self._note(f"console: {message.text}")

    def _on_request(self, request: Any) -> None:
        if not request.url.startswith((self.origin, "blob:", "data:")):
            self._note(f"foreign: {request.url}")

    def _on_failure(self, request: Any) -> None:
        # tiles of a view that was left are given up on purpose
        if "/view/" not in request.url and "/model/" not in request.url:
            self._note(f"failed: {request.method} {request.url} {request.failure}")

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self._note(f"{response.status}: {response.url}")


def axe_violations(page: Any) -> list[str]:
    """What axe-core finds wrong with a page, by all rules of WCAG 2.2 AA and its best practice."""
    script = WEB / "node_modules/axe-core/axe.min.js"
    if not script.is_file():
        missing("axe-core is not installed: make web installs it")
    # by the debugger, for the page itself may run no script but its own
    page.evaluate(script.read_text())
    tags: Sequence[str] = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
    found = page.evaluate("tags => axe.run({ runOnly: tags })", list(tags))
    assert found["passes"], "no rule was applied"
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
