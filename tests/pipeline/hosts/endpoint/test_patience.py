"""An endpoint as it is: not ready, busy, streaming, refusing a parameter in its own way."""

import json
import re
import threading
import time
from dataclasses import dataclass

import pytest
from chat_server import ChatServer, answers, hung_up, raw, says, status
from click.testing import CliRunner

from geofovea.errors import EndpointError, EndpointUnavailableError, SpendLimitError
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.endpoint.client import EndpointClient
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.patience import Patience
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.hosts.endpoint.transport import Failure, TimedOut
from geofovea.pipeline.runs.outcome import Answered, Failed, Halted, carry_out

PAYLOAD = {
    "model": "m", "messages": [], "max_tokens": 8, "temperature": 0, "logprobs": True,
    "stream": False,
}  # fmt: skip
LOADING = {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}


@dataclass
class Asked:
    """A call to a server with a second or so of patience."""

    url: str
    seconds: float = 20.0
    pause: float = 0.02
    limit: SpendLimit | None = None

    def __post_init__(self):
        limit = self.limit or SpendLimit()
        settings = EndpointSettings(
            self.url, total_seconds=self.seconds, pause_seconds=self.pause, limit=limit
        )
        self.client = EndpointClient(settings, Ledger(limit))

    def __call__(self):
        return self.client.complete(PAYLOAD, 100, 8, 1)


def after(seconds, until):
    """Answers ``until`` for some seconds, then yes."""
    first = []

    def answer(handler, request):
        first.append(time.monotonic())
        (says("yes") if time.monotonic() - first[0] >= seconds else until)(handler, request)

    return answer


NOT_READY = {
    "llama.cpp": answers(LOADING, 503),
    "hugging face": answers(
        {"error": "Model m is currently loading", "estimated_time": 900.0}, 503
    ),
    "a gateway before it": status(502),
    "a page": lambda handler, _: handler.send(503, b"<h1>Unavailable</h1>", "text/html"),
    "500 in words": answers({"error": "the model is still loading"}, 500),
    "400 in words": answers({"detail": "engine is warming up"}, 400),
    "404 in words": answers({"error": "model m is not loaded yet"}, 404),
    "200 in words": answers(LOADING),
    "200 and a page": raw(b"<h1>The model is starting up</h1>", "text/html"),
    "busy": answers({"error": "server busy, please try again"}, 503),
    "rate": status(429),
    "a port that is forwarded": hung_up,
}


@pytest.mark.parametrize("until", NOT_READY.values(), ids=NOT_READY)
def test_a_server_that_is_not_ready_is_waited_for(server, until):
    server.otherwise = after(1.5, until)
    assert Asked(server.url)().text == "yes"
    # more often than what fails, and not without end: the pauses grow
    assert 5 <= len(server.requests) <= 12


def test_a_server_that_is_not_there_yet_is_waited_for():
    server = ChatServer()
    url, port = server.url, server.server_port
    server.server_close()
    late = []

    def start():
        time.sleep(1.0)
        again = ChatServer.__new__(ChatServer)
        again.allow_reuse_address = True
        ChatServer.__bases__[0].__init__(again, ("127.0.0.1", port), server.RequestHandlerClass)
        again.script, again.otherwise, again.requests = [], says("yes"), []
        again.headers, again.paths, again.is_over = [], [], threading.Event()
        late.append(again)
        again.serve_forever(poll_interval=0.01)

    thread = threading.Thread(target=start)
    thread.start()
    try:
        assert Asked(url)().text == "yes"
    finally:
        late[0].shutdown()
        late[0].server_close()
        thread.join()


def test_a_long_wait_is_told_while_it_lasts_and_with_the_answer(server, capsys):
    server.script = [answers({"error": {"message": "slow down", "retry_after": 5.2}}, 429)]
    reply = Asked(server.url)()
    assert reply.notes == ("the endpoint was waited for 5 s: it answered 429 (slow down)",)
    told = capsys.readouterr().err
    assert re.fullmatch(r"waiting for the endpoint \S+: it answered 429 \(slow down\); .*\n", told)


