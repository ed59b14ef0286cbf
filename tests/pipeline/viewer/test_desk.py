"""One queue and one thread: bounded, in order, blocked by nothing, and still there after errors."""

import json
import threading

import pytest
import shapely
from chat_server import says
from pipeline_toys import QUESTION, texture, wide_texture
from viewer_toys import ended, gate_before, last_of, names_of, until

from geofovea.errors import BudgetError, GeometryError, QuestionError, SceneReadError
from geofovea.pipeline.hosts.endpoint.host import endpoint_host
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer import desk as module
from geofovea.pipeline.viewer import place_work
from geofovea.pipeline.viewer.desk import Desk, DeskFullError, NoSuchSceneError
from geofovea.pipeline.viewer.exports import EXPORTS
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.region import Region
from geofovea.tiling.opening import open_scene


def asked(question=QUESTION, scene="1", **more):
    return JobRequest(scene, question, **more)


@pytest.fixture
def striped(make_tiff, monkeypatch, tmp_path):
    """A scene whose coarser levels have to be built."""
    monkeypatch.setenv("GEOFOVEA_CACHE", str(tmp_path / "cache"))
    shape = {"tiled": False, "blockxsize": None, "blockysize": 1, "compress": None}
    return make_tiff(wide_texture(5000), name="striped.tif", **shape)


def test_a_question_is_answered_as_a_session_answers_it(make_desk, make_session):
    job = ended(make_desk().submit(asked()))
    answer = make_session().ask(QUESTION, budget=Budget(tiles=12, tokens=60))
    name, data = last_of(job)
    assert (name, job.state) == ("answer", "answered")
    assert data["answer"]["answer"] == answer.text == job.answer.text
    assert data["answer"]["confidence"] == answer.confidence
    assert data["answer"]["cost"]["budget"]["tiles"] == 12


def test_events_come_in_order_and_exactly_one_ends_them(make_desk):
    job = ended(make_desk().submit(asked()))
    events = job.events_after(0)
    names = [event.name for event in events]
    assert names[:3] == ["queued", "started", "look"]
    assert names[-2:] == ["reading", "answer"]
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert [event.is_end for event in events].count(True) == 1
    times = [json.loads(event.text)["t"] for event in events]
    assert times == sorted(times)
    assert {"look", "seen", "scored"} <= set(names)
    assert [e.number for e in job.events_after(len(events) - 1)] == [len(events)]
    assert job.events_after(10**6) == ()


def test_as_many_wait_as_may_and_no_more(make_desk):
    desk = make_desk(most_waiting=3)
    with gate_before(desk.scenes["1"].session) as gate:
        first = desk.submit(asked())
        gate.wait()
        others = [desk.submit(asked()) for _ in range(3)]
        with pytest.raises(DeskFullError, match="3 questions wait"):
            desk.submit(asked())
        before = [json.loads(job.events_after(0)[0].text)["before"] for job in (first, *others)]
        assert before == [0, 1, 2, 3]
    assert [ended(job).state for job in (first, *others)] == ["answered"] * 4
    assert ended(desk.submit(asked())).state == "answered"


def test_a_question_that_is_canceled_ends_and_the_next_is_answered(make_desk):
    desk = make_desk()
    with gate_before(desk.scenes["1"].session) as gate:
        running, waiting, last = (desk.submit(asked()) for _ in range(3))
        gate.wait()
        assert desk.cancel(running.id)
        assert desk.cancel(waiting.id)
        assert names_of(waiting) == ["queued", "cancelled"]
    assert ended(running).state == "cancelled"
    assert names_of(running)[-1] == "cancelled"
    assert "answer" not in names_of(running)
    assert ended(last).state == "answered"


def test_a_job_that_has_ended_is_forgotten_when_it_is_canceled_again(make_desk):
    desk = make_desk()
    job = ended(desk.submit(asked()))
    assert desk.job(job.id) is job
    assert desk.cancel(job.id)
    assert desk.job(job.id) is None
    assert not desk.cancel(job.id)
    assert not desk.cancel("nothing")


