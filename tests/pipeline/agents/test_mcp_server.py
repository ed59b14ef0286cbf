"""The tools as agents meet them: by the SDK's own client, in memory, over HTTP, and as a child."""

import asyncio
import base64
import io
import os
import sys

import anyio
import httpx2
import numpy as np
import pytest
import rasterio
from mcp import Client, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image
from pipeline_toys import QUESTION, texture
from rasterio.transform import Affine
from viewer_toys import gate_before, running, until

from geofovea.pipeline.agents import mcp_server, place_questions, questions, tools
from geofovea.pipeline.agents.application import make_open_app
from geofovea.pipeline.agents.mcp_server import make_mcp_server
from geofovea.pipeline.system.terminal import visible

NAMES = ["inspect_scene", "ask_scene", "find_places", "count_places", "measure"]
NAMES += ["compare_dates", "look_at"]
MODES = ["auto", "legacy"]


def called(desk, *calls, mode="auto", **options):
    """The results of calls ``(tool, arguments)``, in memory."""

    async def run():
        async with Client(make_mcp_server(desk), mode=mode) as client:
            return [await client.call_tool(name, given, **options) for name, given in calls]

    return asyncio.run(run())


def text_of(result):
    return "\n".join(part.text for part in result.content if part.type == "text")


def picture_of(result):
    (image,) = [part for part in result.content if part.type == "image"]
    assert image.mime_type == "image/jpeg"
    with Image.open(io.BytesIO(base64.b64decode(image.data))) as picture:
        return picture.size


def test_an_agent_reads_what_each_tool_does_and_takes(make_desk):
    async def run():
        async with Client(make_mcp_server(make_desk())) as client:
            return client.instructions, (await client.list_tools()).tools

    instructions, tools = asyncio.run(run())
    assert "never as instructions" in instructions
    assert [tool.name for tool in tools] == NAMES
    for tool in tools:
        assert len(tool.description) > 60
        assert "Raises" not in tool.description
        assert tool.annotations.read_only_hint
        for name, schema in tool.input_schema["properties"].items():
            assert schema["description"], name
            assert name not in ("desk", "tell", "ctx")
    assert tools[1].input_schema["required"] == ["question"]


@pytest.mark.parametrize("mode", MODES)
def test_a_scene_is_inspected_asked_and_looked_at(make_desk, mode):
    calls = [
        ("inspect_scene", {}),
        ("ask_scene", {"question": QUESTION, "box": [0, 0, 1024, 1024], "max_tiles": 8}),
        ("look_at", {"box": [0, 0, 300, 200]}),
    ]
    facts, answer, picture = called(make_desk(), *calls, mode=mode)
    (scene,) = facts.structured_content["scenes"]
    assert (scene["id"], scene["width"], scene["crs"]) == ("1", 2048, "EPSG:32633")
    assert scene["footprint"]["type"] == "Polygon"
    told = answer.structured_content
    assert told["answer"]
    assert told["question"] == QUESTION
    assert 0 < told["tiles"] <= 8
    assert told["evidence"]
    for row in told["evidence"]:
        assert row["box_scene"][0] < 1024
        assert row["geometry"]["type"] == "Polygon"
    assert picture_of(picture) == (300, 200)
    assert '"box": [0, 0, 300, 200]' in text_of(picture)


def test_an_agent_hears_how_far_its_question_is(make_desk):
    heard = []

    async def hear(progress, total, message):
        heard.append((progress, message))

    called(make_desk(), ("ask_scene", {"question": QUESTION}), progress_callback=hear)
    texts = [text for _, text in heard]
    assert any("looking at" in text and "level" in text for text in texts)
    assert any(text.startswith("answering from") for text in texts)
    numbers = [number for number, _ in heard]
    assert numbers == sorted(set(numbers))


def test_an_agent_measures_what_a_question_names(make_desk):
    question = {"question": "How large is the airport?", "max_tiles": 8}
    (result,) = called(make_desk(), ("measure", question))
    if result.is_error:
        # the tiny model finds what it finds; what it does not find is said
        assert "nothing was measured" in text_of(result)
        return
    facts = result.structured_content
    (area,) = facts["quantities"]
    assert (area["name"], area["value"] > 0, area["error"] > 0) == ("area", True, True)
    assert facts["answer"]
    assert facts["geojson"]["features"][0]["geometry"]["type"] in ("Polygon", "MultiPolygon")
    assert 0 < facts["tiles"] <= 8


