"""The routes: what a page gets, and what it is told where it gets nothing."""

import io
import json
import os
import threading

import numpy as np
import pytest
import shapely
from PIL import Image
from pipeline_toys import QUESTION, texture, wide_texture
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from viewer_toys import gate_before, until

from geofovea.errors import SceneReadError
from geofovea.pipeline.answers.page import assets
from geofovea.pipeline.answers.page.assets import PAGE_FILES
from geofovea.pipeline.viewer import app
from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.guard import ServedAt
from geofovea.tiling.pyramid import Tile

JOB = {"scene": "1", "question": QUESTION}


def events_of(client, job, last=0):
    """``(number, name, data)`` of a stream, read to its end."""
    headers = {"last-event-id": str(last)} if last else {}
    text = client.get(f"/api/jobs/{job}/events", headers=headers).text
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line[1:])
        if "event" in fields:
            events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def submitted(client, **more):
    reply = client.post("/api/jobs", json=JOB | more)
    assert reply.status_code == 202, reply.text
    return reply.json()["job"]


@pytest.fixture
def desk(make_desk):
    return make_desk()


@pytest.fixture
def client(desk, client_of):
    return client_of(desk)


def test_scenes_are_told_with_the_model_and_its_budget(client, scene_path):
    told = client.get("/api/scenes").json()
    assert told["budget"]["tiles"] == 12
    assert told["choices"] is True
    (scene,) = told["scenes"]
    assert (scene["id"], scene["name"], scene["ready"]) == ("1", scene_path.name, True)
    assert str(scene_path.parent) not in json.dumps(told)


def test_a_view_tile_shows_the_pixels_of_the_scene(client, desk):
    scene = desk.scenes["1"]
    reply = client.get(f"/api/scenes/1/view/0/1/2?v={scene.version}")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/jpeg")
    assert reply.headers["cache-control"] == "private, max-age=86400, immutable"
    shown = np.asarray(Image.open(io.BytesIO(reply.content)), int)
    exact, _ = scene.grid.read(Tile(0, 1, 2))
    assert np.abs(shown - exact).max() <= 24


def test_a_model_tile_is_exact(client, desk):
    reply = client.get("/api/scenes/1/model/2/1/1")
    assert reply.headers["content-type"] == "image/png"
    exact = desk.scenes["1"].session.reader.read(Tile(2, 1, 1)).rgb
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(reply.content))), exact)


@pytest.mark.parametrize("version", ["", "?v=", "?v=000000000000"])
def test_a_tile_of_an_unknown_version_is_not_kept_by_browsers(client, version):
    reply = client.get(f"/api/scenes/1/view/0/0/0{version}")
    assert (reply.status_code, reply.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "2/view/0/0/0",
        "1/other/0/0/0",
        "1/view/0/0/4",
        "1/view/0/4/0",
        "1/view/99/0/0",
        "1/view/999999999/0/0",
        "1/view/-1/0/0",
        "1/view/0/0/1e3",
        "1/view/0/0/0.5",
        "1/view/0/0/" + "9" * 5000,
        "1/view/0/0/٣",
        "1/model/0/99/0",
        "1/model/999999999/0/0",
        "..%2f..%2fetc%2fpasswd/view/0/0/0",
        "1/view/0/0/..%2f..",
    ],
)
def test_off_the_grid_there_is_no_tile(client, path):
    assert client.get(f"/api/scenes/{path}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/..%2f..%2fetc/passwd",
        "/static/viewer.js",
        "/viewer.js/",
        "/api",
        "/x",
    ],
)
def test_no_path_of_a_request_reaches_the_disk(client, path):
    reply = client.get(path, follow_redirects=False)
    assert reply.status_code in (404, 307)
    assert "root:" not in reply.text


