"""Batches and evaluations take the questions about a scene together, and end them one by one."""

import json

import pytest
from click.testing import CliRunner

from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.worker import EvalWork
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.runs.item import Item, ItemKey
from geofovea.pipeline.runs.lookahead import Lookahead, with_lookahead
from geofovea.pipeline.runs.workers import Workers
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.settings import AskSettings
from geofovea.regionfocus.budget import Budget

FEW = {"tiles": 12, "tokens": 60}
QUESTIONS = (
    "What is the color of the plane at the airport?",
    "How many boats are at the harbour?",
    "Are there cars?",
    "What is the shape of the field at the village?",
)


@pytest.fixture
def widths(tiny_folder):
    """How many prompts each run of the model's decoder held, as they come."""
    seen = []
    hook = load_host(str(tiny_folder)).decoder.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    yield seen
    hook.remove()


def test_a_batch_asks_the_questions_about_a_scene_together(
    tiny_folder, scene_path, tmp_path, make_session, widths
):
    asked = [word for question in QUESTIONS for word in ("--question", question)]
    limits = [word for name, value in FEW.items() for word in (f"--{name}", str(value))]
    words = ["batch", scene_path, *asked, "--output", tmp_path / "out", "--model", tiny_folder]
    result = CliRunner().invoke(main, [str(word) for word in (*words, *limits)])
    assert result.exit_code == 0, result.stderr
    assert max(widths) == len(QUESTIONS)
    lines = (tmp_path / "out" / "answers.jsonl").read_text().splitlines()
    rows = {row["question"]: row for row in map(json.loads, lines)}
    session, reads = make_session(), 0
    for question in QUESTIONS:
        alone, row = session.ask(question, budget=Budget(**FEW)), rows[question]
        assert row["answer"] == alone.text
        assert row["confidence"] == pytest.approx(alone.confidence, abs=1e-5)
        assert row["cost"]["tokens_llm"] == alone.cost.tokens_llm <= FEW["tokens"]
        assert row["cost"]["tiles_encoded"] == alone.cost.tiles_encoded <= FEW["tiles"]
        assert row["cost"]["seconds"]["total"] > 0
        reads += alone.cost.tiles_read
    assert sum(row["cost"]["tiles_read"] for row in rows.values()) == reads


def item(number, scene, question, boxes=()):
    payload = {"prompt": question, "boxes": [list(box) for box in boxes]}
    return Item(ItemKey(scene, str(number), "c"), scene, payload)


@pytest.mark.parametrize("focus", [None, "oracle"])
def test_an_evaluation_asks_together_and_what_has_no_box_fails_alone(
    tiny_folder, scene_path, make_session, widths, focus
):
    settings = AskSettings(str(tiny_folder), FEW, AnswerOptions(focus=focus))
    boxes = [(100, 100, 180, 160), (900, 900, 960, 990), (), (400, 300, 420, 330)]
    items = [
        item(i, str(scene_path), q, [box] if box else [])
        for i, (q, box) in enumerate(zip(QUESTIONS, boxes, strict=True))
    ]
    worker = EvalWork(settings).open()
    first, *others = items
    records = [worker(first.group, with_lookahead(first, others).payload)]
    runs = len(widths)
    assert max(widths) >= 3
    for other in others:
        if focus == "oracle" and not other.payload["boxes"]:
            with pytest.raises(Exception, match="needs an annotated box"):
                worker(other.group, other.payload)
        else:
            records.append(worker(other.group, other.payload))
    assert len(widths) == runs, "they were answered with the first one"
    assert len(records) == (3 if focus == "oracle" else 4)
    alone = EvalWork(settings).open()(first.group, first.payload)
    assert all(record["cost"]["tokens_llm"] <= FEW["tokens"] for record in records)
    assert [records[0][name] for name in ("answer", "hit", "looks")] == [
        alone[name] for name in ("answer", "hit", "looks")
    ]


def test_where_several_gain_nothing_they_go_one_by_one():
    asked = []

    def answer_all(group, payloads):
        asked.append(len(payloads))
        return [{"n": 1}] * len(payloads)

    first, second = item(0, "s", "?"), item(1, "s", "!")
    Lookahead(answer_all, together=False).answer("s", with_lookahead(first, [second]).payload)
    Lookahead(answer_all).answer("s", with_lookahead(first, [second]).payload)
    assert asked == [1, 2]
    assert Workers().batch_size == 8
    assert Workers("processes", 2, item_seconds=5.0).batch_size == 1