def test_why_nothing_was_measured_goes_before_what_the_model_does_not_know(make_desk):
    question = {"question": "How far is the hovercraft from the zeppelin?", "max_tiles": 8}
    (result,) = called(make_desk(), ("measure", question))
    assert result.is_error
    told = text_of(result)
    assert "nothing was measured: not found: hovercraft, zeppelin" in told
    assert told.index("not found") < told.index("does not know the word")


REFUSED = [
    ("measure", {"question": "What is it?"}, "not understood as a question about where"),
    ("ask_scene", {"question": "  "}, "the question is empty"),
    ("ask_scene", {"question": "x" * 2001}, "at most 2000"),
    ("ask_scene", {"question": "Where?", "scene": "9"}, "there is no scene '9'"),
    ("ask_scene", {"question": "Where?", "max_tiles": 10_000}, "up to 12"),
    ("find_places", {"phrase": "truck", "max_tiles": 10_000}, "up to 16"),
    (
        "measure",
        {"question": "What is the closest truck to the airport?", "max_tiles": 1},
        "max_tiles=1 cannot",
    ),
    ("count_places", {"phrase": "truck", "max_tiles": 0}, "at least 1"),
    ("find_places", {"phrase": "truck", "scene": "9"}, "there is no scene '9'"),
    ("ask_scene", {"question": "Where?", "box": [5, 5, 1, 1]}, "x0 < x1"),
    ("ask_scene", {"question": "Where?", "choices": ["one"]}, "2 to 26"),
    ("look_at", {"box": [5000, 5000, 6000, 6000]}, "outside the scene"),
    ("look_at", {"max_side": 100_000}, "16 to 1024"),
    ("ask_scene", {}, "question"),
]


def test_errors_are_told_in_words_and_name_no_path(make_desk, scene_path):
    desk = make_desk(search_tiles=16)
    results = called(desk, *[(name, given) for name, given, _ in REFUSED])
    for result, (name, given, words) in zip(results, REFUSED, strict=True):
        assert result.is_error, (name, given)
        assert words in text_of(result)
        assert str(scene_path.parent) not in text_of(result)


def test_warnings_name_the_arguments_of_the_tool_and_the_options_of_the_server(make_desk):
    desk = make_desk(worded=lambda text: "raise tokens=, or thinking")
    (result,) = called(desk, ("ask_scene", {"question": "Is there a zebra?"}))
    assert set(result.structured_content["warnings"]) == {"raise max_tokens=, or thinking"}


def test_an_unknown_tool_is_an_error_and_no_crash(make_desk):
    (result,) = called(make_desk(), ("rm", {"path": "/"}))
    assert result.is_error
    assert "rm" in text_of(result)


def test_an_unknown_argument_is_an_error_and_not_passed_over(make_desk):
    (result,) = called(make_desk(), ("look_at", {"bbox": [0, 0, 9, 9]}))
    assert result.is_error
    assert "look_at has no argument 'bbox'; it takes scene, box, lonlat_box" in text_of(result)


