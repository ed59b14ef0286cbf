"""A server on the loopback that sends one file in ranges, and misbehaves on demand."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from geofovea.tiling import TileReader, open_scene, plan_radiometry

LOOPBACK = ("127.0.0.1",)
# longest first: what lies beside a mask ends like it too
BESIDE = (".msk.ovr", ".ovr.msk", ".msk", ".ovr", ".tfw", ".wld")


class RangeServer(ThreadingHTTPServer):
    """Serves one file in ranges from memory, counts what it costs, and misbehaves when told to."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.etag = content, '"1"'
        self.requests: list[tuple[str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.sides: dict[str, bytes] = {}
        self.asked_beside: list[str] = []
        self.beside_answer = None
        self.answer = serve_range

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/scene.tif"

    @property
    def bytes_sent(self) -> int:
        return sum(size for _, size in self.requests)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        beside = next((s for s in BESIDE if self.path.partition("?")[0].endswith(s)), None)
        if beside is not None:
            self.server.asked_beside.append(self.path)
            if self.server.beside_answer is not None:
                self.server.beside_answer(self)
                return
            serve_beside(self, self.server.sides.get(beside))
            return
        self.server.headers.append(dict(self.headers))
        self.server.answer(self)

    def log_message(self, *_):
        pass


def serve_range(handler, cut=0, shift=0, more=b"", **headers):
    server = handler.server
    first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
    part = server.content[int(first) + shift : int(last) + 1 + shift]
    server.requests.append((handler.path, len(part)))
    handler.send_response(206)
    end = int(first) + shift + len(part) - 1
    handler.send_header("Content-Range", f"bytes {int(first) + shift}-{end}/{len(server.content)}")
    handler.send_header("Content-Length", str(len(part) + len(more)))
    handler.send_header("ETag", server.etag)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(part[: len(part) - cut] + more)
    handler.close_connection = handler.close_connection or cut > 0


def serve_beside(handler, content):
    if not content:
        # there is no range in an empty file
        handler.send_response(404 if content is None else 416)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
    part = content[int(first) : int(last) + 1]
    handler.send_response(206)
    end = int(first) + len(part) - 1
    handler.send_header("Content-Range", f"bytes {first}-{end}/{len(content)}")
    handler.send_header("Content-Length", str(len(part)))
    handler.end_headers()
    handler.wfile.write(part)


def answer_status(code, **headers):
    def answer(handler):
        handler.server.requests.append((handler.path, 0))
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


@contextmanager
def serving(content):
    server = RangeServer(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def open_far(server, url=None, hosts=LOOPBACK):
    return open_scene(url or server.url, allow_remote=True, allowed_hosts=hosts)


def descend(scene, tile_size=64):
    """The tiles that a descent to one native place reads; their pixels in order."""
    pyramid = scene.pyramid(tile_size)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))
    tiles = [pyramid.overview, *pyramid.tiles(pyramid.base_level)]
    tile = list(pyramid.tiles(pyramid.base_level))[-1]
    for _ in range(pyramid.base_level):
        children = pyramid.children(tile)
        tiles += children
        tile = children[0]
    return [reader.read(tile).rgb for tile in tiles]