@pytest.mark.parametrize(
    "until",
    [status(503), status(429), status(502), answers(LOADING, 500), status(401), status(402),
     status(404), status(403), answers({"error": "API key not valid"}, 400)],
)  # fmt: skip
def test_what_fails_for_all_halts_a_run_and_spoils_no_item(server, until):
    server.otherwise = until
    ask = Asked(server.url, seconds=2)
    result = carry_out(lambda *_: {"answer": ask().text}, "scene", {})
    assert isinstance(result, Halted)
    server.otherwise = says("yes")
    # the default time: on a busy machine half a second is short for a healthy server, too
    ask = Asked(server.url)
    assert isinstance(carry_out(lambda *_: {"answer": ask().text}, "scene", {}), Answered)


@pytest.mark.parametrize("allowed", [0.01, None])
def test_a_last_request_that_is_cut_short_does_not_hide_that_the_endpoint_was_not_ready(allowed):
    settings = EndpointSettings(
        "http://127.0.0.1:9/v1", total_seconds=0.4, pause_seconds=0.3, attempt_seconds=allowed
    )
    patience = Patience(settings)
    patience.pause(Failure("it answered 503", is_billed=False, is_of_all=True))
    least = patience.seconds
    with pytest.raises(EndpointError, match=r"503" if least < 0.2 else "in time") as raised:
        patience.pause(TimedOut("it did not answer in time", is_billed=True))
    assert isinstance(raised.value, EndpointUnavailableError) is (least < 0.2)


@pytest.mark.parametrize(
    "until",
    [status(500), status(400, "bad image"), status(413), status(422, "no"), raw(b"{}"),
     status(403, "your input was flagged by moderation")],
)  # fmt: skip
def test_what_fails_for_one_question_is_a_failure_of_that_question(server, until):
    server.otherwise = until
    asked = Asked(server.url)
    assert isinstance(carry_out(lambda *_: {"answer": asked().text}, "scene", {}), Failed)


@pytest.mark.parametrize("verb", ["batch", "ask"])
def test_the_same_command_goes_on_when_the_endpoint_is_there(server, scene_path, tmp_path, verb):
    words = [verb, scene_path, "--model", "openai:m", "--endpoint", server.url, "--tiles", "6"]
    words += ["--focus", "overview", "--endpoint-seconds", "4"]
    questions = ["What is it?", "Where is it?"]
    if verb == "ask":
        words.insert(2, questions[0])
    else:
        words += ["--output", tmp_path / "out", *(w for q in questions for w in ("--question", q))]

    def run():
        return CliRunner().invoke(main, [str(word) for word in words])

    server.otherwise = answers(LOADING, 503)
    halted = run()
    assert halted.exit_code == 1
    assert "Loading model" in halted.stderr
    server.otherwise = says("yes")
    done = run()
    assert done.exit_code == 0, done.stderr
    if verb == "batch":
        rows = (tmp_path / "out" / "answers.jsonl").read_text().splitlines()
        assert [json.loads(row)["status"] for row in rows] == ["answered", "answered"]


def test_a_wait_that_the_call_does_not_hold_ends_it_at_once_and_says_how_long(server):
    server.otherwise = answers({"error": {"message": "Please try again in 2h0m5s."}}, 429)
    with pytest.raises(EndpointUnavailableError, match=r"7,205 s of patience, .*total_seconds="):
        Asked(server.url)()
    assert len(server.requests) == 1


def test_a_hint_that_the_call_does_not_hold_is_no_obstacle(server):
    server.script = [status(429, X_RateLimit_Reset="3600")]
    assert Asked(server.url)().text == "yes"


def test_waiting_keeps_to_the_spend_limit(server):
    server.otherwise = status(503)
    with pytest.raises(SpendLimitError, match="3 calls"):
        Asked(server.url, limit=SpendLimit(calls=3))()
    assert len(server.requests) == 3


def test_a_model_that_cannot_be_loaded_is_not_waited_for(server):
    server.otherwise = answers({"error": "failed to load model: no such file"}, 500)
    with pytest.raises(EndpointError, match="4 attempts"):
        Asked(server.url)()
    assert len(server.requests) == 4


