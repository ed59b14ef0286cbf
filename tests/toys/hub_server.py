"""A hub on the loopback: one repository, as ``huggingface_hub`` asks for it."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves the files of a folder as the repository ``owner/name``."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes], hub_id: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.hub_id = files, hub_id
        self.fetched: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(with_body=False)

    def do_GET(self):
        self._answer(with_body=True)

    def log_message(self, *_):
        pass

    def _answer(self, with_body):
        path, hub = self.path.partition("?")[0], self.server
        if path.startswith(f"/api/models/{hub.hub_id}/tree/"):
            rows = [
                {"type": "file", "path": n, "size": len(d), "oid": _etag(d)}
                for n, d in hub.files.items()
            ]
            self._send(json.dumps(rows).encode(), {}, with_body)
        elif path.startswith(f"/api/models/{hub.hub_id}"):
            info = {
                "id": hub.hub_id, "sha": COMMIT, "cardData": {"license": "apache-2.0"},
                "siblings": [{"rfilename": n, "size": len(d)} for n, d in hub.files.items()],
            }  # fmt: skip
            self._send(json.dumps(info).encode(), {}, with_body)
        elif (data := hub.files.get(re.sub(f".*/resolve/({COMMIT}|main)/", "", path))) is not None:
            if with_body:
                hub.fetched.append(path.rpartition("/")[2])
            self._send(data, {"ETag": f'"{_etag(data)}"', "X-Repo-Commit": COMMIT}, with_body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, data, headers, with_body):
        self.send_response(200)
        for name, value in ({"Content-Length": str(len(data))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.wfile.write(data)


def _etag(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def files_of(folder: Path) -> dict[str, bytes]:
    """What a folder holds, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def serving(files: dict[str, bytes], hub_id: str = "owner/tiny") -> Iterator[Hub]:
    """A hub while the block lasts."""
    hub = Hub(files, hub_id)
    Thread(target=hub.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
