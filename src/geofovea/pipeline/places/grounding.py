"""Boxes that a host writes about a tile, where its model was taught to."""

from __future__ import annotations

from geofovea.pipeline.answers.grounding import boxes_scene
from geofovea.pipeline.hosts.base import Host, SupportsGrounding
from geofovea.pipeline.inference.decoder.decoded_answer import CUT
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["can_ground", "spoken_places"]

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


def spoken_places(
    host: Host, pyramid: Pyramid, tile: Tile, tokens: TokenSet, phrase: str
) -> tuple[list[Box], str, Generation]:
    """The boxes that a host writes about a tile.

    Args:
        host: One that `can_ground`.
        pyramid: Of the scene.
        tile: What is shown.
        tokens: Its tokens.
        phrase: What is looked for.

    Returns:
        Boxes in scene pixels; a warning where some could not be used, empty where there is none;
        and what the host wrote.
    """
    assert isinstance(host, SupportsGrounding)  # noqa: S101 - asked before
    assert host.box_style is not None  # noqa: S101
    request = _REQUESTS[host.box_style].format(phrase=phrase)
    reply = host.answering(_ANSWER_TOKENS).generate(request, tokens)
    # some families write a box between special words
    text = reply.marked or reply.text
    located, refused, beyond = boxes_scene(text, host.box_style, pyramid, tile)
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
    elif not located:
        warning = "the model wrote no box about some tiles: their places are outlined by attention"
    # a list that ends between two boxes looks whole
    if any(CUT in each for each in reply.warnings):
        warning = f"{_CUT_LIST}; {warning}" if warning else _CUT_LIST
    return [box for box, _ in located], warning, reply
