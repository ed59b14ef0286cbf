"""Nothing but our own page, and whoever has the token, is answered; and nothing large is taken."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from geofovea.pipeline.viewer import guard as module
from geofovea.pipeline.viewer.guard import HEADERS, MOST_BODY_BYTES, Guard, ServedAt

TOKEN = "z" * 43
RIGHT = {"authorization": f"Bearer {TOKEN}"}


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"bytes": len(await request.body())})


def client(served_at=None, server=("127.0.0.1", 8421), base="http://127.0.0.1:8421"):
    app = Starlette(routes=[Route("/", echo), Route("/data", echo, methods=["GET", "POST"])])
    guard = Guard(app, TOKEN, served_at or ServedAt(8421), {"/"})

    async def at_address(scope, receive, send):
        await guard({**scope, "server": server}, receive, send)

    return TestClient(at_address, base_url=base, raise_server_exceptions=False)


def test_the_page_itself_needs_no_token_and_data_does():
    asking = client()
    assert asking.get("/").status_code == 200
    assert asking.get("/data").status_code == 401
    assert asking.get("/data", headers=RIGHT).status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer ",
        "Bearer",
        f"Basic {TOKEN}",
        TOKEN,
        "",
        "Bearer z\xe4".encode("latin-1"),
    ],
)
def test_a_wrong_token_is_refused_and_told_what_to_do(value):
    reply = client().get("/data", headers={"authorization": value})
    assert reply.status_code == 401
    assert "address that it printed" in reply.text or "address that the server" in reply.text
    assert reply.headers["www-authenticate"] == "Bearer"


def test_two_tokens_are_none():
    headers = [("authorization", "Bearer wrong"), ("authorization", f"Bearer {TOKEN}")]
    assert client().get("/data", headers=headers).status_code == 401


def test_a_token_in_the_address_or_in_a_cookie_opens_nothing():
    asking = client()
    assert asking.get(f"/data?token={TOKEN}").status_code == 401
    asking.cookies.set("token", TOKEN)
    assert asking.get("/data").status_code == 401


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8421", "localhost:8421", "LOCALHOST:8421", "[::1]:8421"]
)
def test_the_names_of_the_loopback_are_ours(host):
    assert client().get("/data", headers=RIGHT | {"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8421",
        "127.0.0.1",
        "127.0.0.1:8422",
        "localhost.evil.example:8421",
        "127.0.0.1.nip.io:8421",
        "192.168.1.5:8421",
        "0.0.0.0:8421",
        "",
        "127.0.0.1:8421@evil.example",
    ],
)
@pytest.mark.parametrize("path", ["/", "/data"])
def test_any_other_name_is_misdirected_even_with_the_token(host, path):
    assert client().get(path, headers=RIGHT | {"host": host}).status_code == 421


def test_two_host_headers_are_misdirected():
    headers = [*RIGHT.items(), ("host", "127.0.0.1:8421"), ("host", "127.0.0.1:8421")]
    assert client().get("/data", headers=headers).status_code == 421


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:9100",
        "http://localhost",
        "https://127.0.0.1:8421",
        "null",
        "file://",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_pages_of_other_origins_are_refused_even_with_the_token(origin, method):
    reply = client().request(method, "/data", headers=RIGHT | {"origin": origin})
    assert reply.status_code == 403
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8421", "http://localhost:8421"])
def test_our_own_page_is_answered_and_no_other_is_ever_allowed_by_cors(origin):
    reply = client().post("/data", headers=RIGHT | {"origin": origin}, content=b"x")
    assert reply.json() == {"bytes": 1}
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403), ("", 403)],
)
@pytest.mark.parametrize("path", ["/", "/data"])
def test_what_a_browser_says_of_the_asking_site_decides(site, status, path):
    reply = client().get(path, headers=RIGHT | {"sec-fetch-site": site})
    assert reply.status_code == status


def test_a_body_that_is_announced_as_too_large_is_not_read():
    asking = client()
    assert asking.post("/data", headers=RIGHT, content=b"x" * MOST_BODY_BYTES).status_code == 200
    reply = asking.post("/data", headers=RIGHT, content=b"x" * (MOST_BODY_BYTES + 1))
    assert reply.status_code == 413
    assert str(MOST_BODY_BYTES) in reply.text


def test_a_body_without_a_length_is_counted_as_it_arrives():
    def chunks():
        for _ in range(200):
            yield b"x" * 1024

    reply = client().post("/data", headers=RIGHT, content=chunks())
    assert reply.status_code == 413


@pytest.mark.parametrize("length", ["-1", "1e9", "99999999999999999999999999", "0x10", " "])
def test_a_length_that_is_no_small_number_is_refused(length):
    reply = client().post("/data", headers=RIGHT | {"content-length": length}, content=b"")
    assert reply.status_code == 413


@pytest.mark.parametrize("path", ["/", "/data", "/nothing"])
@pytest.mark.parametrize("headers", [RIGHT, {}, {"host": "evil.example"}])
def test_every_response_carries_the_strict_headers(path, headers):
    reply = client().get(path, headers=headers)
    assert {name: reply.headers.get(name) for name in HEADERS} == dict(HEADERS)
    assert reply.headers["cache-control"] == "no-store"
    assert "set-cookie" not in reply.headers


def test_the_policy_lets_nothing_be_loaded_from_elsewhere_or_run_from_text():
    policy = HEADERS["content-security-policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_websocket_is_closed_at_once():
    with pytest.raises(WebSocketDisconnect), client().websocket_connect("/data", headers=RIGHT):
        pass


def test_on_a_network_the_own_address_is_ours_and_names_are_only_the_one_that_was_given():
    opened = ServedAt(8421, "0.0.0.0", is_open=True)
    asking = client(opened, server=("192.168.1.5", 8421))
    assert asking.get("/data", headers=RIGHT | {"host": "192.168.1.5:8421"}).status_code == 200
    assert asking.get("/data", headers=RIGHT | {"host": "192.168.1.6:8421"}).status_code == 421
    assert asking.get("/data", headers=RIGHT | {"host": "evil.example:8421"}).status_code == 421
    named = client(ServedAt(8421, "station.lan", is_open=True), server=("10.0.0.1", 8421))
    assert named.get("/data", headers=RIGHT | {"host": "station.lan:8421"}).status_code == 200


def test_at_port_80_browsers_leave_the_port_out():
    asking = client(ServedAt(80), server=("127.0.0.1", 80))
    assert asking.get("/data", headers=RIGHT | {"host": "127.0.0.1"}).status_code == 200


def test_a_body_that_never_ends_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "_BODY_SECONDS", 0.05)
    sent = []
    app = Guard(
        Starlette(routes=[Route("/data", echo, methods=["POST"])]), TOKEN, ServedAt(8421), ()
    )

    async def silent():
        await asyncio.sleep(60)

    async def keep(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/data",
        "raw_path": b"/data",
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "server": ("127.0.0.1", 8421),
        "headers": [
            (b"host", b"127.0.0.1:8421"),
            (b"authorization", f"Bearer {TOKEN}".encode()),
        ],
    }

    async def wait() -> None:
        await asyncio.wait_for(app(scope, silent, keep), 10)

    # the thread of the tests may run a loop of its own, as that of a browser
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(wait())).result()
    assert sent[0]["status"] == 408
