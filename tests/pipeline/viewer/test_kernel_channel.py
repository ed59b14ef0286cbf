"""The messages between a widget and its kernel."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_toys import QUESTION

from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.events import JobWatcher
from geofovea.pipeline.viewer.job import Job
from geofovea.pipeline.viewer.kernel_channel import KernelChannel
from geofovea.pipeline.viewer.tile_images import TileImages
from geofovea.tiling.pyramid import Tile


class Page:
    """What a page sends, and what it has received."""

    def __init__(self, desk: Desk) -> None:
        self.received: list[tuple[dict[str, Any], list[bytes]]] = []
        self.ended: list[Job] = []
        self._changed = threading.Condition()
        self.channel = KernelChannel(desk, self._receive, self.ended.append)

    def _receive(self, content: dict[str, Any], buffers: Any) -> None:
        # what cannot be written as JSON would not reach a browser
        json.dumps(content)
        with self._changed:
            self.received.append((content, list(buffers)))
            self._changed.notify_all()

    def send(self, **message: Any) -> None:
        self.channel.take(message)

    def wait(
        self, is_wanted: Callable[[dict[str, Any]], bool]
    ) -> tuple[dict[str, Any], list[bytes]]:
        """The first message like that, which may still have to come."""
        deadline = time.monotonic() + 60
        with self._changed:
            while True:
                for content, buffers in self.received:
                    if is_wanted(content):
                        return content, buffers
                assert self._changed.wait(deadline - time.monotonic()), self.received

    def answer_to(self, number: int) -> tuple[dict[str, Any], list[bytes]]:
        return self.wait(lambda content: content["id"] == number)


@pytest.fixture
def desk(make_desk, serve_scene) -> Desk:
    return make_desk(serve_scene())


@pytest.fixture
def page(desk) -> Any:
    page = Page(desk)
    yield page
    page.channel.close()


def tile(number: int, kind: str = "view", level: int = 0, row: int = 1, col: int = 2) -> dict:
    return {
        "kind": "tile",
        "id": number,
        "scene": "1",
        "tiles": kind,
        "level": level,
        "row": row,
        "col": col,
    }


@pytest.mark.parametrize("kind", ["view", "model"])
def test_a_tile_comes_as_the_server_gives_it(page, desk, kind):
    page.send(**tile(7, kind))
    content, buffers = page.answer_to(7)
    image = TileImages().image(desk.scenes["1"], kind, Tile(0, 1, 2))
    assert content == {"kind": "tile", "id": 7, "media_type": image.media_type}
    assert buffers == [image.content]


def test_a_page_that_gets_no_buffers_gets_text(page):
    page.send(**tile(1))
    _, buffers = page.answer_to(1)
    page.send(kind="base64", id=2)
    page.send(**tile(3))
    content, none = page.answer_to(3)
    assert none == []
    assert base64.b64decode(content["base64"]) == buffers[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"row": 10**6}, "no such tile"),
        ({"level": 99}, "no such tile"),
        ({"row": -1}, "row and col"),
        ({"tiles": "secret"}, "not complete"),
        ({"scene": "../../etc/passwd"}, "not complete"),
        ({"col": "x"}, "not complete"),
        ({"level": float("inf")}, "not complete"),
    ],
)
def test_a_tile_that_is_not_there_is_refused_in_words(page, change, reason):
    page.send(**(tile(4) | change))
    content, _ = page.answer_to(4)
    assert content["kind"] == "error"
    assert reason in content["message"]


def test_a_question_is_answered_event_by_event(page, desk):
    page.send(kind="ask", id=1, question={"scene": "1", "question": QUESTION})
    reply, _ = page.answer_to(1)
    job = reply["data"]["job"]
    page.send(kind="events", id=2, job=job)
    last, _ = page.wait(lambda content: content.get("event") == "answer")
    assert last["id"] == 2
    names = [content["event"] for content, _ in page.received if content["kind"] == "event"]
    assert names[:2] == ["queued", "started"]
    assert names.count("answer") == 1
    assert {"look", "seen", "scored", "reading"} <= set(names)
    assert last["data"]["answer"]["answer"] == desk.job(job).answer.text
    assert [ended.id for ended in page.ended] == [job]


def test_a_question_that_cannot_be_asked_is_refused_in_words(page):
    page.send(kind="ask", id=1, question={"scene": "1", "question": " "})
    content, _ = page.answer_to(1)
    assert content["kind"] == "error"
    assert "the question is empty" in content["message"]


def test_cancel_ends_a_question(page, monkeypatch):
    looking = JobWatcher.looking

    def slowly(self, tiles):
        """As if the disk took long."""
        looking(self, tiles)
        deadline = time.monotonic() + 20
        while not self.is_cancelled and time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr(JobWatcher, "looking", slowly)
    page.send(kind="ask", id=1, question={"scene": "1", "question": QUESTION})
    job = page.answer_to(1)[0]["data"]["job"]
    page.send(kind="events", id=2, job=job)
    page.wait(lambda content: content.get("event") == "look")
    page.send(kind="cancel", id=3, job=job)
    page.wait(lambda content: content.get("event") == "cancelled")
    page.send(kind="history", id=4)
    assert page.answer_to(4)[0]["data"][0]["state"] == "cancelled"


def test_an_answer_is_exported_in_the_formats_of_the_server(page):
    page.send(kind="ask", id=1, question={"scene": "1", "question": QUESTION})
    job = page.answer_to(1)[0]["data"]["job"]
    page.send(kind="events", id=2, job=job)
    page.wait(lambda content: content.get("event") == "answer")
    page.send(kind="export", id=3, job=job, file="picture.png")
    content, buffers = page.answer_to(3)
    assert content["media_type"] == "image/png"
    assert buffers[0].startswith(b"\x89PNG")
    page.send(kind="export", id=4, job=job, file="../../etc/passwd")
    assert page.answer_to(4)[0]["kind"] == "error"


def test_of_many_tiles_the_oldest_are_given_up(page, desk, monkeypatch):
    held = threading.Event()
    image = TileImages.image

    def slowly(self, scene, kind, tile):
        held.wait(20)
        return image(self, scene, kind, tile)

    monkeypatch.setattr(TileImages, "image", slowly)
    for number in range(80):
        page.send(**tile(number, "model", 0, number // 9, number % 9))
    held.set()
    for number in range(80):
        page.answer_to(number)
    kinds = [page.answer_to(number)[0]["kind"] for number in range(80)]
    # four are read already and cannot be given up
    assert kinds.count("error") == 80 - 64 - 4
    assert "error" not in kinds[-60:]


def test_a_tile_that_is_not_wanted_any_more_is_not_read(page, monkeypatch):
    held, read = threading.Event(), []
    image = TileImages.image

    def slowly(self, scene, kind, tile):
        held.wait(20)
        read.append(tile)
        return image(self, scene, kind, tile)

    monkeypatch.setattr(TileImages, "image", slowly)
    for number in range(6):
        page.send(**tile(number, "view", 0, 0, number % 4))
    page.send(kind="drop", id=5)
    held.set()
    for number in range(6):
        page.answer_to(number)
    assert len(read) == 5


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["tile", "drop", "ask", "events", "cancel", "export", "history", "x"]),
    rest=st.dictionaries(
        st.sampled_from(["scene", "tiles", "level", "row", "col", "job", "file", "question"]),
        json_values,
    ),
)
def test_no_message_ends_the_kernel(page, kind, rest):
    page.channel.take({"kind": kind, "id": 1, **rest})


@pytest.mark.parametrize("message", [None, "tile", [], 5, {}, {"kind": ["tile"]}, {"kind": "tile"}])
def test_what_is_no_message_is_passed_over(page, message):
    page.channel.take(message)


def test_the_end_of_a_job_is_told_once_even_if_it_ends_while_somebody_begins_to_listen(
    page, desk, monkeypatch
):
    page.send(kind="ask", id=1, question={"scene": "1", "question": QUESTION})
    job = desk.job(page.answer_to(1)[0]["data"]["job"])
    deadline = time.monotonic() + 60
    while not page.ended:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    listen = job.listen

    def ends_now(wake):
        leave = listen(wake)
        wake()
        return leave

    monkeypatch.setattr(job, "listen", ends_now)
    page.channel.watch_end(job)
    assert page.ended == [job, job]
