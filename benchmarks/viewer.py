"""What the page's server costs: tiles beside titiler's and beside questions, memory, events.

All servers run on the same file, in one run, and are asked for the same places in turns, each by
one connection; no place is asked twice. CPU is that of the server's process, all its threads:

* ``geofovea``: view tiles of 512 pixels, as ``geofovea serve`` gives them.
* ``titiler bbox``: the same places as pictures of 512 pixels in the CRS of the file.
* ``titiler mercator``: the tile of 512 pixels of the web's grid around the same center.
* ``floor``: a constant of the same size from the same HTTP server, without any reading.

Then, on the server of the page alone: the latency of tiles while questions are answered beside that
of an idle server, in turns; the memory after thousands of tiles; how long the first look of a
question takes to arrive; and what watching a question costs when all its tiles are known.

titiler is no dependency: it is installed into an environment of its own (or named with
``--titiler-python``). Needs Linux. Nothing is asserted.

    python benchmarks/viewer.py scene.tif --folder runs/viewer --json viewer.json
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from side_by_side import aligned, machine, report, run_child

TITILER = "titiler.core==2.4.0"
SIDE = 512
TURN = 20
LEVELS = 4
QUESTION = "What is the color of the plane at the airport?"
QUESTIONS = (
    QUESTION,
    "What is the color of the ship at the harbor?",
    "How many vehicles are at the factory?",
)
SERVE = "from geofovea.pipeline.cli import main; main()"
TITILER_APP = """
from fastapi import FastAPI
from titiler.core.factory import TilerFactory

app = FastAPI()
app.include_router(TilerFactory().router)
"""
FLOOR_APP = """
import sys

content = b"x" * int(sys.argv[1])
length = [(b"content-length", str(len(content)).encode())]
head = {"type": "http.response.start", "status": 200, "headers": length}


async def app(scope, receive, send):
    if scope["type"] == "http":
        await send(head)
        await send({"type": "http.response.body", "body": content})


"""
RUN_APP = """
import socket
import uvicorn

# of TCP by its name, as uvicorn makes its own sockets: of others, asyncio holds back small pieces
bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
bound.bind(("127.0.0.1", 0))
print(f"http://127.0.0.1:{bound.getsockname()[1]}/", flush=True)
config = uvicorn.Config(app, log_level="critical", http="h11", lifespan="off")
uvicorn.Server(config).run(sockets=[bound])
"""


@dataclass
class Server:
    """A server in a process of its own, asked by one connection."""

    process: subprocess.Popen[str]
    port: int
    headers: dict[str, str]
    connection: http.client.HTTPConnection

    def get(self, path: str) -> tuple[float, bytes]:
        """Seconds and content of one request."""
        started = time.perf_counter()
        self.connection.request("GET", path, headers=self.headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise SystemExit(f"{path} was answered with {response.status}: {content[:200]!r}")
        return time.perf_counter() - started, content

    def connect(self) -> None:
        """Connect anew: servers close what nobody used for a few seconds."""
        self.connection.close()
        self.connection.connect()

    def cpu_seconds(self) -> float:
        """CPU of all threads so far; exact to the nanosecond, as the scheduler counts it."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def rss_mib(self) -> float:
        """Resident memory now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


@dataclass
class Tally:
    """What tiles took on one server."""

    seconds: list[float] = field(default_factory=list)
    cpu_seconds: float = 0.0
    sizes: list[int] = field(default_factory=list)

    def to_json(self) -> dict[str, float]:
        """Time, CPU and bytes of one tile."""
        return {
            "tiles": len(self.seconds),
            "cpu_ms_a_tile": 1000 * self.cpu_seconds / len(self.seconds),
            "median_ms": 1000 * statistics.median(self.seconds),
            "p90_ms": 1000 * p90(self.seconds),
            "kb_a_tile": statistics.mean(self.sizes) / 1000,
        }


def p90(values: Sequence[float]) -> float:
    """The value that nine of ten do not exceed."""
    return statistics.quantiles(values, n=10)[-1] if len(values) > 1 else values[0]


@contextmanager
def serving(command: Sequence[str]) -> Iterator[Server]:
    """Start a server that prints its address in its first line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()  # type: ignore[union-attr]
        match = re.match(r"http://127\.0\.0\.1:(\d+)/(?:#token=(\S+))?", line)
        if match is None:
            raise SystemExit(f"{command[0]} printed no address: {line!r}")
        port = int(match[1])
        headers = {"Authorization": f"Bearer {match[2]}"} if match[2] else {}
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            yield Server(process, port, headers, connection)
    finally:
        process.terminate()
        process.wait(30)


