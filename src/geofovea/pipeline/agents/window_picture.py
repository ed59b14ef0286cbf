"""A window of a scene as a picture of bounded size: pixels of one level, as the model sees them."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from geofovea.errors import GeometryError
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.pyramid import Box
from geofovea.tiling.scene import Scene

__all__ = ["LARGEST_SIDE", "WindowPicture", "window_picture"]

LARGEST_SIDE = 1024
"""Most pixels along a side; more says little to a model, and costs its context."""

# with base64 and what stands around it, below the megabyte that clients take at once
_MOST_BYTES = 600 * 2**10
_QUALITIES = (90, 75, 55)
# a window of few pixels is enlarged to about as many, by whole factors
_LEAST_SIDE = 256

RGB = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WindowPicture:
    """A picture with its place.

    Attributes:
        jpeg: The encoded picture; missing pixels are gray.
        width: Of the picture in pixels.
        height: Of the picture in pixels.
        box: What it shows, in scene pixels; at least the window that was asked for.
        level: Whose pixels they are; one is ``2**level`` native pixels wide.
        enlarged: How many picture pixels along a side show one of them.
        known: The share of pixels that are not missing.
    """

    jpeg: bytes
    width: int
    height: int
    box: Box
    level: int
    enlarged: int
    known: float


def window_picture(session: SceneSession, box: Box, most_side: int) -> WindowPicture:
    """Read a window at the finest level that fits.

    Args:
        session: The scene, and how its pixels are shown.
        box: The window in scene pixels; what lies outside the scene is left out.
        most_side: Most pixels along a side.

    Raises:
        GeometryError: If the window does not meet the scene, or the side is out of bounds.
        SceneReadError: If the scene is damaged.
    """
    if not 16 <= most_side <= LARGEST_SIDE:
        raise GeometryError(f"a picture has 16 to {LARGEST_SIDE} pixels a side, got {most_side}")
    inside = box.intersection(session.scene.box)
    if inside is None:
        width, height = session.scene.width, session.scene.height
        raise GeometryError(
            f"the box {[round(side, 2) for side in box.as_tuple()]} lies outside the scene, which "
            f"has pixels from 0, 0 to {width}, {height}"
        )
    level = 0
    while True:
        window, shape = _on_level(session.scene, inside, level)
        if max(shape) <= most_side:
            rgb, valid = session.reader.read_box(window, shape)
            factor = max(1, min(_LEAST_SIDE, most_side) // max(shape))
            jpeg = _jpeg(rgb.repeat(factor, axis=0).repeat(factor, axis=1))
            if jpeg is not None:
                height, width = (side * factor for side in shape)
                known = float(valid.mean())
                return WindowPicture(jpeg, width, height, window, level, factor, known)
        level += 1


def _on_level(scene: Scene, box: Box, level: int) -> tuple[Box, tuple[int, int]]:
    """The pixels of a level that a box touches: their box, and ``(rows, cols)``."""
    step = 1 << level
    x0, y0 = (math.floor(side / step) for side in (box.x0, box.y0))
    x1, y1 = (math.ceil(side / step) for side in (box.x1, box.y1))
    window = Box(x0 * step, y0 * step, min(x1 * step, scene.width), min(y1 * step, scene.height))
    return window, (y1 - y0, x1 - x0)


def _jpeg(rgb: RGB) -> bytes | None:
    """A JPEG that is small enough; None where no quality makes it so."""
    for quality in _QUALITIES:
        stream = io.BytesIO()
        Image.fromarray(rgb).save(stream, "JPEG", quality=quality)
        if stream.tell() <= _MOST_BYTES:
            return stream.getvalue()
    return None
