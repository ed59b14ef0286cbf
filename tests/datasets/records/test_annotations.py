"""The published annotation file is read whole, ours round-trips, and bad lines are named."""

import dataclasses
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.records.annotations import INSTRUCTION, Record, read_records, write_records
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.tiling import Box

few = settings(deadline=None, max_examples=60)

CATEGORY_TOTALS = {
    "rural or urban": 1252,
    "count": 1199,
    "reasoning": 1000,
    "object status": 1000,
    "object category": 987,
    "object shape": 885,
    "object color": 765,
    "object background": 245,
}
SOURCE_TOTALS = {"FAIR": 2272, "GLH-Bridge": 1062, "STAR": 3999}

ROW = {
    "question_id": "FAIR_1",
    "image": "image/1.tif",
    "category": "object color",
    "text": "What color is the ship?\n Answer the question using a single word or phrase.",
    "ground_truth": "white",
    "hbox": [10, 20, 30, 40],
    "image_size": [100, 50],
}


def test_the_published_file_has_its_published_totals(published):
    assert len(published) == 7333
    assert len({record.image for record in published}) == 1228
    assert Counter(record.category for record in published) == CATEGORY_TOTALS
    assert Counter(record.source for record in published) == SOURCE_TOTALS
    assert set(CATEGORY_TOTALS) == set(CATEGORIES)


def test_published_questions_come_without_their_instruction(published):
    assert all(record.question == record.question.strip() != "" for record in published)
    assert not any("Answer the question" in record.question for record in published)
    assert sum(not record.question.endswith("?") for record in published) == 3


def test_published_counts_have_no_box_and_boxes_lie_in_their_images(published):
    for record in published:
        if record.category == "count":
            assert record.box is None
        elif record.box:
            assert record.box.share_inside(Box(0, 0, *record.image_size)) == 1


def test_a_published_box_is_lost_only_where_it_lies_outside_its_image(published, published_file):
    lines = published_file.read_text(encoding="utf-8").splitlines()
    clipped = 0
    for record, line in zip(published, lines, strict=True):
        row = json.loads(line)
        if "hbox" not in row:
            continue
        x0, y0, x1, y1 = row["hbox"]
        width, height = row["image_size"]
        outside = x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height
        assert (record.box is None) == outside, row["question_id"]
        clipped += record.box is not None and record.box != Box(x0, y0, x1, y1)
    assert 0 < clipped <= 65  # so many are known to stick out


def test_published_records_survive_being_written(published, tmp_path):
    path = tmp_path / "again.jsonl"
    assert write_records(published, path) == len(published)
    assert list(read_records(path)) == published


whole_boxes = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    *[st.integers(0, 4000)] * 2,
    *[st.integers(1, 90)] * 2,
)
words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30)
records = st.builds(
    Record,
    question_id=words,
    image=words,
    category=st.sampled_from(CATEGORIES),
    question=words,
    answer=words,
    box=st.none() | whole_boxes,
    image_size=st.just((5000, 5000)),
    more=st.dictionaries(st.sampled_from(["size_bin", "abs_size", "note"]), words),
)


