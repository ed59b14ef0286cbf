"""Passwords and signatures of scenes are in nothing that is written or printed, by any way in."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from pipeline_toys import QUESTION

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.cli import main

FEW = ("--tiles", "6", "--tokens", "20")
ACCESS = ("--allow-remote", "--allow-host", "127.0.0.1")
SECRETS = ("pwTOPSECRET", "SIGSECRET", "USERSECRET", "SIGOTHER")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        if "gone" in self.path:
            self.send_error(404)
            return
        data = self.server.content
        first, end = map(int, re.match(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        part = data[first : end + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{first + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def far(tmp_path_factory):
    """A server of one scene under any path but those that are gone."""
    path = tmp_path_factory.mktemp("far") / "scene.tif"
    write_scene(make_world(3, 768, 768), path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.content, server.paths = path.read_bytes(), []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))

    def call(verb, *words):
        given = [verb, *words, "--model", tiny_folder, *FEW, *ACCESS]
        return CliRunner().invoke(main, [str(word) for word in given])

    return call


def url_of(far, name="x.tif", signature="SIGSECRET"):
    return f"http://USERSECRET:pwTOPSECRET@127.0.0.1:{far.server_port}/{name}?sig={signature}"


def leaks(folder: Path, *results):
    """Where a secret stands: files below a folder by name, and what was printed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    texts = {path.name: path.read_bytes().decode(errors="replace") for path in files}
    texts |= {f"printed {n}": r.stdout + r.stderr for n, r in enumerate(results)}
    return [name for name, text in texts.items() for secret in SECRETS if secret in text]


def manifest(folder, kind, urls):
    """A file that lists URLs as scenes."""
    if kind == "csv":
        text = "scene\n" + "".join(f'"{url}"\n' for url in urls)
        path = folder / "scenes.csv"
    elif kind == "jsonl":
        text = "".join(json.dumps({"scene": url, "id": url}) + "\n" for url in urls)
        path = folder / "scenes.jsonl"
    else:
        items = [
            {
                "type": "Feature",
                "id": f"item {n}",
                "assets": {"visual": {"href": url, "type": "image/tiff"}},
            }
            for n, url in enumerate(urls)
        ]
        text = json.dumps({"type": "FeatureCollection", "features": items})
        path = folder / "items.json"
    path.write_text(text)
    return path


@pytest.mark.parametrize("kind", ["names", "csv", "jsonl", "stac"])
def test_a_batch_writes_no_secret_and_knows_a_scene_that_is_signed_anew(far, run, tmp_path, kind):
    def batch(signature):
        urls = [url_of(far, "x.tif", signature), url_of(far, "gone.tif", signature)]
        given = urls
        if kind != "names":
            lists = tmp_path / signature
            lists.mkdir()
            given = [manifest(lists, kind, urls)]
        words = ("--question", QUESTION, "--output", tmp_path / "out", "--allow-failures")
        return run("batch", *given, *words)

    first, again = batch("SIGSECRET"), batch("SIGOTHER")
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr + again.stderr
    assert leaks(tmp_path / "out", first, again) == []
    assert leaks(tmp_path / "cache") == []
    rows = [json.loads(x) for x in (tmp_path / "out" / "answers.jsonl").read_text().splitlines()]
    plain = f"http://127.0.0.1:{far.server_port}/x.tif?..."
    assert (rows[0]["scene"], rows[0]["status"]) == (plain, "answered")
    assert "2 kept" in again.stdout


def test_scenes_that_differ_in_a_query_that_matters_are_two(far, run, tmp_path):
    base = f"http://127.0.0.1:{far.server_port}/cog"
    urls = [f"{base}?file={name}.tif&token=SIGSECRET" for name in "ab"]
    done = run("batch", *urls, "--question", QUESTION, "--output", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["scenes"] == 2
    assert leaks(tmp_path / "out", done) == []


def test_scenes_that_may_be_two_are_told(far, run, tmp_path):
    base = f"http://127.0.0.1:{far.server_port}/cog"
    path = manifest(tmp_path, "stac", [f"{base}?key={name}" for name in ("SIGSECRET", "SIGOTHER")])
    done = run("batch", path, "--question", QUESTION, "--output", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert "differs in key, as a secret does" in done.stdout + done.stderr
    assert leaks(tmp_path / "out", done) == []


def test_an_answer_and_its_files_hold_no_secret(far, run, tmp_path):
    files = ("--evidence", tmp_path / "e.geojson", "--picture", tmp_path / "p.png")
    done = run("ask", url_of(far), QUESTION, "--json", *files)
    assert done.exit_code == 0, done.stderr
    assert leaks(tmp_path, done) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("x.tif", "gone.tif"),
        lambda url: url.replace("127.0.0.1", "example.invalid"),
        lambda url: url.replace("http://", "ftp://"),
        lambda url: url.replace("://", ":/"),
        lambda url: "/vsicurl/" + url.replace("x.tif", "gone.tif"),
        lambda url: "/vsizip/" + url,
        lambda url: url + " ",
        lambda url: url.replace("x.tif", "x y.tif"),
        lambda url: url + "&x=\x07",
    ],
)
@pytest.mark.parametrize("verb", ["ask", "batch", "inspect"])
def test_an_error_holds_no_secret(far, run, tmp_path, change, verb):
    url = change(url_of(far))
    if verb == "ask":
        done = run("ask", url, QUESTION)
    elif verb == "inspect":
        done = CliRunner().invoke(main, ["inspect", url, *ACCESS])
    else:
        done = run("batch", url, "--question", QUESTION, "--output", tmp_path / "out")
    assert leaks(tmp_path, done) == []
    assert "Traceback" not in done.stderr
