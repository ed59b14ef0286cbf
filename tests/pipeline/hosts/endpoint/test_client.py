"""A call to an endpoint is bounded whatever the endpoint does, and tells no secrets."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from chat_server import (
    chatting,
    completion,
    dripping,
    endless,
    hung_up,
    raw,
    says,
    silent,
    status,
    truncated,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import (
    BudgetError,
    EndpointError,
    EndpointUnavailableError,
    ModelError,
    SpendLimitError,
)
from geofovea.pipeline.hosts.endpoint.client import EndpointClient
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.response import NotAReplyError, parse_reply
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.hosts.usage import EndpointUse

KEY = "sk-very-secret-0123456789"
PAYLOAD = {"model": "m", "messages": [], "max_tokens": 8, "temperature": 0, "logprobs": True}


@pytest.fixture
def client(server):
    """``client(**settings)``: of the server, quick to lose patience."""

    def make(limit=None, **chosen):
        quick = {"attempt_seconds": 30.0, "total_seconds": 60.0, "pause_seconds": 0.01}
        wanted = EndpointSettings(server.url, limit=limit or SpendLimit(), **(quick | chosen))
        return EndpointClient(wanted, Ledger(wanted.limit))

    return make


def ask(client, prompt_tokens=1000, images=2):
    return client.complete(PAYLOAD, prompt_tokens, 8, images)


def test_a_reply_is_taken_apart(server, client):
    server.script = [says("two ships", [-0.5, -0.25], (812, 2))]
    asking = client()
    reply = ask(asking)
    assert (reply.text, reply.log_probabilities, reply.usage) == (
        "two ships",
        (-0.5, -0.25),
        (812, 2),
    )
    assert server.paths == ["/v1/chat/completions"]
    assert server.requests == [PAYLOAD]
    assert asking.ledger.use == EndpointUse(1, 0, 2, 812, 2, 0)


@pytest.mark.parametrize(
    "failure",
    [status(429), status(500), status(502), status(503), truncated, hung_up, raw(b'{"choices": [')],
)
def test_what_may_pass_is_tried_again(server, client, failure):
    server.script = [failure, failure]
    asking = client()
    assert ask(asking).text == "yes"
    assert len(server.requests) == 3
    assert (asking.ledger.use.calls, asking.ledger.use.repeated) == (3, 2)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (status(500), r"answered 500 \(4 attempts\)"),
        (truncated, r"the connection broke \(RemoteProtocolError\) \(4 attempts\)"),
        (raw(b"nonsense"), r"is not JSON \(4 attempts\)"),
        (raw(b"[" * 100_000), r"is not JSON \(4 attempts\)"),
    ],
)
def test_attempts_are_bounded(server, client, failure, reason):
    server.otherwise = failure
    with pytest.raises(EndpointError, match=reason):
        ask(client())
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (status(401, "no"), "the environment variable GEOFOVEA_API_KEY"),
        (status(404, "no such model"), r"404 \(no such model\); check the address and the name"),
        (status(400, "too many images"), r"400 \(too many images\)"),
        (status(302, Location="http://127.0.0.1:1/"), "redirects, which is not followed"),
        (raw(b"<html>hello</html>", "text/html"), "another type; check the address"),
        (raw(b"{}"), "is not a chat completion"),
        (raw(b"[1, 2]"), "is not a chat completion"),
        (raw(b'{"choices": [{"message": {"content": {"a": 1}}}]}'), "is not a chat completion"),
        (raw(gzip.compress(b"{}" * 1000), Content_Encoding="gzip"), "compressed"),
        (endless, "larger than 4 MiB"),
    ],
)
def test_what_cannot_pass_is_refused_at_once(server, client, failure, reason):
    server.otherwise = failure
    with pytest.raises(EndpointError, match=reason):
        ask(client())
    assert len(server.requests) == 1


@pytest.mark.parametrize("never_ends", [silent, dripping])
def test_a_server_that_never_ends_its_reply_is_left_in_time(server, client, never_ends):
    server.otherwise = never_ends
    started = time.monotonic()
    with pytest.raises(EndpointError, match="did not answer in time"):
        ask(client(attempt_seconds=0.4, total_seconds=1.0))
    # the bound is one second; the rest is a slow machine's
    assert time.monotonic() - started < 15


def test_an_endpoint_that_is_down_is_an_error_within_the_bounded_time():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v1"
    wanted = EndpointSettings(url, pause_seconds=0.01, total_seconds=2.0)
    asking = EndpointClient(wanted, Ledger(wanted.limit))
    started = time.monotonic()
    with pytest.raises(
        EndpointUnavailableError, match=r"cannot be reached, and the 2 s .*total_seconds="
    ):
        ask(asking)
    assert time.monotonic() - started < 15
    assert asking.ledger.use.tokens == 0
    few = EndpointClient(replace(wanted, attempts=2), Ledger(wanted.limit))
    with pytest.raises(EndpointUnavailableError, match=r"cannot be reached \(2 attempts\); check"):
        ask(few)


@pytest.mark.parametrize("as_date", [False, True])
def test_a_retry_after_that_the_time_does_not_hold_ends_the_call(server, client, as_date):
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    server.otherwise = status(429, Retry_After=later if as_date else "3600")
    with pytest.raises(EndpointError, match="do not hold another attempt"):
        ask(client())
    assert len(server.requests) == 1


def test_a_retry_after_is_waited_for(server, client):
    server.script = [status(429, Retry_After="1")]
    started = time.monotonic()
    assert ask(client()).text == "yes"
    assert time.monotonic() - started >= 1


def test_a_retry_after_that_means_nothing_is_ignored(server, client):
    server.script = [status(429, Retry_After="soon"), status(429, Retry_After="-5")]
    assert ask(client()).text == "yes"


@pytest.mark.parametrize(
    ("said", "left_out", "put_in"),
    [
        ("logprobs is not supported", "logprobs", None),
        ("Unsupported parameter: 'max_tokens'", "max_tokens", "max_completion_tokens"),
        ("temperature must be 1", "temperature", None),
    ],
)
def test_a_parameter_that_is_refused_is_left_out_from_then_on(
    server, client, said, left_out, put_in
):
    server.script = [status(400, said)]
    asking = client()
    ask(asking)
    ask(asking)
    assert len(server.requests) == 3
    for request in server.requests[1:]:
        assert left_out not in request
        assert put_in is None or request[put_in] == 8


def test_a_parameter_that_is_refused_again_and_again_is_an_error(server, client):
    server.otherwise = status(400, "logprobs max_tokens temperature")
    with pytest.raises(EndpointError, match="400"):
        ask(client())
    assert len(server.requests) == 4


def test_a_key_goes_into_the_header_and_nowhere_else(server, client, monkeypatch, capfd):
    monkeypatch.setenv("GEOFOVEA_API_KEY", KEY)
    server.otherwise = status(401, f"Incorrect API key provided: {KEY}")
    asking = client()
    with pytest.raises(EndpointError) as raised:
        ask(asking)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    told = str(raised.value) + repr(raised.value) + repr(asking.settings) + str(capfd.readouterr())
    cause = raised.value
    while cause := cause.__cause__ or cause.__context__:
        told += repr(cause)
    assert KEY not in told
    assert "***" in str(raised.value)


def test_without_a_key_none_is_sent(server, client):
    ask(client())
    assert "Authorization" not in server.headers[0]


def test_a_key_is_not_sent_to_where_a_redirect_leads(server, client, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_API_KEY", KEY)
    with chatting() as other:
        server.otherwise = status(307, Location=f"{other.url}/chat/completions")
        with pytest.raises(EndpointError, match="redirects"):
            ask(client())
        assert other.requests == []


def test_a_named_variable_without_a_key_is_refused(server, client, monkeypatch):
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(ModelError, match="MY_KEY is not set"):
        ask(client(key_variable="MY_KEY"))
    monkeypatch.setenv("MY_KEY", f"{KEY}\nX-Header: 1")
    with pytest.raises(ModelError, match="no key has") as raised:
        ask(client(key_variable="MY_KEY"))
    assert KEY not in str(raised.value)
    assert server.requests == []


def test_a_key_given_as_the_name_of_a_variable_is_not_repeated():
    with pytest.raises(ModelError) as raised:
        EndpointSettings("http://localhost/v1", key_variable=KEY)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    ["", "localhost:8000", "ftp://host/v1", "file:///etc/passwd", "http://", "http://h:99999/v1"],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ModelError, match=r"an endpoint is an http or https address"):
        EndpointSettings(url)


def test_an_address_of_another_kind_is_named_unless_it_may_hold_a_secret():
    with pytest.raises(ModelError, match=r"got 'ftp://host/v1'; for example http"):
        EndpointSettings("ftp://host/v1")
    for url in (f"ftp://me:{KEY}@host/v1", f"localhost:80/v1?key={KEY}", f"here#{KEY}"):
        with pytest.raises(ModelError) as raised:
            EndpointSettings(url)
        assert KEY not in str(raised.value)


@pytest.mark.parametrize(
    "url", [f"http://me:{KEY}@host/v1", f"http://host/v1?key={KEY}", f"http://host/v1#{KEY}"]
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(ModelError, match="no password, query or fragment") as raised:
        EndpointSettings(url)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("image_tokens", [0, -4, 255, 170, 81])
def test_image_tokens_that_form_no_grid_are_refused_with_those_that_do(image_tokens):
    with pytest.raises(ModelError, match="49, 64, 196, 256, 784, 1024"):
        EndpointSettings("http://localhost/v1", image_tokens=image_tokens)


@pytest.mark.parametrize(("calls", "tokens"), [(0, 1), (1, 0), (-1, 5), (True, 5), (1.5, 5)])
def test_a_limit_of_nothing_is_refused(calls, tokens):
    with pytest.raises(BudgetError, match="at least 1"):
        SpendLimit(calls, tokens)


def test_the_limit_on_calls_counts_repeated_ones_and_stops_before_the_next(server, client):
    server.otherwise = status(500)
    with pytest.raises(SpendLimitError, match="limit of 2 calls"):
        ask(client(SpendLimit(calls=2)))
    assert len(server.requests) == 2


def test_a_call_that_might_exceed_the_tokens_is_not_sent(server, client):
    server.otherwise = says("yes", None, (500, 4))
    asking = client(SpendLimit(tokens=1600))
    ask(asking)
    assert asking.ledger.use.tokens == 504
    ask(asking)
    with pytest.raises(SpendLimitError, match="1008 of at most 1600 are spent"):
        ask(asking)
    assert len(server.requests) == 2


def test_without_usage_the_estimate_is_what_was_spent(server, client):
    server.otherwise = says("yes", None, None)
    asking = client()
    ask(asking)
    assert asking.ledger.use == EndpointUse(1, 0, 2, 1000, 8, 1)


def test_what_a_broken_reply_may_have_cost_is_counted_and_a_refused_one_is_free(server, client):
    server.script = [truncated, status(429)]
    asking = client()
    ask(asking)
    assert asking.ledger.use.prompt_tokens == 1000 + 900


def test_many_threads_cannot_outspend_the_limit():
    ledger, refused = Ledger(SpendLimit(calls=50, tokens=10_000)), []

    def spend():
        for _ in range(10):
            try:
                ledger.reserve(100, 10, 1, is_repeat=False)
            except SpendLimitError:
                refused.append(1)

    threads = [threading.Thread(target=spend) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.use.calls == 50
    assert len(refused) == 30


def test_a_call_works_where_a_loop_is_running_already(client):
    async def in_a_notebook():
        return ask(client())

    assert asyncio.run(in_a_notebook()).text == "yes"


def test_a_loopback_endpoint_is_reached_past_a_proxy(client, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert ask(client()).text == "yes"


@pytest.mark.parametrize(
    ("url", "is_local", "is_private"),
    [
        ("http://localhost:8000/v1", True, True),
        ("http://127.0.0.2/v1", True, True),
        ("http://[::1]:8000/v1", True, True),
        ("http://192.168.0.7/v1", False, False),
        ("https://api.example.com/v1", False, True),
        ("http://localhost.example.com/v1", False, False),
    ],
)
def test_it_is_known_who_can_listen(url, is_local, is_private):
    found = EndpointSettings(url)
    assert (found.is_local, found.is_private) == (is_local, is_private)


def reply_with(**changes):
    body = json.loads(completion("yes", [-0.1], {"prompt_tokens": 5, "completion_tokens": 1}))
    body["choices"][0].update(changes.pop("choice", {}))
    return parse_reply(json.dumps(body | changes).encode())


@pytest.mark.parametrize(
    "logprobs",
    [
        None,
        [],
        {"content": None},
        {"content": []},
        {"content": "abc"},
        {"content": [{"token": "a"}]},
        {"content": [{"logprob": "-1"}]},
        {"content": [{"logprob": 2.0}]},
        {"content": [{"logprob": True}]},
        {"content": [{"logprob": -1.0}, None]},
    ],
)
def test_log_probabilities_that_cannot_be_are_none(logprobs):
    assert reply_with(choice={"logprobs": logprobs}).log_probabilities is None


@pytest.mark.parametrize(
    "usage", [None, [], {}, {"prompt_tokens": "5"}, {"prompt_tokens": -1}, {"prompt_tokens": 1e30}]
)
def test_usage_that_cannot_be_is_none(usage):
    assert reply_with(usage=usage).usage is None


def test_an_answer_is_printable_and_bounded():
    said = "\x1b[31mred\x1b[0m\r\n\u202eships " + "x" * 10_000
    text = reply_with(choice={"message": {"content": said}}).text
    assert text.isprintable()
    assert text.startswith("[31mred [0m")
    assert len(text) <= 4000


def test_an_answer_may_come_in_parts():
    parts = [{"type": "text", "text": "two "}, {"type": "refusal"}, {"type": "text", "text": "x"}]
    assert reply_with(choice={"message": {"content": parts}}).text == "two x"


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "logprobs", "usage", "x"]), inner
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=40)
@given(st.binary() | json_values.map(lambda v: json.dumps(v).encode()))
def test_any_bytes_are_a_reply_or_refused(content):
    try:
        reply = parse_reply(content)
    except NotAReplyError:
        return
    assert isinstance(reply.text, str)


@settings(deadline=None, max_examples=40)
@given(json_values)
def test_any_choice_is_a_reply_or_refused(choice):
    try:
        reply = parse_reply(json.dumps({"choices": [choice]}).encode())
    except NotAReplyError:
        return
    assert reply.text.isprintable()


def test_settings_that_cannot_be_meant_are_refused():
    good = EndpointSettings("http://localhost/v1")
    for wrong in ({"attempts": 0}, {"attempt_seconds": 0}, {"total_seconds": float("inf")}):
        with pytest.raises(ModelError, match="must be positive"):
            replace(good, **wrong)
    with pytest.raises(ModelError, match="jpeg"):
        replace(good, picture_format="tiff")