def test_a_file_that_changed_is_a_conflict_and_a_damaged_one_cannot_be_processed(
    make_desk, client_of, serve_scene, make_tiff
):
    path = make_tiff(texture(700, 700))
    client = client_of(make_desk(serve_scene(path)))
    assert client.get("/api/scenes/1/view/0/0/0").status_code == 200
    content = bytearray(path.read_bytes())
    content[len(content) // 3 : len(content) // 2] = b"\0" * (len(content) // 2 - len(content) // 3)
    stat = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    replies = [client.get(f"/api/scenes/1/view/0/{row}/1") for row in range(2)]
    assert {reply.status_code for reply in replies} <= {409, 422}
    os.utime(path, ns=(1, 1))
    reply = client.get("/api/scenes/1/view/0/0/0")
    assert reply.status_code == 409
    assert str(path.parent) not in reply.text
    assert "made.tif" in reply.json()["error"]


def test_a_scene_that_is_prepared_says_when_to_come_again(
    make_desk, client_of, serve_scene, make_tiff, monkeypatch, tmp_path
):
    monkeypatch.setenv("GEOFOVEA_CACHE", str(tmp_path / "cache"))
    shape = {"tiled": False, "blockxsize": None, "blockysize": 1, "compress": None}
    scene = serve_scene(make_tiff(wide_texture(5000), **shape), "1")
    allowed, prepare = threading.Event(), scene.grid.prepare
    monkeypatch.setattr(scene.grid, "prepare", lambda: allowed.wait(60) and prepare())
    client = client_of(make_desk(scene, serve_scene(None, "2")))
    reply = client.get("/api/scenes/1/view/0/0/0")
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "2")
    assert client.get("/api/scenes/2/view/0/0/0").status_code == 200
    allowed.set()
    until(lambda: client.get("/api/scenes").json()["scenes"][0]["ready"], "the end of the build")
    assert client.get("/api/scenes/1/view/0/0/0").status_code == 200


def test_a_question_streams_its_events_to_the_answer(client):
    events = events_of(client, submitted(client))
    names = [name for _, name, _ in events]
    assert names[0] == "queued"
    assert names[-1] == "answer"
    assert [number for number, _, _ in events] == list(range(1, len(events) + 1))
    assert events[-1][2]["answer"]["question"] == QUESTION


def test_a_stream_goes_on_where_it_was_left(client):
    job = submitted(client)
    events = events_of(client, job)
    assert events_of(client, job, last=5) == events[5:]
    assert events_of(client, job, last=len(events)) == []
    for odd in ("x", "-1", "9" * 5000):
        reply = client.get(f"/api/jobs/{job}/events", headers={"last-event-id": odd})
        assert reply.status_code == 200


def test_two_readers_of_a_job_hear_the_same(client):
    job = submitted(client)
    assert events_of(client, job) == events_of(client, job)


def test_a_canceled_question_says_so_and_is_gone_after(client, desk):
    with gate_before(desk.scenes["1"].session) as gate:
        job = submitted(client)
        gate.wait()
        assert client.delete(f"/api/jobs/{job}").status_code == 204
    assert events_of(client, job)[-1][1] == "cancelled"
    assert client.get(f"/api/jobs/{job}/answer.json").status_code == 409
    assert client.delete(f"/api/jobs/{job}").status_code == 204
    assert client.delete(f"/api/jobs/{job}").status_code == 404
    assert client.get(f"/api/jobs/{job}/events").status_code == 404


def test_a_full_desk_says_when_to_come_again(make_desk, client_of):
    desk = make_desk(most_waiting=1)
    client = client_of(desk)
    with gate_before(desk.scenes["1"].session) as gate:
        submitted(client)
        gate.wait()
        submitted(client)
        reply = client.post("/api/jobs", json=JOB)
        assert (reply.status_code, reply.headers["retry-after"]) == (429, "2")
        # tiles have threads of their own, and so has the list
        assert client.get("/api/scenes/1/view/0/0/0").status_code == 200
        assert [line["state"] for line in client.get("/api/jobs").json()["jobs"]] == [
            "queued",
            "running",
        ]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"", "application/json", 422),
        (b"[" * 60_000, "application/json", 422),
        (b"\xff\xfe\x00", "application/json", 422),
        (b"[]", "application/json", 422),
        (json.dumps(JOB).encode(), "text/plain", 415),
        (json.dumps(JOB).encode(), "application/x-www-form-urlencoded", 415),
        (json.dumps(JOB | {"scene": "7"}).encode(), "application/json", 404),
        (json.dumps(JOB | {"question": ""}).encode(), "application/json", 422),
        (json.dumps(JOB | {"question": "x" * 2001}).encode(), "application/json", 422),
        (json.dumps(JOB | {"budget": {"tiles": 10**6}}).encode(), "application/json", 422),
        (json.dumps(JOB | {"question": "x" * 70_000}).encode(), "application/json", 413),
    ],
)
def test_what_is_no_question_is_refused_in_words(client, content, kind, status):
    reply = client.post("/api/jobs", content=content, headers={"content-type": kind})
    assert reply.status_code == status
    assert reply.text
    assert client.get("/api/jobs").json() == {"jobs": []}


