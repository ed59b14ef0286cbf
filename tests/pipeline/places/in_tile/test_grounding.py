"""Boxes that models write in the words of their families become boxes of the scene."""

import copy
from dataclasses import dataclass, field

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import geofovea as gf
from geofovea.pipeline.answers.grounding import box_in_tile
from geofovea.pipeline.inference.decoder.decoded_answer import decoded_answer
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle, SpokenBox, write_boxes
from geofovea.pipeline.places.in_tile.grounding import can_ground, spoken_places
from geofovea.tiling.pyramid import Box, Pyramid, Tile

PYRAMID, TILE = Pyramid(4000, 3000, 500), Tile(1, 1, 2)
TRUCKS = [Box(2100, 1200, 2300, 1450), Box(2500, 1600, 2600, 1640)]
SPECIAL = {
    BoxStyle.QWEN2: [
        "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    ],
    BoxStyle.INTERNVL: ["<ref>", "</ref>", "<box>", "</box>"],
    BoxStyle.GLM: ["<|begin_of_box|>", "<|end_of_box|>"],
    BoxStyle.LOCATIONS: [f"<loc{n:04d}>" for n in range(1024)],
    BoxStyle.CELLS: [
        "<phrase>", "</phrase>", "<object>", "</object>",
        *(f"<patch_index_{n:04d}>" for n in range(1024)),
    ],
    BoxStyle.JSON_PIXELS: [],
    BoxStyle.JSON_THOUSANDTHS: [],
}  # fmt: skip


def tokenizer_of(style):
    """A tokenizer that writes letters, and the marks of a style as special words."""
    letters = [chr(code) for code in range(32, 127)]
    model = models.WordLevel({letter: i for i, letter in enumerate(letters)}, unk_token="?")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([AddedToken(word, special=True) for word in SPECIAL[style]])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@dataclass
class Writer:
    """A host that was taught to write boxes, and writes two trucks."""

    box_style: BoxStyle
    requests: list[str] = field(default_factory=list)

    def answering(self, tokens):
        assert tokens >= 128
        return self

    def generate(self, question, tokens):
        self.requests.append(question)
        boxes = [box_in_tile(box, self.box_style, PYRAMID, TILE, "truck") for box in TRUCKS]
        tokenizer = tokenizer_of(self.box_style)
        ids = tokenizer(write_boxes(boxes, self.box_style))["input_ids"]
        return decoded_answer(tokenizer, ids, [0.0] * len(ids), most=512, has_ended=True)


@pytest.mark.parametrize("style", SPECIAL)
def test_boxes_between_special_words_are_places_to_the_step(style):
    host = Writer(style)
    assert can_ground(host)
    found = spoken_places(host, PYRAMID, TILE, None, "truck")
    assert not found.warning
    # corners in the middle of cells are up to half a cell away, which is one of its steps
    step = 1000 / style.steps(500) * (3 if style is BoxStyle.CELLS else 1)
    for box, truck in zip(found.boxes, TRUCKS, strict=True):
        for name in ("x0", "y0", "x1", "y1"):
            assert abs(getattr(box, name) - getattr(truck, name)) <= step / 2 + 1e-9
    (request,) = host.requests
    assert "truck" in request
    assert not any(word in request for word in SPECIAL[style])


@pytest.mark.parametrize(
    ("text", "count", "words"),
    [
        ('[{"bbox_2d": [0.1, 0.2, 0.5, 0.9]}]', 0, "cannot be read"),
        ('[{"bbox_2d": [10, 20, 300, 400]}, {"bbox_2d": [7', 1, "cannot be read"),
        ('[{"bbox_2d": [100, 200, 900, 950]}]', 1, "in other units"),
        ("I see none.", 0, "wrote no box"),
    ],
)
def test_boxes_that_may_be_wrong_come_with_a_warning(text, count, words):
    class Says(Writer):
        def generate(self, question, tokens):
            return Generation(text, ())

    found = spoken_places(Says(BoxStyle.JSON_PIXELS), PYRAMID, TILE, None, "truck")
    assert len(found.boxes) == count
    assert words in found.warning


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_list_of_boxes_that_the_limit_ended_between_two_of_them_is_told(has_ended):
    class Ends(Writer):
        def generate(self, question, tokens):
            text = '[{"bbox_2d": [10, 20, 300, 400], "label": "truck"},'
            letters = tokenizer_of(self.box_style)
            ids = letters(text)["input_ids"]
            return decoded_answer(letters, ids, [0.0] * len(ids), most=512, has_ended=has_ended)

    found = spoken_places(Ends(BoxStyle.JSON_PIXELS), PYRAMID, TILE, None, "truck")
    assert len(found.boxes) == 1
    assert ("was cut at 512 tokens" in found.warning) == (not has_ended)


def test_boxes_that_the_model_calls_something_else_are_left_out_and_named():
    class Labels(Writer):
        def generate(self, question, tokens):
            labels = ["truck", "car", "", "White lorries", "a small car", "Lastwagen"]
            boxes = [SpokenBox(10 * i, 20, 10 * i + 5, 40, label) for i, label in enumerate(labels)]
            return Generation(write_boxes(boxes, self.box_style), ())

    found = spoken_places(Labels(BoxStyle.JSON_PIXELS), PYRAMID, TILE, None, "trucks")
    assert [(box.x0 - 2000) / 20 for box in found.boxes] == [0, 2, 3, 5]
    assert (found.warning, found.others) == ("", ("car", "car"))


def test_a_search_says_how_many_boxes_had_another_name_and_which(embedded_host, scene_path):
    kinds = ["truck", "car", "car", "ship"]

    class Grounded(type(embedded_host)):
        """The demo model, if it had learned to write boxes."""

        def answering(self, tokens):
            return self

        def generate(self, question, tokens):
            boxes = [SpokenBox(9 * i, 2, 9 * i + 5, 9, kind) for i, kind in enumerate(kinds)]
            return Generation(write_boxes(boxes, self.box_style), ())

    host = copy.copy(embedded_host)
    host.__class__ = Grounded
    host.box_style = BoxStyle.JSON_PIXELS
    session = gf.SceneSession(gf.open_scene(scene_path), host)
    places = session.find("truck", tiles=2, second_look=False, min_score=1e-6)
    shown = len(places)
    assert shown
    assert (
        f"left out {3 * shown} boxes that the model called something else than 'truck': "
        f"car ({2 * shown}), ship ({shown})"
    ) in places.warnings