def test_an_error_of_ours_is_told_in_words_of_who_serves_and_the_next_question_is_answered(
    make_desk, scene_path
):
    desk = make_desk(worded=lambda text: text.replace("route=", "--route "))
    session = desk.scenes["1"].session
    good = session.reader.read

    def broken(tile):
        raise SceneReadError(f"{scene_path} is damaged: leave out route=one")

    session.reader.read = broken
    name, data = last_of(ended(desk.submit(asked())))
    assert name == "error"
    assert (data["type"], data["message"]) == (
        "SceneReadError",
        "scene.tif is damaged: leave out --route one",
    )
    session.reader.read = good
    assert ended(desk.submit(asked())).state == "answered"


@pytest.mark.parametrize("task", ["ask", "find"])
def test_warnings_are_in_the_words_of_who_serves(make_desk, task):
    desk = make_desk(worded=str.upper)
    question = asked("truck" if task == "find" else "Is there a zebra?", task=task)
    _, data = last_of(ended(desk.submit(question)))
    assert data["answer"]["warnings"]
    assert all(text == text.upper() for text in data["answer"]["warnings"])


def test_a_refusal_names_no_path_and_speaks_of_pixels(make_desk, scene_path):
    region = {"box": [5000, 5000, 6000, 6000]}
    with pytest.raises(GeometryError) as refused:
        make_desk().submit(JobRequest("1", "truck", region=region, task="find"))
    told = str(refused.value)
    assert str(scene_path) not in told
    assert "outside the scene scene.tif: its pixels are x 0 to 2048 and y 0 to 2048" in told
    assert "crs" not in told


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit, MemoryError])
def test_an_error_that_is_not_ours_is_for_the_terminal(make_desk, capfd, kind):
    desk = make_desk()
    session = desk.scenes["1"].session
    good = session.reader.read

    def broken(tile):
        raise kind("secret \x1b[31m words")

    session.reader.read = broken
    name, data = last_of(ended(desk.submit(asked())))
    assert (name, data["message"]) == ("error", "the model failed; see the terminal")
    assert "secret" not in json.dumps(data)
    printed = capfd.readouterr().err
    assert "secret \\x1b[31m words" in printed
    assert "\x1b" not in printed
    session.reader.read = good
    assert ended(desk.submit(asked())).state == "answered"


def test_what_cannot_be_asked_is_refused_before_it_waits(make_desk):
    desk = make_desk()
    for wrong in (asked(""), asked(budget={"tiles": 13}), asked(region={"box": [9e6, 0, 9e7, 9]})):
        with pytest.raises(module.GeoFoveaError):
            desk.submit(wrong)
    with pytest.raises(NoSuchSceneError):
        desk.submit(asked(scene="2"))
    assert desk.jobs() == []


def test_two_scenes_are_asked_by_their_ids(make_desk, serve_scene, make_tiff):
    other = serve_scene(make_tiff(texture(700, 500), name="other.tif"), "2")
    desk = make_desk(serve_scene(), other)
    first, second = desk.submit(asked()), desk.submit(asked(scene="2"))
    paths = [last_of(ended(job))[1]["answer"]["scene"]["path"] for job in (first, second)]
    assert paths == ["scene.tif", "other.tif"]
    assert [scene["name"] for scene in desk.to_json()["scenes"]] == paths


def test_a_question_within_a_region_has_its_evidence_there(make_desk):
    desk = make_desk()
    box = [512, 512, 1024, 1024]
    job = ended(desk.submit(asked(region={"box": box})))
    assert job.state == "answered"
    (ring,) = job.to_json()["region"]
    assert sorted(ring) == [[512, 512], [512, 1024], [1024, 512], [1024, 1024]]
    region = job.request.region
    fine = [e for e in job.answer.evidence if e.tile.level == 0]
    assert fine
    assert all(region.overlaps(item.box_scene) for item in fine)


def test_the_history_keeps_the_polygon_of_a_question_with_all_its_parts(make_desk):
    desk = make_desk()
    # its two points stand out of the scene on the left, so that two parts are left within
    polygon = [[-100, 0], [600, 100], [-50, 300], [600, 500], [-100, 600]]
    job = desk.submit(asked(region={"polygon": polygon}))
    rings = job.to_json()["region"]
    shape = shapely.MultiPolygon([shapely.Polygon(ring) for ring in rings])
    scene = shapely.box(0, 0, 2048, 2048)
    assert len(rings) == 2
    assert shape.equals_exact(shapely.Polygon(polygon).intersection(scene), 0.5, normalize=True)
    assert ended(job).state == "answered"