@few
@given(st.lists(records, max_size=5))
def test_records_are_read_as_they_were_written(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("records") / "rows.jsonl"
    assert write_records(written, path) == len(written)
    assert list(read_records(path)) == written


def test_questions_of_a_world_survive_as_records(tmp_path):
    world = make_world(4, 8192, 8192)
    questions = ask_world(world, 4)
    path = tmp_path / "rows.jsonl"
    write_records((record_of(q, n, "image/a.tif", world) for n, q in enumerate(questions)), path)
    for number, (question, record) in enumerate(zip(questions, read_records(path), strict=True)):
        assert record.question_id == f"SYNTH_{number}"
        assert record.source == "SYNTH"
        assert record.image_size == (8192, 8192)
        assert (record.category, record.question, record.answer, record.box) == (
            question.category,
            question.text,
            question.answer,
            question.box,
        )
        assert record.more["places"] == [list(box.as_tuple()) for box in question.places]


def test_a_written_row_has_the_published_fields(published_file):
    world = make_world(4, 8192, 8192)
    rows = [record_of(q, 0, "image/a.tif", world).to_json() for q in ask_world(world, 1)]
    with published_file.open(encoding="utf-8") as lines:
        published_rows = [json.loads(line) for line in lines]
    for is_count in (True, False):
        theirs = [set(r) for r in published_rows if (r["category"] == "count") == is_count]
        ours = [r for r in rows if (r["category"] == "count") == is_count]
        assert ours
        for row in ours:
            if "hbox" in row or is_count:
                assert set.intersection(*theirs) <= set(row)
            assert row["text"].endswith(INSTRUCTION)


@pytest.mark.parametrize(
    ("side", "name"), [(31, "small"), (32, "medium"), (95, "medium"), (96, "large"), (512, "giant")]
)
def test_the_size_of_an_object_has_its_published_name(side, name):
    world = make_world(0, 8192, 8192)
    question = next(q for q in ask_world(world, 1) if q.box)
    question = dataclasses.replace(question, box=Box(0, 0, side, 8))
    assert record_of(question, 0, "a.tif", world).more["abs_size"] == name


def test_a_box_that_sticks_out_is_clipped_and_one_outside_is_dropped():
    assert Record.from_json(ROW | {"hbox": [-5, 20, 30, 70]}).box == Box(0, 20, 30, 50)
    assert Record.from_json(ROW | {"hbox": [200, 20, 230, 40]}).box is None
    assert Record.from_json({k: v for k, v in ROW.items() if k != "image_size"}).image_size is None


def test_blank_lines_are_passed_over(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\n{json.dumps(ROW)}\n  \n{json.dumps(ROW)}\n\n")
    assert len(list(read_records(path))) == 2


MALFORMED = {
    "no json": "{broken",
    "a number": "7",
    "a list": "[1, 2]",
    "nothing": "null",
    "no answer": json.dumps({k: v for k, v in ROW.items() if k != "ground_truth"}),
    "three corners": json.dumps(ROW | {"hbox": [1, 2, 3]}),
    "corners in words": json.dumps(ROW | {"hbox": ["a", "b", "c", "d"]}),
    "a corner missing": json.dumps(ROW | {"hbox": [1, 2, 3, None]}),
    "a box in words": json.dumps(ROW | {"hbox": "1, 2, 3, 4"}),
    "no size": json.dumps(ROW | {"image_size": None}),
    "a size of one number": json.dumps(ROW | {"image_size": [100]}),
    "a size of halves": json.dumps(ROW | {"image_size": [100.5, 100]}),
    "no image": json.dumps(ROW | {"image": None}),
    "a question in pieces": json.dumps(ROW | {"text": ["a", "b"]}),
}
IMPOSSIBLE_BOXES = {
    "a box without area": json.dumps(ROW | {"hbox": [30, 20, 10, 40]}),
    "a corner that is not a number": json.dumps(ROW | {"hbox": [float("nan"), 20, 30, 40]}),
    "an image without area": json.dumps(ROW | {"image_size": [0, 0]}),
}


def check_the_third_line_is_named(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text(f"{json.dumps(ROW)}\n{json.dumps(ROW)}\n{line}\n{json.dumps(ROW)}\n")
    rows = read_records(path)
    assert [next(rows).answer, next(rows).answer] == ["white", "white"]
    with pytest.raises(DataError, match=r"rows\.jsonl, line 3: "):
        next(rows)


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_line_is_named(tmp_path, line):
    check_the_third_line_is_named(tmp_path, line)


@pytest.mark.parametrize("line", IMPOSSIBLE_BOXES.values(), ids=IMPOSSIBLE_BOXES)
def test_a_line_with_an_impossible_box_is_named(tmp_path, line):
    check_the_third_line_is_named(tmp_path, line)


def test_a_missing_field_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({k: v for k, v in ROW.items() if k not in ("image", "category")}))
    with pytest.raises(DataError, match=r"line 1: the fields \['image', 'category'\] are missing"):
        list(read_records(path))


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_is_named(tmp_path, content):
    path = tmp_path / "rows.jsonl"
    if content:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"rows\.jsonl cannot be read"):
        list(read_records(path))


def test_an_interrupted_write_keeps_the_file_that_was_there(tmp_path):
    path = tmp_path / "rows.jsonl"
    record = Record.from_json(ROW)
    write_records([record], path)

    def interrupted():
        yield record
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_records(interrupted(), path)
    assert list(read_records(path)) == [record]
