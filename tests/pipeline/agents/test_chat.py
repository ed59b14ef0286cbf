"""Chat completions as OpenAI's own client meets them, on a real socket."""

import contextlib
import json

import httpx
import openai
import pytest
from pipeline_toys import QUESTION
from viewer_toys import gate_before, running, until

from geofovea.pipeline.agents.application import make_open_app
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.tiling.opening import open_scene


@contextlib.contextmanager
def client_of(desk, *, key=None):
    """The client of a server over a desk; the token is its key."""
    with running(desk, make_open_app) as (address, token):
        url = f"http://127.0.0.1:{address[1]}/v1"
        with openai.OpenAI(base_url=url, api_key=key or token, max_retries=0, timeout=60) as client:
            yield client


def ask(client, **options):
    given = {"model": "scene:1", "messages": [{"role": "user", "content": QUESTION}]}
    return client.chat.completions.create(**(given | options))


def test_a_question_is_answered_with_what_one_needs_to_judge_it(make_desk):
    desk = make_desk()
    with client_of(desk) as client:
        reply = ask(client, temperature=0, max_tokens=16)
        again = ask(client, model="1", messages=[{"role": "user", "content": [
            {"type": "text", "text": QUESTION}]}])  # fmt: skip
    assert reply.object == "chat.completion"
    assert reply.model == "scene:1"
    (choice,) = reply.choices
    assert (choice.message.role, choice.finish_reason) == ("assistant", "stop")
    answer = desk.jobs()[-1].answer
    assert choice.message.content == again.choices[0].message.content == answer.text
    facts = reply.model_extra["geofovea"]
    assert facts["confidence"] == pytest.approx(answer.confidence)
    assert facts["evidence"]
    assert facts["tiles"] <= 12
    assert "memory_bytes" not in facts


def test_an_answer_out_of_a_scene_memory_says_how_large_that_is(make_desk, tiny_host, scene_path):
    memory = MemoryOptions(megabytes=5)
    session = SceneSession(open_scene(scene_path), tiny_host, memory=memory)
    desk = make_desk(ServedScene("1", session))
    with client_of(desk) as client:
        facts = ask(client).model_extra["geofovea"]
    assert 0 < facts["memory_bytes"] <= memory.limit_bytes + memory.ready_bytes
    assert facts["memory_bytes"] == session.memory.nbytes + session.memory.ready_bytes


def test_a_stream_has_the_role_the_text_and_an_end(make_desk):
    desk = make_desk()
    with client_of(desk) as client, ask(client, stream=True) as stream:
        chunks = list(stream)
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == desk.jobs()[0].answer.text
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra["geofovea"]["answer"] == text


def test_an_interface_that_is_not_served_names_the_one_that_is(make_desk):
    with client_of(make_desk()) as client:
        with pytest.raises(openai.NotFoundError, match="ask with POST /v1/chat/completions"):
            client.responses.create(model="scene:1", input=QUESTION)
        with pytest.raises(openai.NotFoundError, match="GET /v1/files is not served"):
            client.files.list()


def test_on_the_wire_progress_is_comments_and_done_comes_last(make_desk):
    with running(make_desk(), make_open_app) as (address, token):
        url = f"http://127.0.0.1:{address[1]}/v1/chat/completions"
        body = {"model": "scene:1", "messages": [{"role": "user", "content": QUESTION}]}
        headers = {"authorization": f"Bearer {token}"}
        reply = httpx.post(url, json=body | {"stream": True}, headers=headers, timeout=60)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-content-type-options"] == "nosniff"
    blocks = [block for block in reply.text.split("\n\n") if block]
    assert blocks[-1] == "data: [DONE]"
    assert any(block.startswith(": looking at") for block in blocks)
    for block in blocks[:-1]:
        assert block.startswith(": ") or json.loads(block.removeprefix("data: "))


def test_scenes_are_listed_as_models(make_desk, serve_scene):
    with client_of(make_desk(serve_scene(), serve_scene(scene_id="2"))) as client:
        models = client.models.list().data
        assert [model.id for model in models] == ["scene:1", "scene:2"]
        assert models[0].model_extra["name"] == "scene.tif"
        assert client.models.retrieve("scene:2").id == "scene:2"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")


def test_own_limits_go_along_and_earlier_messages_are_told_to_be_left_out(make_desk):
    desk = make_desk()
    messages = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": QUESTION},
    ]
    own = {
        "region": {"box": [0, 0, 1024, 1024]},
        "budget": {"tiles": 8},
        "choices": ["red", "blue"],
    }
    with client_of(desk) as client:
        reply = ask(client, messages=messages, extra_body={"geofovea": own})
    (job,) = desk.jobs()
    assert job.request.question == QUESTION
    assert job.request.budget.tiles == 8
    assert job.request.region.geometry.bounds == (0, 0, 1024, 1024)
    assert reply.choices[0].message.content in ("red", "blue")
    assert any("only the last message" in w for w in reply.model_extra["geofovea"]["warnings"])