def test_the_history_is_newest_first(make_desk):
    desk = make_desk()
    jobs = [ended(desk.submit(asked(f"What is number {i}?"))) for i in range(3)]
    assert [job.id for job in desk.jobs()] == [job.id for job in reversed(jobs)]
    line = desk.jobs()[0].to_json()
    assert (line["question"], line["state"]) == ("What is number 2?", "answered")
    assert line["answer"] == jobs[2].answer.text


def test_jobs_and_their_events_are_bounded_and_the_oldest_goes_first(make_desk, monkeypatch):
    monkeypatch.setattr(module, "_MOST_JOBS", 3)
    desk = make_desk()
    jobs = [ended(desk.submit(asked())) for _ in range(5)]
    assert [job.id for job in desk.jobs()] == [job.id for job in reversed(jobs[2:])]
    monkeypatch.setattr(module, "_MOST_EVENT_BYTES", jobs[-1].nbytes)
    newest = ended(desk.submit(asked()))
    assert len(desk.jobs()) <= 2
    assert desk.jobs()[0] is newest


def test_the_bytes_of_a_job_are_those_of_its_events(make_desk):
    job = ended(make_desk().submit(asked()))
    assert job.nbytes == sum(len(event.text) for event in job.events_after(0))


def test_who_listens_is_woken_at_each_event_until_it_leaves(make_desk):
    desk = make_desk()
    with gate_before(desk.scenes["1"].session) as gate:
        job = desk.submit(asked())
        gate.wait()
        woken, other = [], []
        job.listen(lambda: woken.append(job.state))
        leave = job.listen(lambda: other.append(1))
        leave()
        leave()
        before = len(names_of(job))
    ended(job)
    assert len(woken) == len(names_of(job)) - before
    assert woken[-1] == "answered"
    assert not other


def test_nothing_follows_the_end_of_a_job(make_desk):
    job = ended(make_desk().submit(asked()))
    count = len(names_of(job))
    job.post("look", {"tiles": []})
    assert len(names_of(job)) == count


def test_a_scene_whose_levels_are_built_tells_how_far_it_is_and_blocks_no_other(
    make_desk, serve_scene, striped, monkeypatch
):
    slow = serve_scene(striped, "2")
    assert not slow.is_ready
    prepare = slow.grid.prepare
    allowed = threading.Event()

    def waiting():
        assert allowed.wait(60)
        prepare()

    monkeypatch.setattr(slow.grid, "prepare", waiting)
    desk = make_desk(serve_scene(), slow)
    first = desk.submit(asked(scene="2"))
    other = ended(desk.submit(asked(scene="1")))
    assert other.state == "answered"
    assert names_of(first) == ["queued"]
    assert [s["ready"] for s in desk.to_json()["scenes"]] == [True, False]
    allowed.set()
    ended(first)
    names = names_of(first)
    assert first.state == "answered"
    assert "preparing" in names
    shares = [json.loads(e.text)["share"] for e in first.events_after(0) if e.name == "preparing"]
    assert shares == sorted(shares)
    assert names.index("preparing") < names.index("started") < names.index("look")
    assert [s["ready"] for s in desk.to_json()["scenes"]] == [True, True]


def test_a_scene_that_cannot_be_prepared_fails_its_own_questions_alone(
    make_desk, serve_scene, striped, monkeypatch
):
    slow = serve_scene(striped, "2")
    monkeypatch.setattr(
        slow.grid, "prepare", lambda: (_ for _ in ()).throw(SceneReadError(f"{striped} is damaged"))
    )
    desk = make_desk(serve_scene(), slow)
    until(lambda: bool(slow.error), "the failure of the preparation")
    name, data = last_of(ended(desk.submit(asked(scene="2"))))
    assert (name, data["message"]) == ("error", "striped.tif is damaged")
    assert ended(desk.submit(asked())).state == "answered"
    assert desk.to_json()["scenes"][1]["error"] == "striped.tif is damaged"


