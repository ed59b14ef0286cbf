"""Vision tokens as values: vectors that know their tile and their place in the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.tiling.pyramid import Pyramid, Tile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TokenSet", "cells_in_tiles", "cells_of_tokens", "token_cells", "tokens_of_tiles"]

_NO_BOXES = torch.empty((0, 4), dtype=torch.float64)


@dataclass(frozen=True, slots=True, eq=False)
class TokenSet:
    """Vision tokens of some tiles; padding and nodata never enter one.

    Features stay on the device where they were made; the small geometry is kept on the host.

    Attributes:
        features: ``(n, d)``, outputs of a host's projector.
        tiles: The tiles that the tokens come from, each once.
        tile_index: int64 ``(n,)``, the place of each token's tile in ``tiles``.
        boxes_scene: float64 ``(n, 4)`` as x0, y0, x1, y1, clipped to the scene.
        importance: float32 ``(n,)``, what the reduction that left the tokens found of each; None
            where it tells nothing.

    Raises:
        GeometryError: If shapes, types or indices disagree, a tile repeats or a box is empty.
    """

    features: Tensor
    tiles: tuple[Tile, ...]
    tile_index: Tensor
    boxes_scene: Tensor
    importance: Tensor | None = None

    def __post_init__(self) -> None:
        n = self.features.shape[0]
        shapes = tuple(self.tile_index.shape), tuple(self.boxes_scene.shape)
        dtypes = self.tile_index.dtype, self.boxes_scene.dtype
        if self.features.ndim != 2 or shapes != ((n,), (n, 4)):
            raise GeometryError(
                "a token set needs features (n, d), tile_index (n,) and boxes_scene (n, 4), got "
                f"{tuple(self.features.shape)}, {shapes[0]} and {shapes[1]}"
            )
        if dtypes != (torch.int64, torch.float64):
            raise GeometryError(
                f"tile_index must be int64 and boxes_scene float64, got {dtypes[0]} and {dtypes[1]}"
            )
        if self.importance is not None and (
            tuple(self.importance.shape) != (n,) or self.importance.dtype != torch.float32
        ):
            raise GeometryError(
                f"the importance of {n} tokens must be float32 ({n},), got "
                f"{self.importance.dtype} {tuple(self.importance.shape)}"
            )
        if len(set(self.tiles)) != len(self.tiles):
            raise GeometryError(f"each tile may stand once in a token set, got {self.tiles}")
        if n:
            lowest, highest = self.tile_index.aminmax()
            if not 0 <= int(lowest) <= int(highest) < len(self.tiles):
                raise GeometryError(
                    f"tile_index must point into the {len(self.tiles)} tiles of the set"
                )
        if not bool((self.boxes_scene[:, :2] < self.boxes_scene[:, 2:]).all()):
            raise GeometryError("every token needs a box with area; drop padding tokens first")

    def __len__(self) -> int:
        return self.features.shape[0]

    @property
    def levels(self) -> Tensor:
        """Level of each token, int64 ``(n,)``."""
        return self._of_tiles([tile.level for tile in self.tiles])

    @property
    def centers_scene(self) -> Tensor:
        """Center of each token in scene pixels, float64 ``(n, 2)`` as x, y."""
        return (self.boxes_scene[:, :2] + self.boxes_scene[:, 2:]) / 2

    def select(self, keep: Tensor) -> TokenSet:
        """The tokens at the indices ``keep`` (int64 or bool), in that order.

        Tiles that no token is left of are dropped.
        """
        keep = _as_indices(keep.to(self.tile_index.device))
        tile_index = self.tile_index[keep]
        # tokens are counted by tile: to sort them, as torch.unique does, takes much longer
        is_used = tile_index.bincount(minlength=len(self.tiles)) > 0
        return TokenSet(
            self.features[keep.to(self.features.device)],
            tuple(compress(self.tiles, is_used.tolist())),
            (is_used.cumsum(0) - 1)[tile_index],
            self.boxes_scene[keep],
            None if self.importance is None else self.importance[keep],
        )

    def at_level(self, level: int) -> TokenSet:
        """The tokens of one level, in their order."""
        counts = self.tile_index.bincount(minlength=len(self.tiles))
        # a search asks for the one level that there is, as a rule
        if all(tile.level == level for tile in self.tiles) and bool(counts.all()):
            return self
        return self.select(self.levels == level)

    @staticmethod
    def concat(sets: Sequence[TokenSet]) -> TokenSet:
        """All tokens of some sets, one after the other; a tile that several share stands once.

        Their importance is known where that of every token is.

        Raises:
            GeometryError: If there is no set, so that the width of the features is unknown.
        """
        if not sets:
            raise GeometryError("concat needs at least one token set, got none")
        place = {tile: i for i, tile in enumerate(dict.fromkeys(t for s in sets for t in s.tiles))}
        importances = [tokens.importance for tokens in sets if len(tokens)]
        weights = [importance for importance in importances if importance is not None]
        return TokenSet(
            torch.cat([tokens.features for tokens in sets]),
            tuple(place),
            torch.cat([tokens._of_tiles([place[t] for t in tokens.tiles]) for tokens in sets]),
            torch.cat([tokens.boxes_scene for tokens in sets]),
            torch.cat(weights) if weights and len(weights) == len(importances) else None,
        )

    def reading_order(self) -> Tensor:
        """Indices that put the tokens in reading order, int64 ``(n,)``.

        Coarse levels come first; within a level, tile after tile by row and column; within a tile,
        tokens row by row. A tile is never interrupted, as a decoder saw tiles in its training.
        """
        ordered = sorted(self.tiles, key=lambda tile: (-tile.level, tile.row, tile.col))
        rank = {tile: i for i, tile in enumerate(ordered)}
        rank_tile = self._of_tiles([rank[tile] for tile in self.tiles])
        # stable sorts by the least important key first
        order = torch.argsort(self.boxes_scene[:, 0], stable=True)
        order = order[torch.argsort(self.boxes_scene[order, 1], stable=True)]
        return order[torch.argsort(rank_tile[order], stable=True)]

    def in_reading_order(self) -> TokenSet:
        """The same tokens in the order of `reading_order`."""
        return self.select(self.reading_order())

    def _of_tiles(self, values: Sequence[int]) -> Tensor:
        """One whole number per tile, looked up for every token."""
        return torch.tensor(values, dtype=torch.int64)[self.tile_index]


def _as_indices(keep: Tensor) -> Tensor:
    """Indices of what a mask keeps: a mask on a device would have to be counted there first."""
    return keep.nonzero()[:, 0] if keep.dtype == torch.bool else keep


def tokens_of_tiles(
    features: Tensor,
    grid: tuple[int, int],
    tiles: Sequence[Tile],
    pyramid: Pyramid,
    valid: Tensor | None = None,
) -> TokenSet:
    """Place the tokens of encoded tiles in the scene and drop those that show none of it.

    Args:
        features: ``(k, rows * cols, d)``, row-major tokens of k tiles.
        grid: ``(rows, cols)`` of tokens in a tile.
        tiles: The k tiles.
        pyramid: The pyramid that the tiles belong to.
        valid: bool ``(k, rows * cols)``; False where a token saw no data.

    Raises:
        GeometryError: If shapes disagree, a tile is off the pyramid's grid or repeats.
    """
    rows, cols = grid
    shape = (len(tiles), rows * cols)
    if features.ndim != 3 or tuple(features.shape[:2]) != shape:
        raise GeometryError(
            f"{len(tiles)} tiles of {rows} x {cols} tokens need features {(*shape, 'd')}, "
            f"got {tuple(features.shape)}"
        )
    if valid is not None and (tuple(valid.shape) != shape or valid.dtype != torch.bool):
        raise GeometryError(f"valid must be bool {shape}, got {valid.dtype} {tuple(valid.shape)}")
    masks = [None] * len(tiles) if valid is None else list(valid.cpu().numpy())
    placed = [
        _placed_cells(grid, tile, pyramid, None if mask is None else mask.tobytes())
        for tile, mask in zip(tiles, masks, strict=True)
    ]
    counts = torch.tensor([len(boxes) for _, boxes in placed], dtype=torch.int64)
    rows_kept = features.flatten(0, 1)
    if int(counts.sum()) < len(rows_kept):
        keep = torch.cat([cells + i * rows * cols for i, (cells, _) in enumerate(placed)])
        rows_kept = rows_kept[keep.to(features.device)]
    return TokenSet(
        rows_kept,
        tuple(tiles),
        torch.arange(len(tiles)).repeat_interleave(counts),
        torch.cat([boxes for _, boxes in placed]) if placed else _NO_BOXES,
    )


# of the finest grids, 32 tokens a side, these hold 20 MiB
@lru_cache(maxsize=512)
def _placed_cells(
    grid: tuple[int, int], tile: Tile, pyramid: Pyramid, valid: bytes | None
) -> tuple[Tensor, Tensor]:
    """Cells of a tile that show some of the scene, int64 ``(n,)``, and their boxes ``(n, 4)``.

    Remembered, because every question begins with the same tiles, and many a tile is looked at by
    several. Nobody may change what is returned.

    Args:
        grid: ``(rows, cols)`` of tokens in a tile.
        tile: The tile.
        pyramid: Of the scene.
        valid: A byte for each cell, 0 for one that saw no data; None if all did.

    Raises:
        GeometryError: If the tile is off the pyramid's grid.
    """
    # here, so that families of models can be listed where NumPy is missing
    import numpy as np

    pyramid.valid_size(tile)  # refuses a tile off the grid
    rows, cols = grid
    # all edges of an axis come from one formula, so neighbors share theirs to the last bit
    side, step = pyramid.tile_size, float(1 << tile.level)
    edges_x = ((float(tile.col) * side + _cuts(side, cols)) * step).clip(max=pyramid.width)
    edges_y = ((float(tile.row) * side + _cuts(side, rows)) * step).clip(max=pyramid.height)
    boxes = np.empty((rows, cols, 4))
    boxes[..., 0], boxes[..., 2] = edges_x[:-1], edges_x[1:]
    boxes[..., 1], boxes[..., 3] = edges_y[:-1, None], edges_y[1:, None]
    shows = (boxes[..., :2] < boxes[..., 2:]).all(axis=-1).ravel()
    if valid is not None:
        shows &= np.frombuffer(valid, np.bool_)
    return torch.from_numpy(np.flatnonzero(shows)), torch.from_numpy(boxes.reshape(-1, 4)[shows])


def _cuts(side: int, count: int) -> NDArray[np.float64]:
    """Where a side is cut into parts of one length, both ends included."""
    import numpy as np

    return ((np.arange(count + 1) * side).astype(np.float32) / np.float32(count)).astype(np.float64)


def cells_in_tiles(tokens: TokenSet, grid: tuple[int, int], pyramid: Pyramid) -> Tensor:
    """Place of each token in its tile, row-major, int64 ``(n,)``: undoes `tokens_of_tiles`.

    Args:
        tokens: n tokens.
        grid: ``(rows, cols)`` of tokens in a tile.
        pyramid: The pyramid that their tiles belong to.
    """
    rows, cols = token_cells(tokens, grid, pyramid.tile_size).unbind(1)
    return rows * grid[1] + cols


def token_cells(tokens: TokenSet, grid: tuple[int, int], tile_size: int) -> Tensor:
    """Row and column of each token in the grid of its tile, int64 ``(n, 2)``."""
    import numpy as np

    # columns first, as boxes have x before y; for so few numbers, a call to torch costs more
    address = np.array([(t.col, t.row) for t in tokens.tiles], dtype=np.float64).reshape(-1, 2)
    step = np.array([1 << t.level for t in tokens.tiles], dtype=np.float64).reshape(-1, 1)
    index = tokens.tile_index.numpy()
    # corners at the top left are never clipped
    places = tokens.boxes_scene.numpy()[:, :2] / step[index] / tile_size - address[index]
    cells = np.rint(places * (grid[1], grid[0])).astype(np.int64)
    return torch.from_numpy(np.ascontiguousarray(cells[:, ::-1]))


def cells_of_tokens(tokens: TokenSet, tile_size: int, cells_a_side: int) -> tuple[Tensor, Tensor]:
    """Row and column, int64 (n,) each, of the cell of its tile that each token's center lies in.

    Args:
        tokens: n tokens of any host.
        tile_size: Side of a tile in level pixels.
        cells_a_side: Cells along each side of a tile.
    """
    corners = torch.tensor([(t.col, t.row) for t in tokens.tiles], dtype=torch.float64)
    sides = torch.tensor([[tile_size << t.level] for t in tokens.tiles], dtype=torch.float64)
    places = tokens.centers_scene / sides[tokens.tile_index] - corners[tokens.tile_index]
    cells = (places * cells_a_side).floor().clamp(0, cells_a_side - 1).long()
    return cells[:, 1], cells[:, 0]
