"""Boxes come out of the texts of every family as they were written, whatever else stands there."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.kosmos2.processing_kosmos2 import (
    clean_text_and_extract_entities_with_bboxes,
    coordinate_to_patch_index,
)

from geofovea.errors import GeometryError
from geofovea.pipeline.inference.decoder.spoken_boxes import (
    BoxStyle,
    SpokenBox,
    read_boxes,
    write_boxes,
)

SIDE = 336
LITERAL = [
    (
        BoxStyle.JSON_PIXELS,
        '```json\n[\n\t{"bbox_2d": [10, 20, 110, 220], "label": "plane"},\n'
        '\t{"bbox_2d": [0, 0, 336, 336], "label": "an \\"airport\\""}\n]\n```',
        [(10, 20, 110, 220, "plane"), (0, 0, 336, 336, 'an "airport"')],
    ),
    (BoxStyle.JSON_PIXELS, 'It is {"bbox_2d": [1.5, 2, 3, 4]}.', [(1.5, 2, 3, 4, "")]),
    # an answer that was cut keeps the boxes that are complete
    (
        BoxStyle.JSON_THOUSANDTHS,
        '[{"bbox_2d": [1, 2, 999, 1000], "label": "b"}, {"bbox_2d": [5, 6',
        [(1, 2, 999, 1000, "b")],
    ),
    (
        BoxStyle.QWEN2,
        "<|object_ref_start|>the ship<|object_ref_end|><|box_start|>(10,20),(300,400)<|box_end|>",
        [(10, 20, 300, 400, "the ship")],
    ),
    (
        BoxStyle.INTERNVL,
        "Sure, <ref>ships</ref><box>[[1, 2, 30, 40], [5, 6, 70, 80]]</box>.",
        [(1, 2, 30, 40, "ships"), (5, 6, 70, 80, "ships")],
    ),
    (BoxStyle.INTERNVL, "<box>[[1,2,3,4]]</box>", [(1, 2, 3, 4, "")]),
    (BoxStyle.GLM, "<|begin_of_box|>[[1,2,3,4]]<|end_of_box|>", [(1, 2, 3, 4, "")]),
    (
        BoxStyle.LOCATIONS,
        "<loc0010><loc0020><loc0500><loc1023> car ; <loc0000><loc0001><loc0002><loc0003> tree",
        [(20, 10, 1023, 500, "car"), (1, 0, 3, 2, "tree")],
    ),
    (
        BoxStyle.CELLS,
        "<grounding> An image of<phrase> a snowman</phrase><object><patch_index_0044>"
        "<patch_index_0863></object> by<phrase> fires</phrase><object><patch_index_0005>"
        "<patch_index_0911></delimiter_of_multi_objects/><patch_index_0032><patch_index_0034>"
        "</object> and<object><patch_index_1023><patch_index_1023></object>.",
        # centers of cells, or edges where a box is one cell wide or high
        [
            (25, 3, 63, 53, "a snowman"),
            (11, 1, 31, 57, "fires"),
            (0, 2, 6, 4, "fires"),
            (62, 62, 64, 64, ""),
        ],
    ),
]


@pytest.mark.parametrize(("style", "text", "expected"), LITERAL)
def test_boxes_of_a_literal_answer(style, text, expected):
    assert read_boxes(text, style, SIDE).boxes == tuple(SpokenBox(*each) for each in expected)


LABELS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


@st.composite
def boxes_of(draw, most):
    x0, x1 = sorted(draw(st.lists(st.integers(0, most), min_size=2, max_size=2, unique=True)))
    y0, y1 = sorted(draw(st.lists(st.integers(0, most), min_size=2, max_size=2, unique=True)))
    return SpokenBox(x0, y0, x1, y1, draw(LABELS))


@pytest.mark.parametrize("style", BoxStyle)
@given(data=st.data())
def test_what_a_family_would_write_is_read_as_it_was(style, data):
    # there is no word for the last step but one
    most = 1023 if style is BoxStyle.LOCATIONS else style.steps(SIDE)
    boxes = data.draw(st.lists(boxes_of(most), max_size=5))
    if style is BoxStyle.CELLS:
        # of the boxes that its words can say
        boxes = list(read_boxes(write_boxes(boxes, style), style, SIDE).boxes)
    if style is BoxStyle.GLM:
        boxes = [SpokenBox(b.x0, b.y0, b.x1, b.y1) for b in boxes]
    assert read_boxes(write_boxes(boxes, style), style, SIDE).boxes == tuple(boxes)


@given(cells=st.lists(st.tuples(*[st.integers(0, 1100)] * 2), max_size=6), is_one=st.booleans())
def test_cells_are_read_as_kosmos_reads_them(cells, is_one):
    words = [f"<patch_index_{first:04d}><patch_index_{last:04d}>" for first, last in cells]
    between = "</delimiter_of_multi_objects/>" if is_one else "</object> and<object>"
    text = f"<phrase> a ship</phrase><object>{between.join(words)}</object>." if words else "None."
    _, entities = clean_text_and_extract_entities_with_bboxes(text)
    stock = [box for _, _, boxes in entities for box in boxes]
    expected = [b for b in stock if b[0] < b[2] <= 1 and b[1] < b[3] <= 1]
    found = read_boxes(text, BoxStyle.CELLS, SIDE)
    assert [(b.x0 / 64, b.y0 / 64, b.x1 / 64, b.y1 / 64) for b in found.boxes] == expected
    assert found.refused == len(cells) - len(expected)
    written = write_boxes(found.boxes, BoxStyle.CELLS)
    pairs = [
        coordinate_to_patch_index((b.x0 / 64, b.y0 / 64, b.x1 / 64, b.y1 / 64), 32)
        for b in found.boxes
    ]
    assert [int(number) for number in re.findall(r"index_(\d+)", written)] == [*sum(pairs, ())]


@pytest.mark.parametrize("style", BoxStyle)
@given(text=st.text(alphabet='<>[](){}":,;.-0123456789abox|_loc \n', max_size=300))
def test_any_text_is_read_without_an_error(style, text):
    for box in read_boxes(text, style, SIDE).boxes:
        assert 0 <= box.x0 < box.x1 <= style.steps(SIDE)
        assert 0 <= box.y0 < box.y1 <= style.steps(SIDE)


def test_boxes_are_cut_at_the_image_and_those_without_area_are_counted():
    text = "<box>[[-5, 0, 20, 1200], [7, 7, 7, 9], [2000, 0, 3000, 5]]</box>"
    found = read_boxes(text, BoxStyle.INTERNVL, SIDE)
    assert found.boxes == (SpokenBox(0, 0, 20, 1000),)
    assert found.refused == 2


JSON, BOX = BoxStyle.JSON_PIXELS, (1, 2, 30, 40)
DOUBTFUL = {
    "cut within a box": (JSON, '[{"bbox_2d": [1, 2, 30, 40]}, {"bbox_2d": [5, 6', [BOX], 1, 0),
    "cut within a label": (JSON, '[{"bbox_2d": [1, 2, 30, 40], "label": "shi', [], 1, 0),
    "texts": (JSON, '{"bbox_2d": ["1", "2", "30", "40"]}', [], 1, 0),
    "three numbers": (JSON, '{"bbox_2d": [1, 2, 30]}', [], 1, 0),
    "nothing": (JSON, '{"bbox_2d": []}', [], 0, 0),
    "a list of boxes": (JSON, '{"bbox_2d": [[1, 2, 30, 40], [5, 6, 5, 8]]}', [BOX], 1, 0),
    "a key in a label": (
        JSON,
        '{"bbox_2d": [1, 2, 30, 40], "label": "\\"bbox_2d\\": [1]"}',
        [BOX],
        0,
        0,
    ),
    "fractions": (JSON, '{"bbox_2d": [0.1, 0.2, 0.5, 0.9]}', [], 1, 0),
    "corners swapped": (BoxStyle.INTERNVL, "<box>[[30, 40, 1, 2]]</box>", [], 1, 0),
    "cut in its first numbers": (BoxStyle.QWEN2, "<|box_start|>(1,2),(30", [], 1, 0),
    "a triple": (BoxStyle.INTERNVL, "<box>[[1, 2, 30]]</box>", [], 1, 0),
    "a word in a box": (BoxStyle.GLM, "<|begin_of_box|>none<|end_of_box|>", [], 0, 0),
    "cut within a location": (
        BoxStyle.LOCATIONS,
        "<loc0002><loc0001><loc0040><loc0030> car ; <loc0002><loc00",
        [BOX],
        1,
        0,
    ),
    "cut within a cell": (
        BoxStyle.CELLS,
        "<object><patch_index_0033><patch_index_0099></object><object><patch_index_0001><patch_in",
        [(3, 3, 7, 7)],
        1,
        0,
    ),
    "cells without an end": (
        BoxStyle.CELLS,
        "<object><patch_index_0033><patch_index_0099>",
        [(3, 3, 7, 7)],
        0,
        0,
    ),
    "cells swapped, none, three, and out of the image": (
        BoxStyle.CELLS,
        "<object><patch_index_0099><patch_index_0033></object><object></object><object>"
        "<patch_index_0001><patch_index_0002><patch_index_0003></object><object>"
        "<patch_index_0001><patch_index_1024></object>",
        [],
        3,
        0,
    ),
    "a cell without end": (
        BoxStyle.CELLS,
        f"<object><patch_index_{'9' * 5000}><patch_index_{'9' * 5000}></object>",
        [],
        1,
        0,
    ),
    "thousandths for pixels": (
        JSON,
        '{"bbox_2d": [100, 200, 900, 950]}',
        [(100, 200, 336, 336)],
        0,
        1,
    ),
    "rounded out": (JSON, '{"bbox_2d": [-1, 0, 338, 336]}', [(0, 0, 336, 336)], 0, 0),
}


@pytest.mark.parametrize(
    ("style", "text", "corners", "refused", "beyond"), DOUBTFUL.values(), ids=DOUBTFUL
)
def test_what_cannot_be_a_box_of_its_image_is_counted(style, text, corners, refused, beyond):
    found = read_boxes(text, style, SIDE)
    assert [(b.x0, b.y0, b.x1, b.y1) for b in found.boxes] == corners
    assert (found.refused, found.beyond) == (refused, beyond)


def test_a_text_with_boxes_without_end_is_bounded():
    found = read_boxes("<box>[[1,2,3,4]]</box>" * 10_000, BoxStyle.INTERNVL, SIDE)
    assert len(found.boxes) == 1_000


@pytest.mark.parametrize("style", BoxStyle)
@pytest.mark.parametrize(
    "part", [" ", "1 , ", "(", "{", "<ref>", "<box>", "[[1,2,3,", "<patch_index_1>"]
)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(style, part):
    # patterns that try every split would take hours
    for around in ("{}", "<box>{}</box>", '{{"bbox_2d": [{}]}}', "<phrase>{}</phrase>"):
        text = around.format((part * 19_000)[:19_000])
        assert not read_boxes(text, style, SIDE).boxes


def test_a_box_without_area_is_refused():
    with pytest.raises(GeometryError, match="x0 < x1"):
        SpokenBox(1, 2, 1, 3)


@pytest.mark.parametrize(
    ("style", "text", "corners"),
    [
        (BoxStyle.INTERNVL, "<box>[[1, 2, 30, 40], [5, 6, 70, 8", [(1, 2, 30, 40)]),
        (BoxStyle.QWEN2, "<|box_start|>(100,200),(300,4", []),
        (BoxStyle.GLM, "<|begin_of_box|>[[1,2,3,4]", [(1, 2, 3, 4)]),
        (BoxStyle.QWEN2, "<|box_start|>(100,200),(300,400)", [(100, 200, 300, 400)]),
    ],
)
def test_a_box_whose_last_number_may_have_lost_digits_is_refused(style, text, corners):
    found = read_boxes(text, style, 336)
    assert [(b.x0, b.y0, b.x1, b.y1) for b in found.boxes] == corners
    assert found.refused == text[-1].isdigit()


def test_a_label_may_hold_braces():
    text = '[{"label": "a {b} c", "bbox_2d": [1, 2, 3, 4]}, {"bbox_2d": [5, 6, 7, 8]}]'
    found = read_boxes(text, BoxStyle.JSON_PIXELS, 336).boxes
    assert [(b.x0, b.label) for b in found] == [(1, "a {b} c"), (5, "")]


@pytest.mark.parametrize("part", ["{", '{"', '{"a', '{"a":"', '{"\\', '{"bbox_2d":['])
def test_texts_full_of_braces_take_bounded_time(part):
    began = time.process_time()
    assert not read_boxes(part * (100_000 // len(part)), BoxStyle.JSON_PIXELS, 336).boxes
    assert time.process_time() - began < 5
