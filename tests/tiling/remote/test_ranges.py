"""Scenes that are far away: which hosts are asked, what it costs, and what goes wrong."""

import json
import socket
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.shutil import copy as copy_raster

from geofovea.errors import SceneNotFoundError, SceneReadError, SceneRefusedError
from geofovea.tiling import TileReader, inspect_scene, open_scene, plan_radiometry
from geofovea.tiling.remote import client
from geofovea.tiling.remote.names import redacted
from geofovea.tiling.remote.policy import check_host, remote_object, split_url
from geofovea.tiling.remote.signing import signed_url

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
        self.answer = _serve

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
            _serve_beside(self, self.server.sides.get(beside))
            return
        self.server.headers.append(dict(self.headers))
        self.server.answer(self)

    def log_message(self, *_):
        pass


def _serve(handler, cut=0, shift=0):
    server = handler.server
    first, last = handler.headers["Range"].removeprefix("bytes=").split("-")
    part = server.content[int(first) + shift : int(last) + 1 + shift]
    server.requests.append((handler.path, len(part)))
    handler.send_response(206)
    end = int(first) + shift + len(part) - 1
    handler.send_header("Content-Range", f"bytes {int(first) + shift}-{end}/{len(server.content)}")
    handler.send_header("Content-Length", str(len(part)))
    handler.send_header("ETag", server.etag)
    handler.end_headers()
    handler.wfile.write(part[: len(part) - cut])
    handler.close_connection = handler.close_connection or cut > 0


def _serve_beside(handler, content):
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


def _status(code, **headers):
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


@pytest.fixture
def served(make_tiled, texture, tmp_path):
    """A server of a COG, and the same file on disk."""
    plain = make_tiled(texture(1000, 1200), "plain.tif")
    path = tmp_path / "scene.tif"
    copy_raster(plain, path, driver="COG", BLOCKSIZE=128, COMPRESS="DEFLATE")
    with serving(path.read_bytes()) as server:
        server.local = path
        yield server


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch):
    monkeypatch.setattr(client, "_PAUSE_SECONDS", 0.0)


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


def test_a_far_scene_reads_as_the_same_file_on_disk(served):
    near, far = open_scene(served.local), open_far(served)
    assert (far.width, far.height, far.overviews) == (near.width, near.height, near.overviews)
    assert far.size_bytes == near.size_bytes
    for ours, theirs in zip(descend(far), descend(near), strict=True):
        assert (ours == theirs).all()


