"""Tiles as pictures for a model that takes no tokens: pixels, place in words, data URLs.

The tokens of such a host are pieces of the picture itself: a tile of ``T × T`` pixels under a grid
of ``g × g`` tokens gives tokens of ``(T/g)² · 3`` bytes. So they are cached, counted and dropped as
any others, and what survives can be put together again.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet, token_cells
from geofovea.tiling.pyramid import Box, Tile

__all__ = [
    "ScenePlace",
    "TilePicture",
    "data_url",
    "framed",
    "pictures_from_tokens",
    "tiles_from_tokens",
    "tokens_from_pixels",
]

_GRAY = 128
# servers that cut pictures into patches refuse smaller ones
_LEAST_SIDE = 56


@dataclass(frozen=True, slots=True)
class ScenePlace:
    """What is needed to say where something lies in a scene.

    Attributes:
        width: Of the scene in native pixels.
        height: Likewise.
        gsd_m: Meters per native pixel, or None.
    """

    width: int
    height: int
    gsd_m: float | None

    def words(self, level: int, box_scene: Box) -> str:
        """Where a picture lies: level, box in fractions of the scene, and size on the ground."""
        x0, x1 = (f"{100 * x / self.width:.4g} %" for x in (box_scene.x0, box_scene.x1))
        y0, y1 = (f"{100 * y / self.height:.4g} %" for y in (box_scene.y0, box_scene.y1))
        step = 1 << level
        zoom = "full resolution" if level == 0 else f"{step} times coarser than full resolution"
        text = f"level {level} ({zoom}), x from {x0} to {x1}, y from {y0} to {y1} of the scene"
        if self.gsd_m is None:
            return text
        across, down = (_length(s * self.gsd_m) for s in (box_scene.width, box_scene.height))
        return f"{text}, about {across} x {down} on the ground"


def _length(meters: float) -> str:
    return f"{meters / 1000:.3g} km" if meters >= 1000 else f"{meters:.3g} m"


@dataclass(frozen=True, slots=True, eq=False)
class TilePicture:
    """What is shown of one tile.

    Attributes:
        tile: Its address.
        rgb: uint8 (rows, columns, 3) at the tile's level, cut to what shows data; what is missing
            within is gray.
        box_scene: Where it lies, in scene pixels.
    """

    tile: Tile
    rgb: NDArray[np.uint8]
    box_scene: Box


def tokens_from_pixels(pixels: NDArray[np.uint8], grid: tuple[int, int]) -> Tensor:
    """Cut tiles uint8 (k, T, T, 3) into the pieces of a grid: uint8 (k, rows · columns, d)."""
    k, side, _, _ = pixels.shape
    rows, cols = grid
    pieces = pixels.reshape(k, rows, side // rows, cols, side // cols, 3).swapaxes(2, 3)
    return torch.from_numpy(np.ascontiguousarray(pieces)).reshape(k, rows * cols, -1)


def tiles_from_tokens(
    tokens: TokenSet, tile_size: int, grid: tuple[int, int]
) -> list[NDArray[np.uint8]]:
    """Whole tiles uint8 (T, T, 3), in the order of the set's tiles; what has no token is gray.

    Args:
        tokens: With features of `tokens_from_pixels`.
        tile_size: Side of a tile in pixels.
        grid: ``(rows, columns)`` of tokens in a tile.
    """
    height, width = tile_size // grid[0], tile_size // grid[1]
    canvases = np.full((len(tokens.tiles), tile_size, tile_size, 3), _GRAY, np.uint8)
    corners = token_cells(tokens, grid, tile_size).numpy() * (height, width)
    pieces = tokens.features.cpu().numpy().reshape(-1, height, width, 3)
    for place, (y, x), piece in zip(tokens.tile_index.numpy(), corners, pieces, strict=True):
        canvases[place, y : y + height, x : x + width] = piece
    return list(canvases)


def pictures_from_tokens(
    tokens: TokenSet, tile_size: int, grid: tuple[int, int]
) -> list[TilePicture]:
    """Put tiles together again, from coarse to fine and in reading order, cut to what they show.

    Args:
        tokens: With features of `tokens_from_pixels`.
        tile_size: Side of a tile in pixels.
        grid: ``(rows, columns)`` of tokens in a tile.
    """
    canvases = tiles_from_tokens(tokens, tile_size, grid)
    pictures = []
    for place, (tile, canvas) in enumerate(zip(tokens.tiles, canvases, strict=True)):
        boxes = tokens.boxes_scene[tokens.tile_index == place].numpy()
        low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
        step, corner = 1 << tile.level, np.array([tile.col, tile.row]) * tile_size
        x0, y0 = np.rint(low / step - corner).astype(int)
        # the last pixel of a level may reach beyond the scene, at which boxes end
        x1, y1 = np.ceil(high / step - corner).astype(int)
        box = Box(*(float(v) for v in (*low, *high)))
        pictures.append(TilePicture(tile, canvas[y0:y1, x0:x1], box))
    return sorted(pictures, key=lambda p: (-p.tile.level, p.tile.row, p.tile.col))


def framed(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture uint8 (rows, columns, 3) as it is sent: what is too small is set into gray."""
    rows, cols = rgb.shape[:2]
    if min(rows, cols) >= _LEAST_SIDE:
        return rgb
    frame = np.full((max(rows, _LEAST_SIDE), max(cols, _LEAST_SIDE), 3), _GRAY, np.uint8)
    frame[:rows, :cols] = rgb
    return frame


def data_url(rgb: NDArray[np.uint8], picture_format: str) -> str:
    """A picture uint8 (rows, columns, 3) as a ``data:`` URL, ``jpeg`` or ``png``."""
    buffer = io.BytesIO()
    options = {"quality": 90} if picture_format == "jpeg" else {}
    Image.fromarray(rgb).save(buffer, picture_format, **options)
    return f"data:image/{picture_format};base64,{base64.b64encode(buffer.getvalue()).decode()}"
