"""Events say what happened, in JSON that every browser reads."""

import json
import math
import time

import numpy as np
import pytest
import torch
from pipeline_toys import QUESTION

from geofovea.errors import CancelledError
from geofovea.pipeline.answers.page.data import answer_data, boxes_and_shares
from geofovea.pipeline.viewer.events import Event, JobWatcher, to_text
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.pyramid import Box, Tile


def heard():
    events = []
    return events, JobWatcher(lambda name, data: events.append((name, data)))


def test_each_thing_that_a_watcher_hears_is_an_event():
    events, watcher = heard()
    watcher.looking({Tile(2, 1, 0): Box(0, 10, 20.4, 30)})
    watcher.seen(3, 40)
    watcher.scored(2, torch.tensor([[0.0, 0, 2, 2], [2, 0, 4, 2]]), torch.tensor([0.2, 0.8]))
    watcher.reading(2, 30)
    assert events == [
        ("look", {"tiles": [[2, 1, 0, 0, 10, 20, 30]]}),
        ("seen", {"tiles": 3, "tokens": 40}),
        (
            "scored",
            {"level": 2, "boxes": [[0, 0, 2, 2], [2, 0, 4, 2]], "scores": [64, 255], "flat": False},
        ),
        ("reading", {"tiles": 2, "tokens": 30}),
    ]


@pytest.mark.parametrize("scores", [[], [0, 0, 0], [0.25, 0.25]])
@pytest.mark.parametrize("kind", [np.array, torch.tensor])
def test_scores_that_say_nothing_are_flat(scores, kind):
    boxes = kind([[0.0, 0, 1, 1]] * len(scores) or [[0.0] * 4])[: len(scores)]
    shares = boxes_and_shares(boxes, kind(scores))
    assert shares["flat"]
    assert len(shares["boxes"]) == len(shares["scores"]) == len(scores)
    json.dumps(shares)


def test_shares_are_of_the_strongest_and_keep_their_order():
    scores = torch.rand(500, generator=torch.Generator().manual_seed(1))
    shares = boxes_and_shares(torch.zeros(500, 4), scores)["scores"]
    assert max(shares) == 255
    assert all(isinstance(share, int) and 0 <= share <= 255 for share in shares)
    order = np.argsort(scores.numpy(), kind="stable")
    assert (np.diff(np.array(shares)[order]) >= 0).all()


def test_a_canceled_watcher_ends_the_question_at_its_next_step():
    events, watcher = heard()
    watcher.check()
    watcher.cancel()
    for step in (watcher.check, lambda: watcher.preparing(0.5)):
        with pytest.raises(CancelledError):
            step()
    assert not events


def test_preparing_is_told_a_hundred_times_at_most():
    events, watcher = heard()
    for step in range(100_001):
        watcher.preparing(step / 100_000)
    assert 90 <= len(events) <= 101
    assert events[0] == ("preparing", {"share": 0.0})


def test_text_is_one_line_of_json_and_holds_no_number_that_is_none():
    text = to_text(
        {"a": math.nan, "b": [math.inf, {"c": -math.inf}], "d": "line\nbreak\u2028"},
        time.monotonic(),
    )
    assert "\n" not in text
    data = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert (data["a"], data["b"], data["d"]) == (None, [None, {"c": None}], "line\nbreak\u2028")
    assert data["t"] >= 0


def test_an_event_is_written_as_event_streams_are():
    assert Event(3, "seen", '{"t":1}').to_sse() == b'id: 3\nevent: seen\ndata: {"t":1}\n\n'
    assert [Event(1, name, "").is_end for name in ("answer", "error", "cancelled", "look")] == [
        True,
        True,
        True,
        False,
    ]


def test_the_answer_has_its_looks_and_tokens_and_no_path(make_session, scene_path):
    answer = make_session().ask(QUESTION, budget=Budget(tiles=12, tokens=60))
    data = answer_data(answer, "scene.tif")
    told = data["answer"]
    assert told["answer"] == answer.text
    assert told["scene"]["path"] == "scene.tif"
    assert [row["tokens"] for row in told["evidence"]] == [e.tokens for e in answer.evidence]
    assert sum(row["tokens"] for row in told["evidence"]) == told["cost"]["tokens_llm"]
    assert [look["level"] for look in data["looks"]] == [look.level for look in answer.looks]
    tiles = {tuple(row[:3]) for look in data["looks"] for row in look["tiles"]}
    assert len(tiles) == told["cost"]["tiles_encoded"]
    assert str(scene_path.parent) not in json.dumps(data)


def test_errors_and_warnings_speak_of_the_fields_of_the_page_and_nothing_else_changes():
    data = {"type": "BudgetError", "message": "tiles=0, tokens=3 cannot hold it; leave out route="}
    answer = {"answer": "tiles=3", "warnings": ["tokens=3 are few: raise tokens=", "see route="]}
    shown = Event(5, "answer", json.dumps({"answer": answer})).to_sse().decode()
    told = json.loads(shown.splitlines()[2].removeprefix("data: "))
    assert told == {
        "answer": answer | {"warnings": ["tokens 3 are few: raise tokens", "see route="]}
    }
    error = Event(4, "error", json.dumps(data)).to_sse().decode()
    assert error.startswith("id: 4\nevent: error\ndata: ")
    told = json.loads(error.splitlines()[2].removeprefix("data: "))
    assert told == data | {"message": "tiles 0, tokens 3 cannot hold it; leave out route="}
    question = json.dumps({"question": "is tiles=3 painted there?"})
    assert question.encode() in Event(1, "started", question).to_sse()
