"""Boxes that a host writes about a tile, where its model was taught to."""

from __future__ import annotations

from geofovea.pipeline.answers.grounding import boxes_scene
from geofovea.pipeline.hosts.base import Host, SupportsGrounding
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["can_ground", "spoken_places"]

_REQUEST = (
    "Locate every {phrase} in this picture. Reply with a JSON list of objects with the keys "
    '"bbox_2d" ([x1, y1, x2, y2]) and "label", and nothing else.'
)
_ANSWER_TOKENS = 512
# the others write boxes between special words, which a decoded answer leaves out
_PLAIN = (BoxStyle.JSON_PIXELS, BoxStyle.JSON_THOUSANDTHS)


def can_ground(host: Host) -> bool:
    """Whether a host can be asked for boxes."""
    return isinstance(host, SupportsGrounding) and host.box_style in _PLAIN


def spoken_places(
    host: Host, pyramid: Pyramid, tile: Tile, tokens: TokenSet, phrase: str
) -> tuple[list[Box], str]:
    """The boxes that a host writes about a tile.

    Args:
        host: One that `can_ground`.
        pyramid: Of the scene.
        tile: What is shown.
        tokens: Its tokens.
        phrase: What is looked for.

    Returns:
        Boxes in scene pixels, and a warning where some could not be used; empty where there is
        none.
    """
    assert isinstance(host, SupportsGrounding)  # noqa: S101 - asked before
    assert host.box_style is not None  # noqa: S101
    reply = host.answering(_ANSWER_TOKENS).generate(_REQUEST.format(phrase=phrase), tokens)
    located, refused = boxes_scene(reply.text, host.box_style, pyramid, tile)
    warning = ""
    if refused:
        warning = "some boxes of the model have no area inside their tile and were left out"
    elif not located:
        warning = "the model wrote no box about some tiles: their places are outlined by attention"
    return [box for box, _ in located], warning