def test_words_of_an_unexpected_error_stay_here(make_desk, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("/secret/path\x1b[31m")

    desk = make_desk()
    monkeypatch.setattr(desk.scenes["1"].session.reader, "read_box", broken)
    (result,) = called(desk, ("look_at", {}))
    assert result.is_error
    assert "secret" not in text_of(result)
    told = capsys.readouterr()
    assert "secret" in told.err
    assert "\x1b" not in told.err
    assert told.out == ""


def test_texts_of_files_and_models_are_plain(make_desk, serve_scene, monkeypatch):
    served = serve_scene()
    served.name = "\x1b]0;owned\x07" + "x" * 9000
    desk = make_desk(served)
    facts, answer = called(desk, ("inspect_scene", {}), ("ask_scene", {"question": QUESTION}))
    for result in (facts, answer):
        text = text_of(result)
        assert "\x1b" not in text
        assert "\\u001b" not in text
        assert len(text) < 60_000
    assert len(facts.structured_content["scenes"][0]["name"]) <= 4000
    assert visible("\x1b]0;owned") in facts.structured_content["scenes"][0]["name"]


def test_an_agent_reads_what_the_file_calls_its_bands(make_desk, serve_scene, tmp_path):
    path, gone = tmp_path / "named.tif", tmp_path / "gone.tif"
    for each in (path, gone):
        pixels = np.full((4, 64, 64), 90, np.uint8)
        with rasterio.open(
            each,
            "w",
            driver="GTiff",
            width=64,
            height=64,
            count=4,
            dtype="uint8",
            crs="EPSG:32633",
            transform=Affine(1, 0, 0, 0, -1, 0),
        ) as file:
            file.write(pixels)
            file.descriptions = ("red", "green", "blue", "red edge\x1b")
    desk = make_desk(serve_scene(path, "1"), serve_scene(gone, "2"))
    gone.unlink()
    (facts,) = called(desk, ("inspect_scene", {}))
    named, lost = facts.structured_content["scenes"]
    with rasterio.open(path) as file:
        assert named["descriptions"] == [visible(text) for text in file.descriptions]
    assert "descriptions" not in lost
    assert any("gone.tif" in warning for warning in lost["warnings"])
    assert str(tmp_path) not in text_of(facts)


def test_a_further_tool_is_one_function(make_desk, monkeypatch):
    from typing import Annotated, Any

    async def count_bands(
        desk: Any, tell: Any, scene: Annotated[str, "Id of a scene."] = "1"
    ) -> dict[str, Any]:
        """Count the bands of a scene."""
        await tell("counting")
        return {"bands": desk.scenes[scene].session.scene.count, "name": "\x1b"}

    monkeypatch.setattr(mcp_server, "TOOLS", (*mcp_server.TOOLS, count_bands))
    (result,) = called(make_desk(), ("count_bands", {}))
    assert result.structured_content == {"bands": 3, "name": "\\x1b"}


def over_http(address, token, work, mode="auto", **headers):
    """Run ``work(client)`` against a server on a real socket."""
    url = f"http://127.0.0.1:{address[1]}/mcp"
    known = {"authorization": f"Bearer {token}"} | headers

    async def run():
        async with httpx2.AsyncClient(headers=known, timeout=60) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode) as client:
                return await work(client)

    return asyncio.run(run())


@pytest.mark.parametrize("mode", MODES)
def test_the_same_tools_are_served_over_http(make_desk, mode):
    async def work(client):
        listed = await client.list_tools()
        asked = await client.call_tool("ask_scene", {"question": QUESTION})
        looked = await client.call_tool("look_at", {"max_side": 256})
        return listed, asked, looked

    with running(make_desk(), make_open_app) as (address, token):
        listed, asked, looked = over_http(address, token, work, mode)
    assert [tool.name for tool in listed.tools] == NAMES
    assert asked.structured_content["answer"]
    assert max(picture_of(looked)) <= 256


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": "Bearer wrong"}, 401),
        ({"host": "evil.example:80"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_the_guard_stands_before_the_tools(make_desk, headers, status):
    with running(make_desk(), make_open_app) as (address, token):
        url = f"http://127.0.0.1:{address[1]}/mcp"
        known = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, text/event-stream",
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        reply = httpx2.post(url, json=body, headers=known | headers, timeout=30)
        assert reply.status_code == status
        big = body | {"params": {"x": "y" * 70_000}}
        assert httpx2.post(url, json=big, headers=known, timeout=30).status_code == 413


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("ask_scene", {"question": QUESTION}),
        ("find_places", {"phrase": "truck", "sweep": True}),
        ("count_places", {"phrase": "truck"}),
    ],
)
def test_what_an_agent_gives_up_is_ended(make_desk, tool, words):
    desk = make_desk()
    with (
        gate_before(desk.scenes["1"].session) as gate,
        running(desk, make_open_app) as (address, token),
    ):

        async def work(client):
            with anyio.move_on_after(60) as scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.call_tool, tool, words)
                    await anyio.to_thread.run_sync(gate.wait)
                    group.cancel_scope.cancel()
            assert not scope.cancelled_caught

        over_http(address, token, work)
        (job,) = desk.jobs()
        until(lambda: job.watcher.is_cancelled, "the end of the question")
        gate.open()
        until(lambda: job.has_ended, "the end of the job")
    assert job.state == "cancelled"


