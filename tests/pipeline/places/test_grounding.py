"""Boxes that models write in the words of their families become boxes of the scene."""

from dataclasses import dataclass, field

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from geofovea.pipeline.answers.grounding import box_in_tile
from geofovea.pipeline.inference.decoder.decoded_answer import decoded_answer
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle, write_boxes
from geofovea.pipeline.places.grounding import can_ground, spoken_places
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
    boxes, warning, _ = spoken_places(host, PYRAMID, TILE, None, "truck")
    assert not warning
    step = 1000 / style.steps(500)
    for box, truck in zip(boxes, TRUCKS, strict=True):
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

    boxes, warning, _ = spoken_places(Says(BoxStyle.JSON_PIXELS), PYRAMID, TILE, None, "truck")
    assert len(boxes) == count
    assert words in warning


@pytest.mark.parametrize("has_ended", [True, False])
def test_a_list_of_boxes_that_the_limit_ended_between_two_of_them_is_told(has_ended):
    class Ends(Writer):
        def generate(self, question, tokens):
            text = '[{"bbox_2d": [10, 20, 300, 400], "label": "truck"},'
            letters = tokenizer_of(self.box_style)
            ids = letters(text)["input_ids"]
            return decoded_answer(letters, ids, [0.0] * len(ids), most=512, has_ended=has_ended)

    boxes, warning, _ = spoken_places(Ends(BoxStyle.JSON_PIXELS), PYRAMID, TILE, None, "truck")
    assert len(boxes) == 1
    assert ("was cut at 512 tokens" in warning) == (not has_ended)
