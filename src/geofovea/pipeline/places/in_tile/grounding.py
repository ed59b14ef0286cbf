"""Boxes that a host writes about a tile, where its model was taught to."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.pipeline.answers.grounding import boxes_scene
from geofovea.pipeline.hosts.base import Host, SupportsGrounding
from geofovea.pipeline.inference.decoder.decoded_answer import CUT
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.relations.things import other_thing
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["SpokenPlaces", "can_ground", "spoken_places"]

_JSON_REQUEST = (
    "Locate every {phrase} in this picture. Reply with a JSON list of objects with the keys "
    '"bbox_2d" ([x1, y1, x2, y2]) and "label", and nothing else.'
)
_REQUESTS = {
    BoxStyle.JSON_PIXELS: _JSON_REQUEST,
    BoxStyle.JSON_THOUSANDTHS: _JSON_REQUEST,
    BoxStyle.QWEN2: "Detect the bounding box of every {phrase} in this picture.",
    BoxStyle.INTERNVL: "Please provide the bounding box coordinates of every {phrase}.",
    BoxStyle.GLM: (
        "Locate every {phrase} in this picture. Reply with a list of boxes [x1, y1, x2, y2] in "
        "thousandths of its sides, and nothing else."
    ),
    BoxStyle.LOCATIONS: "detect {phrase}",
    BoxStyle.CELLS: "Locate every {phrase} in this picture.",
}
"""The request that each family was trained to answer with boxes, without its special words: prompts
leave out special words of a question."""

_ANSWER_TOKENS = 512
_CUT_LIST = (
    f"the model listed boxes of some tiles until the list {CUT} {_ANSWER_TOKENS} tokens: further "
    "places in these tiles may be missing, and a more specific phrase makes the list shorter"
)


def can_ground(host: Host) -> bool:
    """Whether a host can be asked for boxes."""
    return isinstance(host, SupportsGrounding) and host.box_style is not None


@dataclass(frozen=True, slots=True)
class SpokenPlaces:
    """What a host wrote about where something is in a tile.

    Attributes:
        boxes: In scene pixels.
        warning: Where some could not be used; empty where there is none.
        others: Of each box that was left out because its label names another thing, that name.
        reply: The text that it wrote.
    """

    boxes: tuple[Box, ...]
    warning: str
    others: tuple[str, ...]
    reply: Generation


def spoken_places(
    host: Host, pyramid: Pyramid, tile: Tile, tokens: TokenSet, phrase: str
) -> SpokenPlaces:
    """The boxes that a host writes about a tile.

    Args:
        host: One that `can_ground`.
        pyramid: Of the scene.
        tile: What is shown.
        tokens: Its tokens.
        phrase: What is looked for.
    """
    assert isinstance(host, SupportsGrounding)  # noqa: S101 - asked before
    assert host.box_style is not None  # noqa: S101
    request = _REQUESTS[host.box_style].format(phrase=phrase)
    reply = host.answering(_ANSWER_TOKENS).generate(request, tokens)
    # some families write a box between special words
    text = reply.marked or reply.text
    located, refused, beyond = boxes_scene(text, host.box_style, pyramid, tile)
    names = [other_thing(label, phrase) for _, label in located]
    boxes = tuple(box for (box, _), name in zip(located, names, strict=True) if name is None)
    warning = ""
    if refused:
        warning = (
            "some boxes of the model have no area inside their tile, or cannot be read, and were "
            "left out"
        )
    elif beyond:
        warning = (
            "some boxes of the model reach out of their tile and were cut at its edges: it may "
            "have written them in other units"
        )
    elif not boxes:
        warning = "the model wrote no box about some tiles: their places are outlined by attention"
    # a list that ends between two boxes looks whole
    if any(CUT in each for each in reply.warnings):
        warning = f"{_CUT_LIST}; {warning}" if warning else _CUT_LIST
    others = tuple(name for name in names if name is not None)
    return SpokenPlaces(boxes, warning, others, reply)