PICTURE = [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]
REFUSED = [
    ({"messages": []}, "messages", "1 to 512"),
    ({"messages": [{"role": "user", "content": PICTURE}]}, "messages", "content of a message"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "role user"),
    ({"messages": [{"role": "user", "content": " "}]}, None, "empty"),
    ({"messages": [{"role": "user", "content": "x" * 2001}]}, None, "at most 2000"),
    ({"n": 2}, "n", "one answer"),
    ({"logprobs": True}, "logprobs", "not supported"),
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "/mcp"),
    ({"response_format": {"type": "json_object"}}, "response_format", "plain text"),
    ({"extra_body": {"geofovea": {"path": "/etc"}}}, "geofovea", "region, budget, choices"),
    ({"extra_body": {"geofovea": {"budget": {"tiles": 10**6}}}}, None, "up to 12"),
]


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_answered_is_refused_in_the_clients_own_shape(make_desk, stream):
    with client_of(make_desk()) as client:
        for options, param, words in REFUSED:
            with pytest.raises(openai.BadRequestError) as caught:
                ask(client, stream=stream, **options)
            assert caught.value.param == param, options
            assert caught.value.type == "invalid_request_error"
            assert words in caught.value.body["message"]
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model="gpt-4o", stream=stream)
        assert caught.value.code == "model_not_found"


def test_a_wrong_key_another_host_and_unknown_paths_are_told_in_that_shape(make_desk):
    with client_of(make_desk(), key="wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            ask(client)
        assert caught.value.code == "invalid_api_key"
        assert "terminal" in caught.value.body["message"]
    with running(make_desk(), make_open_app) as (address, token):
        url = f"http://127.0.0.1:{address[1]}"
        known = {"authorization": f"Bearer {token}"}
        for path, headers, status in [
            ("/v1/models", {"host": "evil.example"}, 421),
            ("/v1/models", {"origin": "http://evil.example"}, 403),
            ("/v1/embeddings", {}, 404),
            ("/v1/chat/completions", {}, 405),
        ]:
            reply = httpx.get(url + path, headers=known | headers)
            assert reply.status_code == status
            assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
        big = httpx.post(url + "/v1/chat/completions", content=b"x" * 70_000, headers=known)
        assert (big.status_code, big.json()["error"]["type"]) == (413, "invalid_request_error")
        broken = httpx.post(url + "/v1/chat/completions", content=b"[" * 60_000, headers=known)
        assert (broken.status_code, "JSON" in broken.json()["error"]["message"]) == (400, True)
        # elsewhere errors keep the shape of the page
        assert isinstance(httpx.get(url + "/api/nothing", headers=known).json()["error"], str)


def test_a_full_desk_is_a_rate_limit(make_desk):
    desk = make_desk(most_waiting=1)
    with gate_before(desk.scenes["1"].session) as gate, client_of(desk) as client:
        first = ask(client, stream=True)
        gate.wait()
        with first, ask(client, stream=True), pytest.raises(openai.RateLimitError) as caught:
            ask(client)
    assert caught.value.response.headers["retry-after"] == "2"


def test_who_leaves_a_stream_ends_the_question(make_desk):
    desk = make_desk()
    with gate_before(desk.scenes["1"].session) as gate, client_of(desk) as client:
        with ask(client, stream=True):
            gate.wait()
        (job,) = desk.jobs()
        until(lambda: job.watcher.is_cancelled, "the end of the question")
        gate.open()
        until(lambda: job.has_ended)
    assert job.state == "cancelled"


def test_who_stops_waiting_for_an_answer_ends_the_question(make_desk):
    desk = make_desk()
    with gate_before(desk.scenes["1"].session) as gate, client_of(desk) as client:
        with pytest.raises(openai.APITimeoutError):
            ask(client.with_options(timeout=1.0))
        (job,) = desk.jobs()
        until(lambda: job.watcher.is_cancelled, "the end of the question")
        gate.open()
        until(lambda: job.has_ended)


@pytest.mark.parametrize("stream", [False, True])
def test_a_model_that_fails_is_an_error_whose_words_stay_here(make_desk, monkeypatch, stream):
    desk = make_desk()

    def broken(*_, **__):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(desk.scenes["1"].session, "answer", broken)
    with client_of(desk) as client, pytest.raises(openai.APIError) as caught:
        list(ask(client, stream=stream))
    assert "the model failed" in str(caught.value)
    assert "secret" not in str(caught.value)