@pytest.mark.parametrize("code", [400, 404, 422, 424, 429, 500, 501, 502, 503, 520])
@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("does not support parameters: ['logprobs']", "logprobs"),
        ("Unknown field: top_p or logProbs", "logprobs"),
        ("`temperature` is not supported with this model", "temperature"),
        ("Unsupported parameter: 'max_tokens'", "max_tokens"),
        ("Unrecognized request argument supplied: stream", "stream"),
    ],
)
def test_a_parameter_is_left_out_whatever_the_status_says(server, code, said, name):
    server.script = [status(code, said)]
    asked = Asked(server.url)
    assert asked().text == "yes"
    assert [name in request for request in server.requests] == [True, False]
    assert asked.client.ledger.use.repeated == 0


@pytest.mark.parametrize("kind", ["text/plain", "text/html"])
def test_a_parameter_is_left_out_though_it_is_named_on_a_page(server, kind):
    page = b"litellm.UnsupportedParamsError: no support for logprobs"
    server.script = [lambda handler, _: handler.send(500, page, kind)]
    assert Asked(server.url)().text == "yes"
    assert "logprobs" not in server.requests[1]


def test_a_parameter_that_is_named_in_passing_stays(server):
    said = "Rate limit reached: lower max_tokens or wait"
    server.script = [status(429, said)]
    assert Asked(server.url)().text == "yes"
    assert server.requests[0] == server.requests[1]


def test_an_answer_without_a_temperature_says_so(server):
    server.script = [status(500, "temperature is not supported")]
    assert Asked(server.url)().notes == (
        "the endpoint takes no temperature: asked again, it may answer otherwise",
    )


def piece(text, reason=None, **more):
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": reason}]} | more


def events(*pieces, end="data: [DONE]\n\n"):
    return ("".join(f"data: {json.dumps(p)}\n\n" for p in pieces) + end).encode()


USAGE = {"usage": {"prompt_tokens": 90, "completion_tokens": 2}}
STREAMS = {
    "events": (events(piece("two "), piece("ships", "stop", **USAGE)), "text/event-stream"),
    "no end mark": (events(piece("two ships"), piece("", "stop"), end=""), "text/event-stream"),
    "comments": (b": ping\n\nevent: x\n" + events(piece("two ships", "stop")), "text/event-stream"),
    "another type": (events(piece("two ships", "stop")), "text/plain"),
    "carriage returns": (
        events(piece("two ships", "stop")).replace(b"\n", b"\r\n"),
        "text/event-stream; charset=utf-8",
    ),
    "lines": (
        b"".join(json.dumps(p).encode() + b"\n" for p in (piece("two "), piece("ships", "stop"))),
        "application/x-ndjson",
    ),
    "ollama": (
        b'{"message": {"content": "two "}, "done": false}\n'
        b'{"message": {"content": "ships"}, "done": true, "done_reason": "stop"}\n',
        "application/x-ndjson",
    ),
}


@pytest.mark.parametrize(("content", "kind"), STREAMS.values(), ids=STREAMS)
def test_a_stream_that_was_not_asked_for_is_an_answer(server, content, kind):
    server.otherwise = raw(content, kind)
    assert Asked(server.url)().text == "two ships"
    assert server.requests[0]["stream"] is False


def test_a_stream_brings_log_probabilities_and_usage(server):
    tokens = [piece(w, **USAGE) for w in ("two", " ships")]
    for each, value in zip(tokens, (-0.5, -0.25), strict=True):
        each["choices"][0]["logprobs"] = {"content": [{"token": "t", "logprob": value}]}
    server.otherwise = raw(events(*tokens, piece("", "length")), "text/event-stream")
    reply = Asked(server.url)()
    assert (reply.log_probabilities, reply.usage, reply.is_cut) == ((-0.5, -0.25), (90, 2), True)


def test_a_stream_that_is_cut_is_asked_for_again(server):
    cut = raw(events(piece("two "), end=""), "text/event-stream")
    server.script = [cut, raw(events(piece("two "), {"error": "lost"}), "text/event-stream")]
    assert Asked(server.url)().text == "yes"
    assert len(server.requests) == 3


@pytest.mark.parametrize("said", ["only stream=true is served", "'stream' must be set to true",
                                  "non-streaming requests are not supported"])  # fmt: skip
def test_a_server_that_only_streams_is_asked_for_a_stream(server, said):
    server.script = [
        status(400, said),
        raw(events(piece("two ships", "stop")), "text/event-stream"),
    ]
    assert Asked(server.url)().text == "two ships"
    assert server.requests[1]["stream"] is True