def titiler_python(folder: Path) -> str:
    """An environment with titiler and the same rasterio."""
    import rasterio

    python = folder / "titiler" / "bin" / "python"
    if not python.exists():
        make = [sys.executable, "-m", "uv"]
        subprocess.run([*make, "venv", "--quiet", str(folder / "titiler")], check=True)
        wanted = [TITILER, "uvicorn", f"rasterio=={rasterio.__version__}"]
        install = [*make, "pip", "install", "--quiet", "--python", str(python), *wanted]
        subprocess.run(install, check=True)
    return str(python)


def places(width: int, height: int, count: int) -> list[tuple[int, int, int]]:
    """Different tiles ``(level, row, col)`` that lie whole on the scene, the levels in turn."""
    rng, by_level = random.Random(5), []
    for level in range(LEVELS):
        rows, cols = height // (SIDE << level), width // (SIDE << level)
        every = list(itertools.product(range(rows), range(cols)))
        rng.shuffle(every)
        by_level.append([(level, *place) for place in every])
    mixed = [p for some in itertools.zip_longest(*by_level) for p in some if p is not None]
    return mixed[:count]


class Paths:
    """Where each server has the pixels of a place."""

    def __init__(self, scene: Path, version: str) -> None:
        import rasterio

        self._url, self._version = str(scene.resolve()), version
        with rasterio.open(scene) as dataset:
            self._transform, self._crs = dataset.transform, dataset.crs
        self._code = self._crs.to_string()

    def geofovea(self, level: int, row: int, col: int) -> str:
        """A view tile."""
        return f"/api/scenes/1/view/{level}/{row}/{col}?v={self._version}"

    def bbox(self, level: int, row: int, col: int) -> str:
        """The same place in the CRS of the file."""
        side, t = SIDE << level, self._transform
        x0, y1 = t @ (col * side, row * side)
        x1, y0 = t @ ((col + 1) * side, (row + 1) * side)
        query = f"url={self._url}&coord_crs={self._code}&dst_crs={self._code}"
        return f"/bbox/{x0},{y0},{x1},{y1}/{SIDE}x{SIDE}.jpg?{query}"

    def mercator(self, level: int, row: int, col: int) -> str:
        """The tile of the web's grid around its center, of about the same scale."""
        from rasterio.warp import transform

        side = SIDE << level
        x, y = self._transform @ ((col + 0.5) * side, (row + 0.5) * side)
        (x,), (y,) = transform(self._crs, "EPSG:3857", [x], [y])
        half = 20037508.342789244
        zoom = 0
        while 2 * half / (1 << zoom) > abs(self._transform.a) * side * 1.2:
            zoom += 1
        size = 2 * half / (1 << zoom)
        tile = f"{zoom}/{int((x + half) // size)}/{int((half - y) // size)}"
        return f"/tiles/WebMercatorQuad/{tile}.jpg?url={self._url}&tilesize={SIDE}"


def compare(servers: dict[str, tuple[Server, Any]], wanted: Sequence[Any]) -> dict[str, Any]:
    """The same places from every server, in turns, the first one changing."""
    tallies = {name: Tally() for name in servers}
    for server, path in servers.values():
        # what is opened and imported with the first tile is nobody's tile
        server.connect()
        server.get(path(*wanted[0]))
    turns = [wanted[i : i + TURN] for i in range(1, len(wanted) - TURN + 1, TURN)]
    for number, turn in enumerate(turns):
        names = list(servers)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            server, path = servers[name]
            paths = [path(*place) for place in turn]
            server.connect()
            before = server.cpu_seconds()
            for each in paths:
                seconds, content = server.get(each)
                tallies[name].seconds.append(seconds)
                tallies[name].sizes.append(len(content))
            tallies[name].cpu_seconds += server.cpu_seconds() - before
    told = {name: tally.to_json() for name, tally in tallies.items()}
    return {"servers": told}


