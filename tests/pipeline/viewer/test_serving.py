"""The server as a process meets it: on real sockets, bounded, and gone when it is told to go."""

import asyncio
import http.client
import ipaddress
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import pytest
import uvicorn
from click.testing import CliRunner
from pipeline_toys import QUESTION
from viewer_toys import gate_before, running, until

from geofovea.errors import ServingError
from geofovea.pipeline.agents import mcp_server
from geofovea.pipeline.cli import main
from geofovea.pipeline.viewer import serving
from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.serving import listen, run_server

TOKEN_PATTERN = r"http://127\.0\.0\.1:(\d+)/#token=([A-Za-z0-9_-]{43})\n"


def test_it_listens_on_the_loopback_with_a_fresh_secret():
    first, second = listen(), listen()
    with first.socket, second.socket:
        assert first.socket.getsockname()[0] == "127.0.0.1"
        assert first.token != second.token
        assert re.fullmatch(TOKEN_PATTERN, first.address + "\n")
        assert not first.served_at.is_open


def test_small_pieces_of_a_response_are_sent_at_once(desk, monkeypatch):
    options, transport = [], asyncio.selector_events._SelectorSocketTransport
    start = transport.__init__

    def note(self, loop, sock, *more, **named):
        start(self, loop, sock, *more, **named)
        options.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(transport, "__init__", note)
    with running(desk) as (address, token):
        head = f"Host: 127.0.0.1:{address[1]}\r\nAuthorization: Bearer {token}\r\n\r\n"
        assert raw(address, f"GET /api/jobs HTTP/1.1\r\n{head}".encode()).startswith(
            b"HTTP/1.1 200"
        )
    assert options
    assert all(options)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.com", "127.0.0.1.evil"])
def test_beyond_the_loopback_it_listens_only_when_that_is_allowed(host):
    with pytest.raises(ServingError, match=r"--allow-network.*ssh -L"):
        listen(host)


def test_where_that_is_allowed_the_address_is_one_that_a_browser_opens():
    listening = listen("0.0.0.0", allow_network=True)
    with listening.socket:
        assert listening.served_at.is_open
        assert listening.address.startswith("http://127.0.0.1:")


@pytest.mark.parametrize("host", ["::1", "localhost", "127.0.0.2"])
def test_every_address_of_the_loopback_will_do(host):
    listening = listen(host)
    with listening.socket:
        assert not listening.served_at.is_open
        shown = listening.address.split("/")[2].rpartition(":")[0].strip("[]")
        assert shown == host
        assert shown == "localhost" or ipaddress.ip_address(shown).is_loopback


@pytest.mark.parametrize(("screen", "opened"), [({"DISPLAY": ":0"}, 1), ({}, 0)])
def test_a_browser_is_opened_where_there_is_a_screen(desk, monkeypatch, screen, opened):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    for name, value in screen.items():
        monkeypatch.setenv(name, value)
    addresses, told = [], threading.Event()
    monkeypatch.setattr(serving.webbrowser, "open", addresses.append)
    servers, make = [], uvicorn.Server
    monkeypatch.setattr(
        serving.uvicorn, "Server", lambda config: servers.append(make(config)) or servers[-1]
    )
    listening = listen()
    app = make_app(desk, listening.token, listening.served_at)
    options = {"opens_browser": True, "ready": told.set}
    thread = threading.Thread(target=run_server, args=(app, listening), kwargs=options)
    thread.start()
    assert told.wait(30)
    until(lambda: len(addresses) == opened)
    servers[0].should_exit = True
    thread.join(30)
    listening.socket.close()
    assert addresses == [listening.address] * opened


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServingError, match=f"port {port} of 127.0.0.1 cannot be had.*--port"):
            listen(port=port)


def raw(address, request):
    """The head of what comes back for some bytes."""
    with socket.create_connection(address, timeout=20) as sock:
        sock.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head and (more := sock.recv(4096)):
            head += more
        return head.split(b"\r\n\r\n")[0]


@pytest.fixture
def desk(make_desk):
    return make_desk()