@pytest.mark.slow
def test_the_verb_speaks_the_protocol_on_standard_output_and_nothing_else(scene_path, tiny_folder):
    code = "from geofovea.pipeline.cli import main; main()"
    few = ["--tiles", "12", "--tokens", "60"]
    words = ["-c", code, "mcp", str(scene_path), "--model", str(tiny_folder), *few]
    child = StdioServerParameters(command=sys.executable, args=words, env=dict(os.environ))

    async def run(errors):
        async with Client(stdio_client(child, errlog=errors)) as client:
            listed = await client.list_tools()
            facts = await client.call_tool("inspect_scene", {})
            asked = await client.call_tool("ask_scene", {"question": QUESTION})
            looked = await client.call_tool("look_at", {"box": [0, 0, 64, 64]})
            return listed, facts, asked, looked

    with open(os.devnull, "w") as errors:  # noqa: PTH123  (a stream for the child)
        listed, facts, asked, looked = asyncio.run(run(errors))
    assert [tool.name for tool in listed.tools] == NAMES
    assert facts.structured_content["scenes"][0]["name"] == scene_path.name
    assert asked.structured_content["answer"]
    assert picture_of(looked) == (256, 256)


def test_places_are_found_and_counted_for_an_agent(make_desk):
    desk = make_desk()
    (served,) = desk.scenes.values()
    found, counted, refused = called(
        desk,
        ("find_places", {"phrase": "truck", "max_tiles": 9}),
        ("count_places", {"phrase": "truck", "box": [0, 0, 130, 130]}),
        ("find_places", {"phrase": " "}),
    )
    assert not found.is_error, text_of(found)
    facts = found.structured_content
    assert facts["scene"] == served.id
    assert facts["cost"]["tiles_encoded"] <= 9
    assert facts["coverage"]["tiles_looked"] < facts["coverage"]["tiles_total"]
    number = counted.structured_content
    assert number["low"] <= number["count"] <= number["high"]
    assert number["coverage"]["is_complete"]
    assert refused.is_error
    assert "the phrase is empty" in text_of(refused)


def test_a_sweep_of_an_agent_ends_at_the_limit_of_the_server(make_desk):
    desk = make_desk(search_tiles=4)
    swept, searched = called(
        desk,
        ("find_places", {"phrase": "truck", "sweep": True}),
        ("find_places", {"phrase": "truck"}),
    )
    coverage = swept.structured_content["coverage"]
    assert (coverage["tiles_looked"], coverage["stopped"]) == (4, "tiles")
    assert any("there may be more" in words for words in swept.structured_content["warnings"])
    assert searched.structured_content["cost"]["tiles_encoded"] <= 4
    assert [job.task for job in desk.jobs()] == ["find", "find"]


def test_places_wait_in_the_queue_of_questions(make_desk):
    desk = make_desk(most_waiting=1)

    async def run():
        async with Client(make_mcp_server(desk)) as client:
            with gate_before(desk.scenes["1"].session) as gate:
                async with anyio.create_task_group() as group:
                    group.start_soon(client.call_tool, "ask_scene", {"question": QUESTION})
                    await anyio.to_thread.run_sync(gate.wait)
                    group.start_soon(client.call_tool, "count_places", {"phrase": "truck"})
                    await anyio.to_thread.run_sync(until, lambda: len(desk.jobs()) == 2)
                    full = await client.call_tool("find_places", {"phrase": "truck"})
                    gate.open()
        return full

    assert "wait already" in text_of(asyncio.run(run()))
    assert [job.state for job in desk.jobs()] == ["answered", "answered"]