class Asking:
    """Questions one after the other, from a connection of their own."""

    def __init__(self, server: Server) -> None:
        self._headers = server.headers | {"Content-Type": "application/json"}
        self._port, self._is_over = server.port, threading.Event()
        self.answered = 0

    def ask(self, connection: http.client.HTTPConnection, question: str) -> tuple[float, int]:
        """Seconds until the first look arrived, and bytes of all events."""
        started = time.perf_counter()
        body = json.dumps({"scene": "1", "question": question})
        connection.request("POST", "/api/jobs", body, self._headers)
        job = json.loads(connection.getresponse().read())["job"]
        connection.request("GET", f"/api/jobs/{job}/events", headers=self._headers)
        stream, look, count = connection.getresponse(), 0.0, 0
        for line in iter(stream.readline, b""):
            count += len(line)
            if line.startswith(b"event: look") and not look:
                look = time.perf_counter() - started
        self.answered += 1
        return look, count

    def connection(self) -> closing[http.client.HTTPConnection]:
        """A connection of its own."""
        return closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=600))

    @contextmanager
    def all_the_time(self) -> Iterator[None]:
        """Ask as long as the block runs."""
        self._is_over.clear()
        thread = threading.Thread(target=self._go_on)
        thread.start()
        time.sleep(0.5)
        try:
            yield
        finally:
            self._is_over.set()
            thread.join()

    def _go_on(self) -> None:
        with self.connection() as connection:
            for question in itertools.cycle(QUESTIONS):
                if self._is_over.is_set():
                    return
                self.ask(connection, question)


def beside_questions(server: Server, path: Any, wanted: Sequence[Any]) -> dict[str, Any]:
    """Latency of tiles on an idle server and while questions are answered, in turns."""
    asking, found = Asking(server), {"idle": [], "asking": []}  # type: ignore[var-annotated]
    turns = [wanted[i : i + 2 * TURN] for i in range(0, len(wanted) - 2 * TURN + 1, 2 * TURN)]
    for turn in turns:
        server.connect()
        found["idle"] += [server.get(path(*place))[0] for place in turn[:TURN]]
        with asking.all_the_time():
            found["asking"] += [server.get(path(*place))[0] for place in turn[TURN:]]
    told = {
        name: {"tiles": len(s), "median_ms": 1000 * statistics.median(s), "p90_ms": 1000 * p90(s)}
        for name, s in found.items()
    }
    ratio = told["asking"]["p90_ms"] / told["idle"]["p90_ms"]
    return told | {"p90_ratio": ratio, "questions": asking.answered}


def first_looks(server: Server, count: int) -> dict[str, float]:
    """How long the first look of a question takes to arrive, and how many bytes events are."""
    asking = Asking(server)
    with asking.connection() as connection:
        asking.ask(connection, QUESTION)
        found = [asking.ask(connection, QUESTION) for _ in range(count)]
    looks = [look for look, _ in found]
    return {
        "questions": count,
        "median_ms": 1000 * statistics.median(looks),
        "max_ms": 1000 * max(looks),
        "kb_of_events": max(count for _, count in found) / 1000,
    }


def memory(server: Server, path: Any, wanted: Sequence[Any], count: int) -> dict[str, float]:
    """Memory of the server before and after many tiles."""
    server.connect()
    before = server.rss_mib()
    for place in itertools.islice(itertools.cycle(wanted), count):
        server.get(path(*place))
    return {"tiles": count, "before_mib": before, "grown_mib": server.rss_mib() - before}


def watching(scene: str, pairs: int) -> dict[str, float]:
    """CPU of questions whose tiles are all known, watched and not, in turns."""
    import geofovea as gf
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.viewer.job import Job
    from geofovea.pipeline.viewer.served_scene import ServedScene

    session = gf.SceneSession(gf.open_scene(scene), gf.load_host("embedded"))
    served = ServedScene("1", session)
    cpu: dict[bool, list[float]] = {True: [], False: []}
    for number in range(pairs + 2):
        for is_watched in (number % 2 == 0, number % 2 == 1):
            request = AskRequest(QUESTION)
            watch = Job(served, request).watcher if is_watched else None
            started = time.process_time()
            session.answer(request, watch=watch)
            # the first ones read the tiles
            if number >= 2:
                cpu[is_watched].append(time.process_time() - started)
    watched, plain = (statistics.median(cpu[each]) for each in (True, False))
    return {
        "questions_each": pairs,
        "watched_ms": 1000 * watched,
        "plain_ms": 1000 * plain,
        "ratio": watched / plain,
    }