def test_threads_read_a_far_scene_alike_and_share_what_was_fetched(served):
    scene = open_far(served)
    alone = descend(scene)
    requests = len(served.requests)
    with ThreadPoolExecutor(4) as pool:
        for pixels in pool.map(lambda _: descend(scene), range(8)):
            assert all((a == b).all() for a, b in zip(pixels, alone, strict=True))
    assert len(served.requests) == requests


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_question_costs_few_requests_and_under_three_percent_of_a_large_file(tmp_path):
    rng = np.random.default_rng(0)
    block = rng.integers(0, 255, (3, 512, 512), dtype="uint8")
    plain, path = tmp_path / "plain.tif", tmp_path / "scene.tif"
    profile = {"width": 8192, "height": 8192, "count": 3, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "photometric": "rgb"}
    with rasterio.open(plain, "w", driver="GTiff", **profile) as dataset:
        for y in range(0, 8192, 512):
            for x in range(0, 8192, 512):
                window = rasterio.windows.Window(x, y, 512, 512)
                dataset.write(np.roll(block, (x + y) // 7, axis=2), window=window)
    copy_raster(plain, path, driver="COG", BLOCKSIZE=256, COMPRESS="DEFLATE", RESAMPLING="AVERAGE")
    plain.unlink()
    with serving(path.read_bytes()) as server:
        scene = open_far(server)
        opened = len(server.requests), server.bytes_sent
        # base level of 3 x 3 tiles of 112 px, then four children a level down to native
        descend(scene, 112)
        share = server.bytes_sent / scene.size_bytes
        print(f"open {opened}, in all {len(server.requests)} requests, {share:.2%} of the file")
    assert opened[0] <= 2
    assert share < 0.03
    assert len(server.requests) <= 40


@pytest.mark.parametrize(
    ("hosts", "listed"),
    [((), r"\(none\)"), (("example.org",), "example.org"), (("27.0.0.1",), r"27\.0")],
)
def test_a_host_that_is_not_listed_is_never_asked_and_the_message_says_how(served, hosts, listed):
    with pytest.raises(SceneRefusedError, match=listed) as refused:
        open_far(served, hosts=hosts)
    assert "allowed_hosts=('127.0.0.1',)" in str(refused.value)
    assert "--allow-host 127.0.0.1" in str(refused.value)
    with pytest.raises(SceneRefusedError, match="allow_remote=True"):
        open_scene(served.url, allowed_hosts=LOOPBACK)
    assert served.requests == []


@pytest.mark.parametrize(
    ("url", "entry", "is_allowed"),
    [
        ("https://example.org/a.tif", "example.org", True),
        ("https://EXAMPLE.org./a.tif", "Example.ORG", True),
        ("https://example.org:8443/a.tif", "example.org", True),
        ("https://example.org:8443/a.tif", "example.org:8443", True),
        ("https://example.org:8444/a.tif", "example.org:8443", False),
        ("https://tiles.example.org/a.tif", "example.org", False),
        ("https://tiles.example.org/a.tif", "*.example.org", True),
        ("https://example.org/a.tif", "*.example.org", False),
        ("https://badexample.org/a.tif", "*.example.org", False),
        ("https://example.org@evil.net/a.tif", "example.org", False),
        ("https://evil.net/example.org", "example.org", False),
        ("https://evil.net#@example.org/a.tif", "example.org", False),
        ("http://[::1]:80/a.tif", "::1", True),
        ("http://[::1]:80/a.tif", "[::1]:80", True),
        ("s3://bucket/a.tif", "s3://bucket", True),
        ("s3://bucket/a.tif", "bucket", False),
        ("https://bucket/a.tif", "s3://bucket", False),
        ("s3://bucket2/a.tif", "s3://bucket", False),
    ],
)
def test_hosts_are_compared_whole(url, entry, is_allowed):
    if is_allowed:
        check_host(split_url(url), (entry,), url)
    else:
        with pytest.raises(SceneRefusedError, match="not among the allowed hosts"):
            check_host(split_url(url), (entry,), url)


@pytest.mark.parametrize(
    "name",
    [
        "ftp://127.0.0.1/scene.tif",
        "file:///etc/passwd",
        "gs://bucket/scene.tif",
        "/vsizip//vsicurl/http://127.0.0.1/scene.zip/scene.tif",
        "/vsicurl?url=http%3A%2F%2F127.0.0.1%2Fscene.tif",
        "/vsimem/scene.tif",
        "/vsisubfile/0_100,/etc/passwd",
        "http:///scene.tif",
        "http://127.0.0.1:port/scene.tif",
        "http://127.0.0.1/a\\b.tif",
        "http://127.0.0.1/a b.tif",
        "http://127.0.0.1/a\r\nX: y",
        "zip+https://127.0.0.1/scene.zip!scene.tif",
    ],
)
def test_only_well_formed_http_and_s3_names_are_far_scenes(name):
    with pytest.raises(SceneRefusedError):
        open_scene(name, allow_remote=True, allowed_hosts=("127.0.0.1", "*.org", "bucket"))


def test_gdals_own_names_for_urls_mean_the_urls():
    object_ = remote_object("/vsicurl/https://example.org/a.tif", ("example.org",))
    assert object_.url == "https://example.org/a.tif"
    assert remote_object("/vsis3/bucket/a.tif", ("s3://bucket",)).url == "s3://bucket/a.tif"


def test_a_redirect_to_another_host_is_not_followed(served):
    with serving(b"") as elsewhere:
        target = f"http://localhost:{elsewhere.server_port}/scene.tif?secret=1"
        served.answer = _status(302, Location=target)
        with pytest.raises(SceneRefusedError, match=r"redirects to http://localhost.*allow") as e:
            open_far(served)
        assert "secret" not in str(e.value)
        assert elsewhere.requests == []
        assert elsewhere.headers == []


def test_a_redirect_within_the_allowed_hosts_is_followed_once(served):
    def answer(handler):
        if handler.path == "/scene.tif":
            _status(307, Location="/moved.tif")(handler)
        else:
            _serve(handler)

    served.answer = answer
    scene = open_far(served)
    assert (descend(scene)[0] == descend(open_scene(served.local))[0]).all()
    paths = [path for path, _ in served.requests]
    # the first look, the layout, and each image
    handles = len(scene.overviews) + 3
    assert 0 < paths.count("/scene.tif") <= handles


def test_redirects_in_a_circle_end(served):
    served.answer = _status(301, Location="/scene.tif")
    with pytest.raises(SceneReadError, match="more than 5 redirects"):
        open_far(served)
    assert len(served.requests) == 6


@pytest.mark.parametrize(
    ("answer", "error", "reason", "requests"),
    [
        (_status(404), SceneNotFoundError, "answered 404", 1),
        (_status(403), SceneReadError, "answered 403.*rights", 1),
        (_status(500), SceneReadError, r"answered 500 \(3 attempts\)", 3),
        (_status(503), SceneReadError, r"answered 503 \(3 attempts\)", 3),
        (_status(200), SceneReadError, "does not serve ranges", 1),
        (_status(206), SceneReadError, "answered 206", 1),
        (lambda h: _serve(h, cut=100), SceneReadError, r"\(3 attempts\)", 3),
        (lambda h: _serve(h, shift=1), SceneReadError, "sent another range", 1),
    ],
)
def test_a_server_that_fails_is_an_error_after_a_bounded_number_of_requests(
    served, answer, error, reason, requests
):
    served.answer = answer
    with pytest.raises(error, match=reason):
        open_far(served)
    assert len(served.requests) == requests


def test_a_failure_that_passes_is_tried_again(served):
    def answer(handler):
        (_status(503) if len(served.requests) % 2 == 0 else _serve)(handler)

    served.answer = answer
    assert (descend(open_far(served))[0] == descend(open_scene(served.local))[0]).all()


@pytest.mark.parametrize("drips", [False, True])
def test_a_server_that_never_ends_is_left_within_the_limit(served, drips, monkeypatch):
    monkeypatch.setattr(client, "SOCKET_SECONDS", 0.3)
    monkeypatch.setattr(client, "REQUEST_SECONDS", 0.3)
    done = threading.Event()

    def answer(handler):
        served.requests.append((handler.path, 0))
        handler.wfile.write(b"HTTP/1.1 206 Partial Content\r\nX: ")
        while drips and not done.wait(0.05):
            try:
                handler.wfile.write(b"x")
            except OSError:
                break
        done.wait(5)
        handler.close_connection = True

    served.answer = answer
    started = time.monotonic()
    with pytest.raises(SceneReadError, match="3 attempts"):
        open_far(served)
    assert time.monotonic() - started < 60
    done.set()
    assert len(served.requests) == 3


def test_a_host_where_nothing_listens_is_a_read_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/scene.tif"
        with pytest.raises(SceneReadError, match="refused"):
            open_scene(url, allow_remote=True, allowed_hosts=LOOPBACK)


def test_a_failure_during_a_read_is_typed_and_a_later_read_is_right(served):
    truth = descend(open_scene(served.local))
    scene = open_far(served)
    served.answer = _status(500)
    with pytest.raises(SceneReadError, match="answered 500"):
        descend(scene)
    served.answer = _serve
    assert all((a == b).all() for a, b in zip(descend(scene), truth, strict=True))


def test_a_file_that_changes_on_its_server_is_noticed(served):
    scene = open_far(served)
    served.etag = '"2"'
    with pytest.raises(SceneReadError, match="changed on the server; open the scene again"):
        descend(scene)
    assert open_far(served).identity != scene.identity


def test_passwords_and_signatures_are_used_but_never_shown(served):
    url = served.url.replace("://", "://mallory:pass%20word@") + "?signature=hidden#part"
    scene = open_far(served, url)
    assert served.headers[0]["Authorization"] == "Basic bWFsbG9yeTpwYXNzIHdvcmQ="
    assert served.requests[0][0] == "/scene.tif?signature=hidden"
    assert scene.path == served.url + "?..."
    inspection = inspect_scene(scene, scene.pyramid(64))
    served.answer = _status(500)
    with pytest.raises(SceneReadError) as failed:
        descend(scene)
    with pytest.raises(SceneRefusedError) as refused:
        open_far(served, url, ("example.org",))
    shown = [repr(scene), scene.identity, json.dumps(inspection.to_json())]
    for text in (*shown, str(failed.value), str(refused.value)):
        found = [
            secret for secret in ("pass%20", "pass word", "hidden", "mallory") if secret in text
        ]
        assert not found, text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("https://u:p@h.org/a.tif?sig=1#x", "https://h.org/a.tif?..."),
        ("/vsicurl/https://u:p@h.org/a.tif", "/vsicurl/https://h.org/a.tif"),
        ("https://u:p/w@h.org/a.tif", "https://..."),
        ("https://h.org/a@b.tif", "https://h.org/a@b.tif"),
    ],
)
def test_a_name_is_shown_without_its_secrets(name, shown):
    assert redacted(name) == shown


