"""From boxes that a host writes about a tile to boxes of the scene, and back."""

from __future__ import annotations

from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle, SpokenBox, read_boxes
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["box_in_tile", "box_scene", "boxes_scene"]


def boxes_scene(
    text: str, style: BoxStyle, pyramid: Pyramid, tile: Tile
) -> tuple[list[tuple[Box, str]], int, int]:
    """The boxes of an answer about one tile, in scene pixels, each with its label.

    Args:
        text: The answer, special words included.
        style: How the host's family writes boxes.
        pyramid: Of the scene.
        tile: What was shown.

    Returns:
        Boxes within the scene; how many were written that have no area there or cannot be read; and
        how many of the boxes reached out of the tile, see ``SpokenBoxes``.

    Raises:
        GeometryError: If the tile is not on the pyramid's grid.
    """
    tile_box = pyramid.box_scene(tile)
    spoken = read_boxes(text, style, pyramid.tile_size)
    whole = [(box_scene(each, style, pyramid, tile), each.label) for each in spoken.boxes]
    # a tile at the edge is padded, and a box may reach into the padding
    inside = [(part, label) for box, label in whole if (part := box.intersection(tile_box))]
    return inside, spoken.refused + len(whole) - len(inside), spoken.beyond


def box_scene(box: SpokenBox, style: BoxStyle, pyramid: Pyramid, tile: Tile) -> Box:
    """A box of a tile in scene pixels; it may reach into the padding at the scene's edge."""
    left, upper, span = _frame(pyramid, tile)
    steps = style.steps(pyramid.tile_size)
    return Box(
        left + box.x0 * span / steps,
        upper + box.y0 * span / steps,
        left + box.x1 * span / steps,
        upper + box.y1 * span / steps,
    )


def box_in_tile(
    box: Box, style: BoxStyle, pyramid: Pyramid, tile: Tile, label: str = ""
) -> SpokenBox:
    """A box of the scene in the steps of a tile: the inverse of `box_scene`, exact to the step.

    Raises:
        GeometryError: If it is smaller than a step.
    """
    left, upper, span = _frame(pyramid, tile)
    steps = style.steps(pyramid.tile_size)
    return SpokenBox(
        round((box.x0 - left) * steps / span),
        round((box.y0 - upper) * steps / span),
        round((box.x1 - left) * steps / span),
        round((box.y1 - upper) * steps / span),
        label,
    )


def _frame(pyramid: Pyramid, tile: Tile) -> tuple[int, int, int]:
    """Left and upper edge of a tile in scene pixels, and how many of them it spans."""
    span = pyramid.tile_size << tile.level
    return tile.col * span, tile.row * span, span