def test_a_desk_that_is_closed_ends_all_its_jobs(make_desk):
    desk = make_desk()
    with gate_before(desk.scenes["1"].session) as gate:
        running, waiting = desk.submit(asked()), desk.submit(asked())
        gate.wait()
        closing = threading.Thread(target=desk.close)
        closing.start()
        until(lambda: waiting.has_ended, "the end of what waits")
    closing.join(60)
    assert [ended(job).state for job in (running, waiting)] == ["cancelled", "cancelled"]
    with pytest.raises(DeskFullError):
        desk.submit(asked())


def test_a_session_that_is_asked_elsewhere_meanwhile_gives_the_same_answers(make_desk):
    desk = make_desk()
    session: SceneSession = desk.scenes["1"].session
    job = desk.submit(asked())
    own = session.ask(QUESTION, budget=Budget(tiles=12, tokens=60))
    assert ended(job).answer.text == own.text


def test_a_model_behind_an_endpoint_keeps_its_spending_limit(server, scene_path):
    server.otherwise = says("3, 4")
    host = endpoint_host(
        "openai:some", EndpointSettings(server.url, limit=SpendLimit(calls=4, tokens=10**6))
    )
    scene = ServedScene("1", SceneSession(open_scene(scene_path), host))
    desk = Desk([scene], host, budget=Budget(8, 2048))
    try:
        ends = [last_of(ended(desk.submit(asked()))) for _ in range(3)]
    finally:
        desk.close()
    assert len(server.requests) <= 4
    assert ends[-1][0] == "error"
    assert ends[-1][1]["type"] == "SpendLimitError"


@pytest.mark.parametrize("task", ["find", "count"])
def test_what_is_found_is_told_like_an_answer(make_desk, make_session, task):
    part = {"box": [0, 0, 200, 200]}
    job = ended(make_desk().submit(asked("  truck. ", task=task, region=part)))
    name, data = last_of(job)
    assert (name, job.state, job.to_json()["task"]) == ("answer", "answered", task)
    session, region = make_session(), Region(shapely.box(0, 0, 200, 200))
    direct = getattr(session, task)("truck", region=region)
    places = direct if task == "find" else direct.places
    shown = [row["box_scene"] for row in data["answer"]["evidence"]]
    assert shown == [[round(side) for side in place.box_scene.as_tuple()] for place in places]
    assert data["answer"]["answer"].startswith(str(len(places)) if task == "find" else "")
    assert data["answer"]["confidence_known"] is False
    assert data["answer"]["warnings"][0].startswith("coverage: ")
    assert {"look", "seen"} <= set(names_of(job))
    saved = json.loads(EXPORTS["evidence.geojson"].make(job.answer, job.scene))
    assert len(saved["features"]) == len(places)
    if task == "find":
        for name in ("page.html", "picture.png"):
            assert len(EXPORTS[name].make(job.answer, job.scene)) > 1000


def test_a_search_spends_what_searches_may_and_no_more(make_desk):
    desk = make_desk(search_tiles=4)
    assert desk.search_budget.tiles == 4
    with pytest.raises(BudgetError, match="allows tiles up to 4, got 5"):
        desk.submit(asked("truck", task="find", budget={"tiles": 5}))
    with pytest.raises(QuestionError, match="the phrase is empty"):
        desk.submit(asked(" . ", task="count"))
    job = ended(desk.submit(asked("truck", task="count")))
    assert job.places.cost.tiles_encoded <= 4
    assert job.places.method == "sample"
    assert desk.to_json()["search_budget"]["tiles"] == 4


def test_a_page_lists_a_bounded_number_of_places(make_desk, monkeypatch):
    monkeypatch.setattr(place_work, "_MOST_SHOWN", 1)
    job = ended(make_desk().submit(asked("truck", task="count", region={"box": [0, 0, 390, 390]})))
    _, data = last_of(job)
    total = len(job.answer.evidence)
    assert total > 1
    assert len(data["answer"]["evidence"]) == 1
    assert f"the 1 surest of {total} places" in data["answer"]["warnings"][-1]
    assert len(job.answer.evidence.geojson()["features"]) == total