def test_a_redirect_carries_no_password_along(served):
    def answer(handler):
        if handler.path == "/scene.tif":
            location = f"http://127.0.0.1:{served.server_port}/moved.tif"
            _status(302, Location=location)(handler)
        else:
            _serve(handler)

    served.answer = answer
    open_far(served, served.url.replace("://", "://me:word@"))
    assert "Authorization" in served.headers[0]
    assert "Authorization" not in served.headers[1]


@pytest.mark.parametrize("kind", ["VRT", "PNG", "JPEG"])
def test_far_files_are_sniffed_like_near_ones(make_raster, texture, tmp_path, kind):
    driver = "GTiff" if kind == "VRT" else kind
    path = make_raster(texture(40, 50), f"scene.{kind.lower()}", driver=driver)
    if kind == "VRT":
        copy_raster(path, tmp_path / "scene.tif", driver="VRT")
        path = tmp_path / "scene.tif"
    with serving(path.read_bytes()) as server:
        if kind == "VRT":
            with pytest.raises(SceneRefusedError, match="virtual raster"):
                open_scene(server.url, allow_vrt=True, allow_remote=True, allowed_hosts=LOOPBACK)
            return
        assert open_far(server).width == 50
        server.content = server.content[:-20]
        with pytest.raises(SceneReadError, match="ends before its end mark"):
            open_far(server)


