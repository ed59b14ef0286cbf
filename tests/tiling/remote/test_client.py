"""One bounded request: redirects, failures, and servers that never end."""

import socket
import threading
import time

import pytest
from range_server import LOOPBACK, answer_status, descend, open_far, serve_range, serving

from geofovea.errors import SceneNotFoundError, SceneReadError, SceneRefusedError
from geofovea.tiling import open_scene
from geofovea.tiling.remote import client


def test_a_redirect_to_another_host_is_not_followed(served):
    with serving(b"") as elsewhere:
        target = f"http://localhost:{elsewhere.server_port}/scene.tif?secret=1"
        served.answer = answer_status(302, Location=target)
        with pytest.raises(SceneRefusedError, match=r"redirects to http://localhost.*allow") as e:
            open_far(served)
        assert "secret" not in str(e.value)
        assert elsewhere.requests == []
        assert elsewhere.headers == []


def test_a_redirect_within_the_allowed_hosts_is_followed_once(served):
    def answer(handler):
        if handler.path == "/scene.tif":
            answer_status(307, Location="/moved.tif")(handler)
        else:
            serve_range(handler)

    served.answer = answer
    scene = open_far(served)
    assert (descend(scene)[0] == descend(open_scene(served.local))[0]).all()
    paths = [path for path, _ in served.requests]
    # the first look, the layout, and each image
    handles = len(scene.overviews) + 3
    assert 0 < paths.count("/scene.tif") <= handles


def test_redirects_in_a_circle_end(served):
    served.answer = answer_status(301, Location="/scene.tif")
    with pytest.raises(SceneReadError, match="more than 5 redirects"):
        open_far(served)
    assert len(served.requests) == 6


def test_a_redirect_carries_no_password_along(served):
    def answer(handler):
        if handler.path == "/scene.tif":
            location = f"http://127.0.0.1:{served.server_port}/moved.tif"
            answer_status(302, Location=location)(handler)
        else:
            serve_range(handler)

    served.answer = answer
    open_far(served, served.url.replace("://", "://me:word@"))
    assert "Authorization" in served.headers[0]
    assert "Authorization" not in served.headers[1]


GZIP = {"Content-Encoding": "gzip"}
NEXT_CENTURY = "Wed, 21 Oct 2122 07:28:00 GMT"


@pytest.mark.parametrize(
    ("answer", "error", "reason", "requests"),
    [
        (answer_status(404), SceneNotFoundError, "answered 404", 1),
        (answer_status(403), SceneReadError, "answered 403.*rights", 1),
        (answer_status(500), SceneReadError, r"answered 500 \(3 attempts\)", 3),
        (answer_status(503), SceneReadError, r"answered 503 \(3 attempts\)", 3),
        (answer_status(416), SceneReadError, "no such part.*open the scene again", 1),
        (answer_status(429, **{"Retry-After": "3600"}), SceneReadError, "left alone for 3600 s", 1),
        (answer_status(503, **{"Retry-After": NEXT_CENTURY}), SceneReadError, "left alone for", 1),
        (answer_status(429, **{"Retry-After": "soon"}), SceneReadError, r"\(3 attempts\)", 3),
        (answer_status(302, Location="file:///etc/passwd"), SceneRefusedError, "'file:///etc", 1),
        (answer_status(302, Location="http://[::1"), SceneReadError, "is not an address", 1),
        (answer_status(200), SceneReadError, "does not serve ranges", 1),
        (answer_status(206), SceneReadError, "does not say which part.*download it", 1),
        (answer_status(206, **{"Content-Range": "bytes 0-9/*"}), SceneReadError, "how large", 1),
        (lambda h: serve_range(h, more=b"x"), SceneReadError, "more than it said", 1),
        (lambda h: serve_range(h, **GZIP), SceneReadError, "compresses what it sends", 1),
        (lambda h: serve_range(h, cut=100), SceneReadError, r"\(3 attempts\)", 3),
        (lambda h: serve_range(h, shift=1), SceneReadError, "sent another range", 1),
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
        (answer_status(503) if len(served.requests) % 2 == 0 else serve_range)(handler)

    served.answer = answer
    assert (descend(open_far(served))[0] == descend(open_scene(served.local))[0]).all()


def test_a_server_is_left_alone_for_as_long_as_it_asks(served, monkeypatch):
    pauses = []
    monkeypatch.setattr(client.time, "sleep", pauses.append)
    busy = iter([answer_status(429, **{"Retry-After": "2"})])
    served.answer = lambda handler: next(busy, serve_range)(handler)
    open_far(served)
    # the pauses before first attempts are none
    assert [pause for pause in pauses if pause] == [2.0]


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
    served.answer = answer_status(500)
    with pytest.raises(SceneReadError, match="answered 500"):
        descend(scene)
    served.answer = serve_range
    assert all((a == b).all() for a, b in zip(descend(scene), truth, strict=True))


def test_a_file_that_changes_on_its_server_is_noticed(served):
    scene = open_far(served)
    served.etag = '"2"'
    with pytest.raises(SceneReadError, match="changed on the server; open the scene again"):
        descend(scene)
    assert open_far(served).identity != scene.identity