def test_texts_of_a_question_come_back_as_they_were(client):
    hostile = "</script><script>alert(1)</script><img src=x onerror=alert(1)> \u2028 plane?"
    events = events_of(client, submitted(client, question=hostile))
    assert events[-1][2]["answer"]["question"] == hostile
    reply = client.get("/api/jobs")
    assert reply.headers["content-type"] == "application/json"
    assert reply.json()["jobs"][0]["question"] == hostile


def test_an_answer_is_exported_in_files_that_open(client, desk, tmp_path):
    job = submitted(client)
    data = events_of(client, job)[-1][2]["answer"]
    exports = {
        name: client.get(f"/api/jobs/{job}/{name}")
        for name in ("answer.json", "evidence.geojson", "picture.png")
    }
    for name, reply in exports.items():
        assert reply.status_code == 200
        assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert exports["answer.json"].json() == data
    collection = exports["evidence.geojson"].json()
    answer = desk.job(job).answer
    # the whole scene is seen, and is not a place
    places = [e for e in answer.evidence if e.box_scene != answer.scene.box]
    assert len(collection["features"]) == len(places) > 0
    for feature in collection["features"]:
        assert shapely.geometry.shape(feature["geometry"]).is_valid
    picture = Image.open(io.BytesIO(exports["picture.png"].content))
    assert min(picture.size) > 300
    assert client.get(f"/api/jobs/{job}/other.txt").status_code == 404
    assert client.get("/api/jobs/nothing/answer.json").status_code == 404


def test_the_page_is_a_fixed_table_of_files_without_a_token(desk, client_of, monkeypatch, tmp_path):
    monkeypatch.setattr(assets, "_FOLDER", tmp_path)
    client = client_of(desk)
    del client.headers["authorization"]
    assert client.get("/").status_code == 503
    assert "make web" in client.get("/").text
    for path, file in PAGE_FILES.items():
        (tmp_path / file.name).write_text(f"this is {path}")
        reply = client.get(path)
        assert (reply.status_code, reply.text) == (200, f"this is {path}")
        assert reply.headers["content-type"].startswith(file.media_type)
    assert client.get("/api/scenes").status_code == 401


def test_an_error_that_is_not_ours_is_for_the_terminal(client, desk, capfd):
    def broken():
        raise RuntimeError("secret")

    desk.to_json = broken
    reply = client.get("/api/scenes")
    assert (reply.status_code, reply.json()) == (
        500,
        {"error": "the server failed; see the terminal"},
    )
    assert "secret" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SceneReadError("the disk is gone; tiles=3"), "the disk is gone; tiles 3"),
        (RuntimeError("secret"), "the server failed; see the terminal"),
    ],
)
def test_an_error_amid_a_stream_is_its_last_event_in_the_words_of_the_server(
    client, monkeypatch, capfd, error, told
):
    async def breaks_off(job, number, *, every_s):
        yield job.events_after(number)[0]
        raise error

    job = submitted(client)
    monkeypatch.setattr(app, "follow", breaks_off)
    (_, first, _), (_, name, data) = events_of(client, job)
    assert (first, name, data["message"]) == ("queued", "error", told)
    assert ("secret" in capfd.readouterr().err) == isinstance(error, RuntimeError)


def test_other_ways_to_ask_stand_behind_the_same_guard(desk):
    async def other(request: Request) -> JSONResponse:
        return JSONResponse({"asked": True})

    app = make_app(desk, "t", ServedAt(8421), extra_routes=[Route("/v1/other", other)])
    client = TestClient(app, base_url="http://127.0.0.1:8421")
    assert client.get("/v1/other").status_code == 401
    assert client.get("/v1/other", headers={"authorization": "Bearer t"}).json() == {"asked": True}


def test_methods_that_are_not_offered_are_not_allowed(client):
    for method, path in (("PUT", "/api/jobs"), ("POST", "/api/scenes"), ("OPTIONS", "/api/jobs")):
        assert client.request(method, path).status_code == 405