def test_a_trusted_virtual_raster_still_does_not_make_gdal_use_the_network(
    make_raster, texture, tmp_path
):
    inner = make_raster(texture(40, 50), "inner.tif")
    copy_raster(inner, tmp_path / "scene.vrt", driver="VRT")
    with serving(inner.read_bytes()) as server:
        text = (tmp_path / "scene.vrt").read_text()
        text = text.replace("inner.tif", f"/vsicurl/{server.url}").replace('relativeToVRT="1"', "")
        (tmp_path / "scene.vrt").write_text(text)
        with pytest.raises(SceneReadError):
            descend(open_scene(tmp_path / "scene.vrt", allow_vrt=True))
        assert server.headers == []


def test_s3_names_need_boto3_and_become_signed_urls(monkeypatch):
    pytest.importorskip("boto3", reason="boto3 is an extra: geofovea[s3]")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    signed = signed_url("s3://bucket/folder/scene.tif")
    assert split_url(signed).scheme == "https"
    assert "bucket" in signed
    assert "Signature=" in signed
    assert signed_url("https://example.org/a.tif") == "https://example.org/a.tif"


@pytest.fixture
def served_with_sides(tmp_path):
    """A server of a plain TIFF with a mask, overviews and a world file beside it."""
    path = tmp_path / "scene.tif"
    values = np.full((3, 512, 512), 120, np.uint8)
    values[:, :256] = 0
    known = np.where(values[0] > 0, 255, 0).astype(np.uint8)
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 3, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "rgb"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
            rasterio.open(path, "w", **profile) as file,
        ):
            file.write(values)
            file.write_mask(known)
        with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    (tmp_path / "scene.tfw").write_text("2\n0\n0\n-2\n500001\n4599999\n")
    with serving(path.read_bytes()) as server:
        server.local = path
        for suffix in (".msk", ".ovr"):
            server.sides[suffix] = path.with_name(f"scene.tif{suffix}").read_bytes()
        server.sides[".tfw"] = path.with_suffix(".tfw").read_bytes()
        yield server


def test_what_lies_beside_a_far_scene_is_read_as_on_a_disk(served_with_sides):
    near, far = open_scene(served_with_sides.local), open_far(served_with_sides)
    assert (
        (far.mask_kind, far.overviews) == ("internal", (2, 4)) == (near.mask_kind, near.overviews)
    )
    assert far.transform == near.transform == (2, 0, 500000, 0, -2, 4600000)
    for shape in ((512, 512), (64, 64)):
        both = [
            TileReader(scene, scene.pyramid(64), plan_radiometry(scene)).read_box(scene.box, shape)
            for scene in (near, far)
        ]
        assert (both[0][0] == both[1][0]).all()
        assert (both[0][1] == both[1][1]).all()
        assert both[1][1].mean() == 0.5


def test_a_side_file_that_changes_makes_another_scene(served_with_sides):
    before = open_far(served_with_sides).identity
    served_with_sides.sides[".msk"] += b"\0"
    assert open_far(served_with_sides).identity != before


@pytest.mark.parametrize(
    "content", [b"", b"<html>no such file</html>", b"<VRTDataset/>", "the scene itself"]
)
def test_what_is_no_tiff_beside_a_far_scene_is_nothing(served, content):
    if isinstance(content, str):
        # a server that answers every name with one file
        served.beside_answer = _serve
    else:
        served.sides = {".msk": content, ".ovr": content, ".tfw": content}
    scene = open_far(served)
    assert scene.source.sides == ()
    assert scene.mask_kind == "none"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_server_that_has_nothing_beside_a_scene_says_so_in_many_ways(served, status):
    served.beside_answer = _status(status)
    assert open_far(served).source.sides == ()


def test_a_server_that_fails_beside_a_scene_is_an_error(served):
    served.beside_answer = _status(503)
    with pytest.raises(SceneReadError, match=r"scene\.tif\.msk.*503"):
        open_far(served)