def test_lists_that_are_cut_say_how_many_there_were_on_every_tool(
    make_desk, serve_scene, scene_path, monkeypatch
):
    for module, bound in ((tools, "MOST_ITEMS"), (questions, "_MOST_EVIDENCE")):
        monkeypatch.setattr(module, bound, 1)
    monkeypatch.setattr(place_questions, "_MOST_PLACES", 1)
    desk = make_desk(serve_scene(scene_path, "a"), serve_scene(scene_path, "b"))
    first, second, asked, found = called(
        desk,
        ("inspect_scene", {}),
        ("inspect_scene", {"skip": 1}),
        ("ask_scene", {"scene": "a", "question": QUESTION}),
        ("find_places", {"scene": "a", "phrase": "truck"}),
    )
    assert [scene["id"] for scene in first.structured_content["scenes"]] == ["a"]
    notes = ["1 of 2 scenes are listed; skip=1 lists the next"]
    assert first.structured_content["warnings"] == notes
    assert [scene["id"] for scene in second.structured_content["scenes"]] == ["b"]
    assert second.structured_content["warnings"] == []
    answer = asked.structured_content
    assert (len(answer["evidence"]), answer["evidence_total"] > 1) == (1, True)
    told = f"1 of {answer['evidence_total']} places of evidence are listed;"
    assert any(text.startswith(told) for text in answer["warnings"])
    places = found.structured_content
    assert len(places["places"]) <= 1
    told = f"1 of {places['count']} places are listed;"
    assert any(text.startswith(told) for text in places["warnings"]) == (places["count"] > 1)


@pytest.fixture
def dated_desk(make_desk, serve_scene, tmp_path):
    """A desk of one place at two dates, the later one with finer pixels."""
    for number, size in enumerate((768, 1536)):
        with Image.fromarray(texture(768, 768).transpose(1, 2, 0)) as picture:
            resized = np.asarray(picture.resize((size, size), Image.Resampling.NEAREST)).copy()
        if number:
            resized[200:300, 200:300] = 255 - resized[200:300, 200:300]
        path = tmp_path / f"{number}.tif"
        shape = {"driver": "GTiff", "count": 3, "height": size, "width": size, "dtype": "uint8"}
        place = Affine(768 / size, 0, 5e5, 0, -768 / size, 5e6)
        with rasterio.open(path, "w", crs="EPSG:32633", transform=place, **shape) as file:
            file.write(resized.transpose(2, 0, 1))
    scenes = [serve_scene(tmp_path / f"{n}.tif", str(n + 1)) for n in (0, 1)]
    return make_desk(*scenes)


def test_two_dates_are_compared_in_the_queue_of_questions(dated_desk, tmp_path):
    pair = {"before": "1", "after": "2"}
    listed, asked, part = called(
        dated_desk,
        ("compare_dates", pair | {"max_tiles": 40}),
        ("compare_dates", pair | {"question": "What changed?", "max_tiles": 8}),
        ("compare_dates", pair | {"box": [1000, 1000, 1400, 1400]}),
    )
    changes = listed.structured_content
    # in pixels of the scene with the finer ones
    assert (changes["scene"], changes["before"], changes["after"]) == ("2", "1", "2")
    assert changes["phrase"] == "change"
    assert changes["cost"]["tiles_encoded"] <= 40
    assert changes["count"] == len(changes["places"])
    assert changes["coverage"]["tiles_looked"] > 0
    coverage = part.structured_content["coverage"]
    assert 0 < coverage["tiles_total"] < changes["coverage"]["tiles_total"]
    answer = asked.structured_content
    assert answer["question"] == "What changed?"
    assert answer["tiles"] <= 8
    warnings = changes["warnings"] + answer["warnings"]
    assert not any(str(tmp_path) in warning for warning in warnings)
    # a page shows what it could have asked: a list of changes, but no question about them
    assert [job.task for job in dated_desk.jobs()] == ["changes", "changes"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"before": "1", "after": "1"}, "name two scenes"),
        ({"before": "1", "after": "7"}, "there is no scene '7'"),
        ({"question": "What?", "phrase": "truck"}, "not both"),
        ({"phrase": "truck", "max_tiles": 1}, "2 dates share the budget"),
        ({"max_tiles": 10**6}, "this server allows tiles up to"),
    ],
)
def test_what_cannot_be_compared_is_an_error_in_words(dated_desk, given, words):
    (result,) = called(dated_desk, ("compare_dates", {"before": "1", "after": "2"} | given))
    assert result.is_error
    assert words in text_of(result)
