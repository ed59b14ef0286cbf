"""One panel: a box of the scene, the tiles that the model saw, those that reached the decoder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from geofovea.pipeline.answers.drawing.layout import Frame
from geofovea.pipeline.answers.drawing.theme import EVIDENCE, INK, RGB, WHITE
from geofovea.tiling.pyramid import Box
from geofovea.tiling.reader import TileReader

__all__ = ["Panel", "outline_of"]

_MISSING = 236
# what did not reach the decoder keeps this share of its contrast on a close-up
_KEPT_CONTRAST = 0.5
_VEIL = 246
_SMALLEST_MARK = 16
_SMALLEST_DOT = 6
_WHOLE = 0.98


@dataclass(frozen=True, slots=True)
class Panel:
    """What a panel shows, and where it stands on the page.

    Attributes:
        box: In scene pixels.
        frame: In pixels of the page.
    """

    box: Box
    frame: Frame

    def on_page(self, box: Box) -> tuple[float, float, float, float]:
        """Corners of a box of the scene in pixels of the page."""
        x0, y0, x1, y1 = self._inside(box)
        left, top = self.frame.left, self.frame.top
        return left + x0, top + y0, left + x1, top + y1

    def pixels(self, reader: TileReader) -> Image.Image:
        """The scene as the model sees it; what is missing is pale."""
        rgb, valid = reader.read_box(self.box, (self.frame.height, self.frame.width))
        rgb[~valid] = _MISSING
        return Image.fromarray(rgb)

    def veil(self, picture: Image.Image, boxes: Iterable[Box]) -> Image.Image:
        """Make everything but some boxes pale."""
        keep = np.zeros((self.frame.height, self.frame.width), bool)
        for box in boxes:
            x0, y0, x1, y1 = (round(c) for c in self._inside(box))
            keep[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
        rgb = np.asarray(picture)
        pale = _KEPT_CONTRAST * rgb + (1 - _KEPT_CONTRAST) * _VEIL
        return Image.fromarray(np.where(keep[..., None], rgb, pale.astype(np.uint8)))

    def outline(
        self,
        picture: Image.Image,
        shape: shapely.Geometry,
        color: RGB,
        width: int,
        opacity: int = 255,
    ) -> None:
        """Draw lines of the scene, with a dark edge that shows them on bright ground."""
        for casing, stroke in (((*INK, opacity // 3), width + 2), ((*color, opacity), width)):
            pen = ImageDraw.Draw(picture, "RGBA")
            for line in shapely.get_parts(shape):
                points = [self._point(x, y) for x, y in shapely.get_coordinates(line)]
                if len(points) > 1:
                    pen.line(points, fill=casing, width=stroke, joint="curve")

    def mark(self, picture: Image.Image, box: Box, color: RGB = WHITE) -> None:
        """A frame around a box that stays visible where the box is tiny."""
        x0, y0, x1, y1 = self._inside(box)
        grow_x, grow_y = (max(0.0, (_SMALLEST_MARK - d) / 2) for d in (x1 - x0, y1 - y0))
        corners = (x0 - grow_x, y0 - grow_y, x1 + grow_x, y1 + grow_y)
        pen = ImageDraw.Draw(picture, "RGBA")
        pen.rectangle(tuple(c + s for c, s in zip(corners, (-2, -2, 1, 1), strict=True)),
                      outline=(*INK, 170), width=1)  # fmt: skip
        pen.rectangle((*corners[:2], *(c - 1 for c in corners[2:])), outline=color, width=3)

    def point(self, picture: Image.Image, box: Box) -> None:
        """Corners around a box, which leave its edges free."""
        x0, y0, x1, y1 = self._inside(box)
        arm = max(8.0, 0.28 * min(x1 - x0, y1 - y0))
        for casing, width in (((*INK, 150), 6), ((*WHITE, 255), 3)):
            pen = ImageDraw.Draw(picture, "RGBA")
            for x, dx in ((x0, arm), (x1, -arm)):
                for y, dy in ((y0, arm), (y1, -arm)):
                    pen.line((x + dx, y, x, y, x, y + dy), fill=casing, width=width)

    def tint(self, picture: Image.Image, boxes: Sequence[Box], color: RGB = EVIDENCE) -> None:
        """Tint some boxes and outline them all together; a tiny one becomes a dot."""
        pen = ImageDraw.Draw(picture, "RGBA")
        for box in boxes:
            x0, y0, x1, y1 = self._inside(box)
            if max(x1 - x0, y1 - y0) < _SMALLEST_DOT:
                x, y, half = (x0 + x1) / 2, (y0 + y1) / 2, _SMALLEST_DOT / 2
                pen.rectangle((x - half, y - half, x + half, y + half), fill=color)
            else:
                pen.rectangle((x0, y0, x1 - 1, y1 - 1), fill=(*color, 56))
        edge = outline_of(boxes, self.box)
        if edge is not None:
            self.outline(picture, edge, color, 3)

    def _point(self, x_scene: float, y_scene: float) -> tuple[float, float]:
        x = (x_scene - self.box.x0) / self.box.width * self.frame.width
        y = (y_scene - self.box.y0) / self.box.height * self.frame.height
        return x, y

    def _inside(self, box: Box) -> tuple[float, float, float, float]:
        return (*self._point(box.x0, box.y0), *self._point(box.x1, box.y1))


def outline_of(
    tiles: Sequence[Box], view: Box, keep_clear: Sequence[Box] = ()
) -> shapely.Geometry | None:
    """The outline of all tiles together, inside a view and not across some boxes.

    Args:
        tiles: Whose inner borders are left out.
        view: What is shown.
        keep_clear: What no line may cross.

    Returns:
        Lines in scene pixels; None where the tiles fill the view or lie outside.
    """
    frame = shapely.box(*view.as_tuple())
    whole = shapely.union_all(_boxes(tiles))
    inside = shapely.intersection(whole, frame)
    if inside.is_empty or inside.area > _WHOLE * frame.area:
        return None
    # a line along the edge of the view would say that the tiles end there
    edge = frame.boundary.buffer(1e-6 * max(view.width, view.height))
    line = whole.boundary.intersection(frame).difference(edge)
    if keep_clear:
        line = line.difference(shapely.union_all(_boxes(keep_clear)))
    line = shapely.line_merge(line) if line.geom_type == "MultiLineString" else line
    return None if line.is_empty else line


def _boxes(boxes: Sequence[Box]) -> NDArray[np.object_]:
    corners = np.array([box.as_tuple() for box in boxes], np.float64).reshape(-1, 4)
    return np.asarray(shapely.box(*corners.T))
