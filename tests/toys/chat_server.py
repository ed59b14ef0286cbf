"""A server on the loopback that speaks OpenAI's chat API, and misbehaves on demand."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[Any, dict[str, Any]], None]


class ChatServer(ThreadingHTTPServer):
    """Answers by its script, one entry a request, and properly once that is used up."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script: list[Answer] = []
        self.otherwise: Answer = says("yes")
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.is_over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def texts(self, request: int = -1) -> str:
        """All text of a request."""
        content = self.requests[request]["messages"][0]["content"]
        return "\n".join(part["text"] for part in content if part["type"] == "text")

    def pictures(self, request: int = -1) -> list[str]:
        """Data URLs of a request."""
        content = self.requests[request]["messages"][0]["content"]
        return [part["image_url"]["url"] for part in content if part["type"] == "image_url"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        server = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        request = json.loads(body)
        server.requests.append(request)
        server.headers.append(dict(self.headers))
        server.paths.append(self.path)
        answer = server.script.pop(0) if server.script else server.otherwise
        try:
            answer(self, request)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass

    def send(self, status: int, content: bytes, kind: str = "application/json", **headers: str):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)


def completion(text: str, logprobs: list[float] | None, usage: dict[str, int] | None) -> bytes:
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    if logprobs is not None:
        choice["logprobs"] = {"content": [{"token": "t", "logprob": p} for p in logprobs]}
    body = {"id": "c", "object": "chat.completion", "choices": [choice]}
    return json.dumps(body | ({} if usage is None else {"usage": usage})).encode()


def says(
    text: str, logprobs: list[float] | None = None, usage: tuple[int, int] | None = (900, 3)
) -> Answer:
    counts = (
        None
        if usage is None
        else dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    )
    return lambda handler, request: handler.send(200, completion(text, logprobs, counts))


def status(code: int, message: str = "", **headers: str) -> Answer:
    content = json.dumps({"error": {"message": message}}).encode()
    return lambda handler, request: handler.send(code, content, **headers)


def answers(body: Any, code: int = 200) -> Answer:
    """Any JSON, with any status."""
    return lambda handler, request: handler.send(code, json.dumps(body).encode())


def raw(content: bytes, kind: str = "application/json", **headers: str) -> Answer:
    return lambda handler, request: handler.send(200, content, kind, **headers)


def truncated(handler: Any, request: dict[str, Any]) -> None:
    content = completion("yes", None, None)
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[:20])
    handler.close_connection = True


def hung_up(handler: Any, request: dict[str, Any]) -> None:
    handler.close_connection = True


def silent(handler: Any, request: dict[str, Any]) -> None:
    handler.server.is_over.wait(20)
    handler.close_connection = True


def dripping(handler: Any, request: dict[str, Any]) -> None:
    """A byte of the headers now and then, forever: no single read takes long."""
    for byte in b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Long: " + b"a" * 10_000:
        if handler.server.is_over.wait(0.05):
            break
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()
    handler.close_connection = True


def endless(handler: Any, request: dict[str, Any]) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Connection", "close")
    handler.end_headers()
    started = time.monotonic()
    while time.monotonic() - started < 20:
        handler.wfile.write(b" " * 2**16)
    handler.close_connection = True


@contextmanager
def chatting() -> Iterator[ChatServer]:
    server = ChatServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.is_over.set()
        server.shutdown()
        server.server_close()
        thread.join()
