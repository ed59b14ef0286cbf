"""Whatever an endpoint sends is an honest answer or one clear error, and is paid for once."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from chat_server import answers, completion, raw, says, status
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import EndpointError, ModelError, SpendLimitError
from geofovea.pipeline.hosts.endpoint.client import EndpointClient
from geofovea.pipeline.hosts.endpoint.error_body import ChatError, error_of
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.response import parse_reply
from geofovea.pipeline.hosts.endpoint.sanitize import without_key
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.hosts.endpoint.shared_ledger import (
    LEDGER_FILE,
    SharedLedger,
    make_ledger_file,
    spent,
)

KEY = "sk-proj-0123456789-abcdefghijkl"
PAYLOAD = {"model": "m", "messages": [], "max_tokens": 8, "temperature": 0, "logprobs": True}


def client_of(url, limit=None, **chosen):
    quick = {"attempt_seconds": 20.0, "total_seconds": 40.0, "pause_seconds": 0.01, "attempts": 2}
    wanted = EndpointSettings(url, limit=limit or SpendLimit(), **(quick | chosen))
    return EndpointClient(wanted, Ledger(wanted.limit))


def ask(client, prompt_tokens=1000):
    return client.complete(PAYLOAD, prompt_tokens, 8, 1)


def reply_of(message=None, *, usage=None, **choice):
    message = {"role": "assistant", "content": "yes"} if message is None else message
    body = {"choices": [{"message": message, **choice}]}
    return parse_reply(json.dumps(body | ({} if usage is None else {"usage": usage})).encode())


def tokens(*pairs):
    return {"content": [{"token": token, "logprob": value} for token, value in pairs]}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("<think>\nIt may be three.\n</think>\n\ntwo", "two"),
        ("It may be three.</think>two", "two"),
        ("<thinking>hm</thinking> two", "two"),
        ("◁think▷hm◁/think▷two", "two"),
        ("<think>hm</think><answer>two</answer>", "two"),
        ("<|begin_of_box|>two<|end_of_box|>", "two"),
        ("<think>It may be three", ""),
        ("no <think> here", "no <think> here"),
    ],
)
def test_what_a_model_thinks_aloud_is_no_answer(content, text):
    assert reply_of({"content": content}).text == text


def test_the_confidence_is_that_of_the_answer_and_not_of_the_thoughts():
    logprobs = tokens(("<think>", -3.0), ("hm", -2.0), ("</think>", -1.0), ("\n", -0.5),
                      ("t", -0.25), ("wo", -0.125), ("<|im_end|>", -0.1))  # fmt: skip
    reply = reply_of({"content": "<think>hm</think>\ntwo"}, logprobs=logprobs)
    assert reply.log_probabilities == (-0.25, -0.125)
    told_apart = {"content": "two", "reasoning_content": "hm"}
    assert reply_of(told_apart, logprobs=logprobs).log_probabilities == (-0.25, -0.125)
    elsewhere = tokens(("hm", -2.0), ("three", -0.1))
    assert reply_of(told_apart, logprobs=elsewhere).log_probabilities is None


@pytest.mark.parametrize(
    "message",
    [{"content": None, "reasoning_content": "hm"}, {"content": ""}, {"role": "assistant"}],
)
def test_no_answer_has_no_confidence(message):
    reply = reply_of(message, logprobs=tokens(("hm", -0.1)))
    assert (reply.text, reply.log_probabilities) == ("", None)


def test_a_refusal_is_told_as_one():
    message = {"content": None, "refusal": "I cannot\nhelp."}
    reply = reply_of(message, logprobs=tokens(("I", -0.1)))
    assert (reply.text, reply.ended_by) == ("I cannot help.", "refusal")
    assert reply.log_probabilities is None


@pytest.mark.parametrize(
    ("reason", "ended_by", "is_cut"),
    [
        ("stop", "", False),
        (None, "", False),
        ("eos", "", False),
        (["odd"], "", False),
        ("length", "", True),
        ("content_filter", "content_filter", False),
        ("abort", "abort", False),
        ("tool_calls", "tool_calls", False),
        ("odd\x1b[31m", "odd [31m", False),
    ],
)
def test_why_an_answer_ended_early_is_known(reason, ended_by, is_cut):
    reply = reply_of(finish_reason=reason)
    assert (reply.ended_by, reply.is_cut) == (ended_by, is_cut)


@pytest.mark.parametrize("number", ["1" + 400 * "0", "-1" + 400 * "0", "-Infinity", "1e999"])
def test_a_log_probability_that_no_float_holds_is_not_known(number):
    body = (
        '{"choices": [{"message": {"content": "yes"}, "logprobs": {"content": [{"logprob": %s}]}}]}'
    )
    assert parse_reply((body % number).encode()).log_probabilities is None


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 300, "completion_tokens": 2}, (300, 2)),
        # thoughts that are in the total alone
        ({"prompt_tokens": 300, "completion_tokens": 2, "total_tokens": 900}, (300, 600)),
        ({"prompt_tokens": 300, "total_tokens": 340}, (300, 40)),
        # zeros for what was not counted
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, None),
        ({"prompt_tokens": 300}, None),
        ({"prompt_tokens": 300, "total_tokens": 10**12}, None),
        ({"prompt_tokens": 300, "total_tokens": 200}, None),
        ({"prompt_tokens": True, "completion_tokens": 2}, None),
    ],
)
def test_usage_is_never_less_than_was_told(usage, counted):
    assert reply_of(usage=usage).usage == counted


@pytest.mark.parametrize(
    ("body", "text", "code"),
    [
        ({"error": {"message": "no", "code": 429}}, "no", 429),
        ({"error": {"message": "no", "code": "rate_limit_exceeded"}}, "no", None),
        ({"error": {"message": "no", "param": "logprobs"}}, "no (logprobs)", None),
        ({"error": "no"}, "no", None),
        ({"object": "error", "message": "no", "code": 400}, "no", 400),
        ({"detail": "no"}, "no", None),
        ({"detail": [{"loc": ["body", "logprobs"], "msg": "no"}]}, "no (logprobs)", None),
        ({"message": {"detail": [{"loc": ["body", "top"], "msg": "no"}]}}, "no (top)", None),
        ([{"error": {"message": "no", "code": 400}}], "no", 400),
        ({"errors": [{"message": "no", "code": 7003}]}, "no", None),
        ({"choices": [{"error": {"message": "no", "code": 502}}]}, "no", 502),
        ({"choices": [{"message": {"content": "no"}}]}, "", None),
        ({"error": {"message": "no", "metadata": {"raw": "no logprobs"}}}, "no: no logprobs", None),
        ("no", "no", None),
        (None, "", None),
    ],
)
def test_what_makes_say_of_an_error_is_found(body, text, code):
    assert error_of(json.dumps(body).encode()) == ChatError(text, code)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "loc", "msg", "code", "choices"]), inner
        )
    ),
    max_leaves=9,
)


@settings(deadline=None, max_examples=60)
@given(json_values)
def test_any_error_is_one_short_line(body):
    told = error_of(json.dumps(body).encode())
    assert told.text.isprintable()
    assert len(told.text) <= 2000


@pytest.mark.parametrize("code", [400, 422])
@pytest.mark.parametrize(
    "body",
    [
        {"detail": [{"loc": ["body", "logprobs"], "msg": "Extra inputs are not permitted"}]},
        [{"error": {"message": 'Unknown name "logprobs": Cannot find field.'}}],
        {"error": {"message": "x" * 300, "param": "logprobs"}},
    ],
)
def test_a_parameter_that_any_make_refuses_is_left_out(server, body, code):
    server.script = [answers(body, code)]
    assert ask(client_of(server.url)).text == "yes"
    assert ["logprobs" in request for request in server.requests] == [True, False]


@pytest.mark.parametrize(
    "said",
    [
        "'max_tokens' is too large: 8. The maximum context length is 4096 tokens",
        "At most 1 image(s) may be provided in one prompt.",
        "the request exceeds the available context size",
    ],
)
def test_a_prompt_that_is_too_long_is_not_sent_again_under_another_name(server, said):
    server.otherwise = status(400, said)
    with pytest.raises(EndpointError, match="send less with tokens="):
        ask(client_of(server.url))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"code": 429, "message": "busy upstream"}}, "busy upstream"),
        (
            {
                "choices": [
                    {"message": {"content": ""}, "error": {"code": 502, "message": "overloaded"}}
                ]
            },
            r"the model behind it failed \(overloaded\)",
        ),
    ],
)
def test_a_failure_told_with_status_200_is_tried_again(server, body, reason):
    server.script = [answers(body)]
    assert ask(client_of(server.url)).text == "yes"
    server.otherwise = answers(body)
    with pytest.raises(EndpointError, match=rf"{reason}.*2 attempts"):
        ask(client_of(server.url))


@pytest.mark.parametrize("code", [520, 522, 524, 529])
def test_a_gateway_that_gave_up_is_tried_again(server, code):
    server.script = [status(code)]
    assert ask(client_of(server.url)).text == "yes"


@pytest.mark.parametrize(
    "reply",
    [
        raw(b"data: {}\n\n", "text/event-stream"),
        raw(b"{}", Content_Encoding="gzip"),
        raw(b" " * (5 * 2**20)),
        raw(b"{}"),
        answers({"id": "1"}, 202),
        answers({"error": "no such model"}),
        answers({"choices": [{"message": {"content": "y"}, "error": "broken"}]}),
    ],
    ids=["stream", "gzip", "huge", "empty", "accepted", "error", "broken"],
)
def test_what_may_have_been_worked_for_is_counted_as_spent(server, reply):
    server.otherwise = reply
    client = client_of(server.url)
    with pytest.raises(EndpointError):
        ask(client)
    assert client.ledger.use.tokens == 1008 * len(server.requests)


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "text/html"])
def test_an_answer_under_another_type_is_an_answer(server, kind):
    server.otherwise = raw(completion("yes", None, None), kind)
    assert ask(client_of(server.url)).text == "yes"


@pytest.mark.parametrize("encoding", ["Identity", ""])
def test_what_is_not_compressed_is_read_however_that_is_said(server, encoding):
    server.otherwise = raw(completion("yes", None, None), Content_Encoding=encoding)
    assert ask(client_of(server.url)).text == "yes"


@pytest.mark.parametrize(
    "date", ["Fri, 01 Jan 99999999999999999999 00:00:00 GMT", "Fri, 01 Jan 2021 00:00:00 +99999999"]
)
def test_a_date_that_no_calendar_has_is_ignored(server, date):
    server.script = [status(429, Retry_After=date)]
    assert ask(client_of(server.url)).text == "yes"


def test_an_endpoint_that_counts_more_than_was_expected_cannot_outspend_the_limit(server):
    server.otherwise = says("yes", None, (2500, 40))
    client = client_of(server.url, SpendLimit(tokens=6500))
    ask(client)
    ask(client)
    # a third would fit by what was estimated, and not by what the first ones took
    assert client.ledger.use.tokens + 1008 < 6500
    with pytest.raises(SpendLimitError, match="may cost 2540 tokens, 5080 of at most 6500"):
        ask(client)
    assert len(server.requests) == 2


def test_what_one_worker_found_it_to_cost_holds_for_all_and_after_a_restart(tmp_path):
    make_ledger_file(tmp_path)
    limit = SpendLimit(tokens=6500)
    first, second = (SharedLedger(limit, tmp_path / LEDGER_FILE) for _ in range(2))
    first.settle(first.reserve(1000, 8, 1, is_repeat=False), (2500, 40))
    assert second.reserve(1000, 8, 1, is_repeat=False).tokens == (2500, 40)
    make_ledger_file(tmp_path)
    with pytest.raises(SpendLimitError, match="may cost 2540 tokens"):
        SharedLedger(limit, tmp_path / LEDGER_FILE).reserve(1000, 8, 1, is_repeat=False)
    assert spent(tmp_path).tokens == 5080


@pytest.mark.parametrize(
    "said", [KEY, "x" * 190 + KEY, f"{KEY[:9]}...{KEY[-4:]}", f"bearer{KEY}{KEY}"]
)
def test_no_part_of_a_key_is_in_an_error(server, monkeypatch, said):
    monkeypatch.setenv("GEOFOVEA_API_KEY", KEY)
    server.otherwise = status(401, said)
    with pytest.raises(EndpointError) as raised:
        ask(client_of(server.url))
    assert KEY[:6] not in str(raised.value)
    assert KEY[9:15] not in str(raised.value)


def test_a_key_that_a_model_repeats_is_not_in_its_answer(server, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_API_KEY", KEY)
    server.otherwise = says(f"the key is {KEY}, I think")
    assert ask(client_of(server.url)).text == "the key is ***, I think"


@pytest.mark.parametrize("key", ["AIzaSyA0123456789abcdef", "hf_AbCdEf0123", "sk_live_0123abc"])
def test_a_key_that_looks_like_a_name_is_not_repeated(key):
    client = client_of("http://localhost:9/v1", key_variable=key)
    with pytest.raises(ModelError, match="that was named is not set") as raised:
        ask(client)
    assert key not in str(raised.value)


@pytest.mark.parametrize("key", ["none", "EMPTY", "ollama"])
def test_a_word_in_place_of_a_key_does_not_change_answers(server, monkeypatch, key):
    monkeypatch.setenv("GEOFOVEA_API_KEY", key)
    server.otherwise = says(key)
    assert ask(client_of(server.url)).text == key


@settings(deadline=None, max_examples=60)
@given(st.text("abc", min_size=4, max_size=8), st.text("abcd", max_size=40))
def test_no_run_of_a_key_is_left_in_a_text(key, text):
    hidden = without_key(text, key, 4)
    assert not any(key[i : i + 4] in hidden for i in range(len(key) - 3))
    if not any(key[i : i + 4] in text for i in range(len(key) - 3)):
        assert hidden == text


PROXIES = ["socks5://me:word@127.0.0.1:9", "ftp://me:word@127.0.0.1:9", "http://h:port", "::::"]


@pytest.mark.parametrize("proxy", PROXIES)
def test_a_proxy_that_cannot_be_used_is_an_error_without_its_password(monkeypatch, proxy):
    monkeypatch.setenv("HTTP_PROXY", proxy)
    with pytest.raises(EndpointError, match="the proxy in HTTP_PROXY") as raised:
        ask(client_of("http://example.invalid/v1"))
    assert "word" not in str(raised.value)


def test_a_proxy_of_the_environment_is_asked_and_no_proxy_is_heeded(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/v1"))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert ask(client_of("http://example.invalid/v1")).text == "yes"
    assert server.paths == ["http://example.invalid/v1/chat/completions"]
    monkeypatch.setenv("no_proxy", "example.invalid")
    with pytest.raises(EndpointError, match="cannot be reached"):
        ask(client_of("http://example.invalid/v1"))


def test_an_address_to_listen_at_is_this_machine(server, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    everywhere = server.url.replace("127.0.0.1", "0.0.0.0")
    assert EndpointSettings(everywhere).is_private
    assert ask(client_of(everywhere)).text == "yes"


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"url": 5}, "an http or https address"),
        ({"url": "http://localhost/v1 "}, "an http or https address"),
        ({"url": "http://local\nhost/v1"}, "an http or https address"),
        ({"url": "http://h/v1/chat/completions/"}, "which is added"),
        ({"attempts": 1.5}, "attempts must be a whole number"),
        ({"attempts": "3"}, "attempts must be a whole number"),
        ({"answer_tokens": True}, "answer_tokens must be a whole number"),
        ({"image_tokens": 256.0}, "image_tokens must be a whole number"),
        ({"tile_size": 0}, "tile_size is 1 to 4096"),
        ({"tile_size": -448}, "tile_size is 1 to 4096"),
        ({"pause_seconds": -1}, "pause_seconds must not be negative"),
        ({"pause_seconds": float("nan")}, "pause_seconds must not be negative"),
        ({"total_seconds": "5"}, "total_seconds must be positive"),
        ({"key_variable": None}, "the name of an environment variable"),
    ],
)
def test_settings_of_another_kind_are_refused_in_words(wrong, reason):
    with pytest.raises(ModelError, match=reason):
        EndpointSettings(**({"url": "http://localhost/v1"} | wrong))


def test_a_time_that_no_clock_holds_is_no_obstacle(server):
    assert ask(client_of(server.url, attempt_seconds=1e300, total_seconds=1e300)).text == "yes"


def test_a_name_that_nobody_looks_up_is_left_in_time(monkeypatch):
    is_over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: is_over.wait(30) and [])
    client = client_of("http://nowhere.invalid/v1", attempt_seconds=0.2, total_seconds=0.5)
    started = time.monotonic()
    try:
        with pytest.raises(EndpointError, match="did not answer in time"):
            ask(client)
        # a look-up cannot be ended, so it is waited for as long again, and left alone
        assert time.monotonic() - started < 20
    finally:
        is_over.set()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + completion("yes", None, None))

    def log_message(self, *_):
        pass


@pytest.fixture
def secure_server(tmp_path):
    """Port of a server on this machine with a certificate that nobody signed, and the latter."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl here that makes a certificate")
    own, key = tmp_path / "own.pem", tmp_path / "key.pem"
    words = (
        f"req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {own} -subj /CN=localhost"
    )
    wanted = [*words.split(), "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([program, *wanted], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, key)
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        # a handshake that fails is not the server's end
        server.handle_error = lambda *_: None
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_port, own
        server.shutdown()
        thread.join()


def test_a_certificate_of_nobody_is_refused_at_once_and_taken_where_it_is_named(
    secure_server, monkeypatch
):
    port, own = secure_server
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    client = client_of(f"https://127.0.0.1:{port}/v1")
    with pytest.raises(EndpointError, match=r"not trusted \(self-signed certificate\); .*SSL_CERT"):
        ask(client)
    assert (client.ledger.use.calls, client.ledger.use.tokens) == (1, 0)
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    assert ask(client_of(f"HTTPS://localhost:{port}/v1")).text == "yes"
    monkeypatch.setenv("SSL_CERT_FILE", str(own.with_name("nowhere.pem")))
    with pytest.raises(EndpointError, match="SSL_CERT_FILE"):
        ask(client)