def test_over_real_sockets_bodies_and_heads_are_bounded(desk):
    with running(desk) as (address, token):
        port = address[1]
        head = f"Host: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\n".encode()
        good = raw(address, b"GET /api/scenes HTTP/1.1\r\n" + head + b"\r\n")
        assert good.startswith(b"HTTP/1.1 200")
        assert b"server:" not in good.lower()
        big = b"X: " + b"x" * 40_000 + b"\r\n"
        assert raw(address, b"GET / HTTP/1.1\r\n" + head + big).startswith(b"HTTP/1.1 4")
        lengthy = head + b"Content-Type: application/json\r\nContent-Length: 9999999\r\n\r\n"
        assert raw(address, b"POST /api/jobs HTTP/1.1\r\n" + lengthy).startswith(b"HTTP/1.1 413")
        chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
        chunked = head + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        reply = raw(address, b"POST /api/jobs HTTP/1.1\r\n" + chunked + chunk * 20 + b"0\r\n\r\n")
        assert reply.startswith(b"HTTP/1.1 413")
        twice = head + f"Host: 127.0.0.1:{port}\r\n\r\n".encode()
        assert raw(address, b"GET / HTTP/1.1\r\n" + twice)[:12] in (
            b"HTTP/1.1 400",
            b"HTTP/1.1 421",
        )
        assert raw(address, b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421")
        assert raw(address, b"\x16\x03\x01\x02\x00").startswith(b"HTTP/1.1 400")


def test_more_connections_than_it_takes_are_told_so(desk):
    with running(desk) as (address, token):
        held = [socket.create_connection(address, timeout=20) for _ in range(70)]
        try:
            request = f"GET /api/jobs HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\n"
            request += f"Authorization: Bearer {token}\r\n\r\n"
            until(lambda: raw(address, request.encode()).startswith(b"HTTP/1.1 503"), "a refusal")
        finally:
            for sock in held:
                sock.close()
        until(lambda: raw(address, request.encode()).startswith(b"HTTP/1.1 200"), "an answer")


@contextmanager
def streamed(address, token):
    """A question, and its events as they come: ``(job id, connection, response)``."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    with closing(http.client.HTTPConnection(*address, timeout=60)) as asking:
        body = json.dumps({"scene": "1", "question": QUESTION})
        asking.request("POST", "/api/jobs", body, headers)
        job = json.loads(asking.getresponse().read())["job"]
        asking.request("GET", f"/api/jobs/{job}/events", headers=headers)
        with asking.getresponse() as stream:
            yield job, stream


def test_events_arrive_while_the_question_runs(desk):
    with (
        running(desk) as (address, token),
        gate_before(desk.scenes["1"].session) as gate,
        streamed(address, token) as (_, stream),
    ):
        gate.wait()
        names, lines = [], iter(stream.readline, b"")
        for line in lines:
            if line.startswith(b"event: "):
                names.append(line.split()[1].decode())
            if names[-1:] == ["look"]:
                break
        # the gate is shut: the model has not seen a tile yet
        assert names == ["queued", "started", "look"]
        gate.open()
        names += [line.split()[1].decode() for line in lines if line.startswith(b"event: ")]
        assert names[-1] == "answer"


def test_who_leaves_a_stream_leaves_nothing_behind(desk):
    with running(desk) as (address, token), gate_before(desk.scenes["1"].session) as gate:
        with streamed(address, token) as (job_id, _):
            gate.wait()
            job = desk.job(job_id)
            until(lambda: len(job._listeners) == 1, "the listener")
        until(lambda: not job._listeners, "the end of the listener")
        gate.open()
    until(lambda: job.has_ended)
    assert job.state == "answered"


def test_a_tile_that_nobody_waits_for_any_more_is_not_read(desk, monkeypatch):
    scene, read, held = desk.scenes["1"], [], threading.Event()
    exact = scene.grid.read

    def slow(tile):
        read.append(tile)
        assert held.wait(60)
        return exact(tile)

    monkeypatch.setattr(scene.grid, "read", slow)
    with running(desk) as (address, token):
        head = f"Host: 127.0.0.1:{address[1]}\r\nAuthorization: Bearer {token}\r\n\r\n"
        socks = []
        for col in range(4):
            for row in range(4):
                sock = socket.create_connection(address, timeout=30)
                sock.sendall(f"GET /api/scenes/1/view/0/{row}/{col} HTTP/1.1\r\n{head}".encode())
                socks.append(sock)
        until(lambda: len(read) == 4, "the first tiles")
        time.sleep(0.3)
        for sock in socks:
            sock.close()
        time.sleep(0.3)
        held.set()
        time.sleep(0.5)
    assert len(read) < 16


@pytest.mark.slow
def test_the_verb_prints_one_address_answers_and_ends_on_a_signal(scene_path, tiny_folder):
    code = "from geofovea.pipeline.cli import main; main()"
    words = ["serve", str(scene_path), "--model", str(tiny_folder), "--no-open"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # a shell that starts the tests in the background lets them ignore it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        line = process.stdout.readline()
        match = re.fullmatch(TOKEN_PATTERN, line)
        assert match, line + (process.stderr.read() if process.poll() is not None else "")
        connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=60)
        connection.request("GET", "/api/scenes", headers={"Authorization": f"Bearer {match[2]}"})
        told = json.loads(connection.getresponse().read())
        assert told["scenes"][0]["name"] == scene_path.name
        connection.request("GET", "/api/scenes")
        assert connection.getresponse().status == 401
        connection.close()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Traceback" not in errors
    begun, *rest = errors.splitlines()
    assert begun.startswith("loading the model")
    assert len(rest) <= 1


@pytest.mark.parametrize("verb", ["serve", "mcp"])
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--memory", "5", "--skip", "ima:1"], "leave out --memory or --skip"),
        (["--memory", "5", "--reduction", "fastv"], "or what drops tokens there in --reduction"),
        (["--resampler", "m3:4"], "geofovea train --with m3"),
        (["--focus", "uniform", "--search", "geometric"], "leave out --search geometric"),
    ],
)
def test_what_no_question_could_be_answered_with_is_refused_before_anything_is_served(
    verb, words, told, scene_path, tiny_folder, monkeypatch
):
    monkeypatch.setattr(serving, "run_server", lambda *_, **__: pytest.fail("it was served"))
    monkeypatch.setattr(mcp_server, "run_on_stdio", lambda _: pytest.fail("it was served"))
    result = CliRunner().invoke(main, [verb, str(scene_path), "--model", str(tiny_folder), *words])
    assert result.exit_code == 1
    assert told in result.stderr