def measure(scene: Path, python: str, tiles: int, many: int, pairs: int) -> dict[str, Any]:
    """All figures, on one server of the page and the others beside it."""
    command = [sys.executable, "-c", SERVE, "serve", str(scene), "--no-open"]
    with serving(command) as own, serving([python, "-c", TITILER_APP + RUN_APP]) as titiler:
        facts = json.loads(own.get("/api/scenes")[1])["scenes"][0]
        paths = Paths(scene, facts["version"])
        wanted = places(facts["width"], facts["height"], 10**6)
        some, others = wanted[: tiles + 1], wanted[tiles + 1 :]
        own.connect()
        size = len(own.get(paths.geofovea(*wanted[-1]))[1])
        with serving([sys.executable, "-c", FLOOR_APP + RUN_APP, str(size)]) as floor:
            servers = {
                "geofovea": (own, paths.geofovea),
                "titiler bbox": (titiler, paths.bbox),
                "titiler mercator": (titiler, paths.mercator),
                "floor": (floor, lambda *_: "/"),
            }
            result: dict[str, Any] = {"tiles": compare(servers, some)}
        result["beside questions"] = beside_questions(own, paths.geofovea, others[:tiles])
        result["first look"] = first_looks(own, 10)
        result["memory"] = memory(own, paths.geofovea, others[tiles:], many)
    result["watching"] = run_child(__file__, [str(scene), "--pairs", str(pairs)])
    return result


def table(result: dict[str, Any]) -> str:
    """The figures in words, with what each is compared to."""
    tiles, beside = result["tiles"], result["beside questions"]
    head = ("tiles of 512 px", "CPU ms", "median ms", "p90 ms", "kB", "geofovea / it, CPU")
    own = tiles["servers"]["geofovea"]["cpu_ms_a_tile"]
    lines = [head]
    for name, of in tiles["servers"].items():
        keys = ("cpu_ms_a_tile", "median_ms", "p90_ms", "kb_a_tile")
        ratio = f"{own / of['cpu_ms_a_tile']:.2f}"
        lines.append((name, *(f"{of[key]:.1f}" for key in keys), ratio))
    looks, grown, watched = (result[name] for name in ("first look", "memory", "watching"))
    return "\n".join(
        (
            aligned(lines),
            "",
            f"p90 of tiles while questions run: {beside['p90_ratio']:.2f} x idle",
            f"first look after a question: {looks['median_ms']:.0f} ms (median), "
            f"{looks['max_ms']:.0f} ms at most; {looks['kb_of_events']:.0f} kB of events",
            f"memory: {grown['grown_mib']:.0f} MiB more after {grown['tiles']} tiles",
            f"watched / plain question, all tiles known: {watched['ratio']:.3f} x CPU",
        )
    )


def main() -> None:
    """Measure, and print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("scene", type=Path, help="a georeferenced COG, the larger the better")
    parser.add_argument("--folder", type=Path, help="where titiler's environment is kept")
    parser.add_argument("--titiler-python", help="an interpreter that has titiler, instead")
    parser.add_argument("--tiles", type=int, default=240)
    parser.add_argument("--memory-tiles", type=int, default=5000)
    parser.add_argument("--pairs", type=int, default=24, help="questions watched and not, each")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(watching(str(given.scene), given.pairs)))
        return
    with tempfile.TemporaryDirectory() as aside:
        folder = given.folder or Path(aside)
        folder.mkdir(parents=True, exist_ok=True)
        python = given.titiler_python or titiler_python(folder)
        result = measure(given.scene, python, given.tiles, given.memory_tiles, given.pairs)
    facts = machine(scene=given.scene.name, titiler=TITILER)
    report(facts, table(result), [result], given.json)


if __name__ == "__main__":
    main()
