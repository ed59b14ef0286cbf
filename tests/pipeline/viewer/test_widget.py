"""The widget without a browser: its traits, its questions, what a saved notebook keeps."""

from __future__ import annotations

import json
import math
import sys
import threading

import numpy as np
import pytest
import rasterio
from pipeline_toys import QUESTION
from rasterio.windows import Window

import geofovea as gf
from geofovea.errors import CancelledError, GeometryError, MissingExtraError, QuestionError
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.events import JobWatcher
from geofovea.pipeline.viewer.widget import SceneWidget
from geofovea.tiling.opening import open_scene


@pytest.fixture
def two_dates(scene_path, tmp_path):
    """Two parts of the scene, of which the later one begins 8 pixels further south."""
    paths = [tmp_path / "earlier.tif", tmp_path / "later.tif"]
    with rasterio.open(scene_path) as dataset:
        for path, top in zip(paths, (256, 264), strict=True):
            window = Window(512, top, 600, 600)
            sizes = {"width": 600, "height": 600, "transform": dataset.window_transform(window)}
            with rasterio.open(path, "w", **dataset.profile | sizes) as part:
                part.write(dataset.read(window=window))
    return paths


@pytest.fixture
def widget(make_session):
    widget = gf.show(make_session())
    yield widget
    widget.close()


def test_the_widget_is_the_page_of_the_server(widget):
    assert isinstance(widget, SceneWidget)
    assert widget._esm.startswith("var ") or "export" in widget._esm
    assert ".geofovea" in widget._css
    assert [scene["name"] for scene in widget.scenes] == ["scene.tif"]
    assert widget.height == 640


def test_ask_returns_the_answer_and_tells_who_observes(widget, make_session):
    heard = []
    widget.observe(lambda change: heard.append(change["new"]), "answer")
    answer = widget.ask(QUESTION)
    assert answer.text == make_session().ask(QUESTION).text
    assert heard == [answer]
    assert widget.answer is answer
    assert widget.answers == (answer,)
    assert widget.question == QUESTION


def test_a_region_bounds_what_is_asked(widget):
    widget.region = [[0, 0], [600, 0], [600, 500], [0, 500]]
    finest = [item for item in widget.ask(QUESTION).evidence if item.tile.level == 0]
    assert finest
    assert all(item.box_scene.x0 < 600 and item.box_scene.y0 < 500 for item in finest)


@pytest.mark.parametrize(
    ("question", "region", "error"),
    [(" ", None, QuestionError), (QUESTION, [[0, 0], [1, 1]], GeometryError)],
)
def test_what_cannot_be_asked_is_refused(widget, question, region, error):
    widget.region = region
    with pytest.raises(error):
        widget.ask(question)
    assert widget.answers == ()


def test_cancel_ends_the_question_that_is_asked(widget, monkeypatch):
    looking = JobWatcher.looking
    begun = threading.Event()

    def slowly(self, tiles):
        """As if the disk took long."""
        looking(self, tiles)
        begun.set()
        while not self.is_cancelled:
            threading.Event().wait(0.01)

    monkeypatch.setattr(JobWatcher, "looking", slowly)

    def stop():
        begun.wait(30)
        widget.cancel()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(CancelledError):
        widget.ask(QUESTION)
    stopper.join()
    assert widget.answer is None


@pytest.mark.parametrize("box", [(0, 0, 64, 32), np.array([0, 0, 64, 32]), gf.Box(0, 0, 64, 32)])
def test_a_cell_moves_the_map(widget, monkeypatch, box):
    sent = []
    monkeypatch.setattr(widget, "send", lambda content, buffers: sent.append(content))
    widget.zoom_to(box)
    assert sent == [{"kind": "zoom", "box": [0.0, 0.0, 64.0, 32.0]}]
    json.dumps(sent)


@pytest.mark.parametrize("box", [(0, 0, 64), 7, "here", (0, 0, math.nan, 1), (9, 0, 3, 4), None])
def test_what_is_no_box_moves_no_map(widget, box):
    with pytest.raises(GeometryError, match="box"):
        widget.zoom_to(box)


def test_a_saved_notebook_shows_the_answers(widget, monkeypatch):
    shown = []

    class Handle:
        def update(self, value):
            shown.append(value)

    widget._record = Handle()
    widget.ask(QUESTION)
    html = shown[-1]._repr_html_()
    assert QUESTION in html
    assert "data:image/webp" in html
    assert "<script" not in html


def test_a_page_of_two_dates_asks_the_kernel_what_changed(two_dates, monkeypatch):
    host = gf.load_host("embedded")
    widget = gf.show([SceneSession(open_scene(path), host) for path in two_dates])
    messages, ended = [], threading.Event()
    monkeypatch.setattr(widget, "send", lambda content, _: messages.append(content))
    widget.observe(lambda _: ended.set(), "answer")
    try:
        question = {"scene": "2", "task": "changes", "before": "1", "question": ""}
        # as a browser's message comes to the kernel
        widget._handle_custom_msg({"kind": "ask", "id": 1, "question": question}, [])
        assert ended.wait(60)
        job = messages[0]["data"]["job"]
        widget._handle_custom_msg({"kind": "events", "id": 2, "job": job}, [])
        events = {m["event"]: m["data"] for m in messages if m["kind"] == "event"}
        assert events["aligned"]["scene"] == "1"
        answer = events["answer"]["answer"]
        assert answer["warnings"][0].startswith("coverage: 16 of 16 native tiles")
        assert widget.answer.text == answer["answer"]
        widget._handle_custom_msg(
            {"kind": "export", "id": 3, "job": job, "file": "evidence.geojson"}, []
        )
        assert messages[-1]["kind"] == "file"
    finally:
        widget.close()


def test_an_answer_is_shown_without_a_model(make_session):
    answer = make_session().ask(QUESTION)
    widget = gf.show(answer)
    try:
        assert widget.content["answer"]["answer"]["answer"] == answer.text
        assert widget.content["tiles"]
        assert widget.answers == (answer,)
        with pytest.raises(QuestionError, match="shows an answer"):
            widget.ask(QUESTION)
    finally:
        widget.close()


def test_a_path_is_opened(scene_path, tiny_host):
    widget = gf.show(scene_path, model=tiny_host)
    try:
        assert widget.scenes[0]["width"] == 2048
    finally:
        widget.close()


def test_without_anywidget_the_extra_is_named(scene_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "geofovea.pipeline.viewer.widget", raising=False)
    with pytest.raises(MissingExtraError, match=r"geofovea\[notebook\]"):
        gf.show(scene_path)
