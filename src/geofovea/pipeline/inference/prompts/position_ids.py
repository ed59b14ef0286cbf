"""Position ids of a prompt in which vision tokens are missing, by policy.

``compact``: 0, 1, 2, … over what is left, in every row. It is what the published method has, it
never leaves the trained range, and it forgets where a token was.

``original``: every token keeps the position that it has in the stock prompt that shows the same
tiles whole. For 1-D RoPE these are running numbers with gaps; for M-RoPE every tile is an image
with its own rows and columns, and what follows it goes on after its longer side.

``scene`` (M-RoPE): all tiles share one frame. Row and column are those of the token's center in the
scene, in units of the finest tile's tokens, or coarser ones so that the frame stays within
`SCENE_SIDE`. On large scenes the tokens of a fine tile then share positions: the model is told
where a tile is, less where a token is in it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet

__all__ = ["SCENE_SIDE", "PositionWriter", "TileSpans"]

SCENE_SIDE = 200
"""Rows and columns of the largest frame; images of the training of Qwen-VL had about as many."""


@dataclass(eq=False)
class PositionWriter:
    """Writes positions from the front of a prompt to its end.

    Attributes:
        policy: ``compact``, ``original`` or ``scene``.
        axes: 1, or 3 for M-RoPE.
        grid: ``(rows, columns)`` of tokens in a tile.
        next: The position that a word behind all so far gets.
    """

    policy: str
    axes: int
    grid: tuple[int, int]
    next: int = 0
    _parts: list[Tensor] = field(default_factory=list)

    def words(self, count: int) -> None:
        """Words, one after the other."""
        self._parts.append(torch.arange(self.next, self.next + count).expand(self.axes, -1))
        self.next += count

    def tiles(self, cells: Tensor, runs: TileSpans) -> None:
        """What is left of some tiles, one after the other, and the words around each.

        Args:
            cells: int64 ``(n, 2)``, row and column of each token in its tile.
            runs: Where tokens and words stand.
        """
        if self.policy == "compact":
            self.words(len(runs))
            return
        (rows, cols), (count, opening) = self.grid, runs.opening.shape
        # a word between rows takes a position of its own
        stride = cols + int(runs.has_rows)
        # a tile takes the positions of a whole one, whatever is left of it
        whole = rows * stride - int(runs.has_rows) if self.axes == 1 else max(rows, cols)
        around = opening + runs.closing.shape[1]
        starts = self.next + torch.arange(count) * (whole + around)
        first = (starts + opening)[runs.tile]
        places = first + cells[:, 0] * stride + cells[:, 1]
        if self.axes == 3:
            places = torch.stack([first, first + cells[:, 0], first + cells[:, 1]])
        ids = torch.empty((self.axes, len(runs)), dtype=torch.int64)
        ids[:, runs.tokens] = places
        ids[:, runs.opening] = starts[:, None] + torch.arange(opening)
        behind = starts[:, None] + opening + whole
        ids[:, runs.closing] = behind + torch.arange(runs.closing.shape[1])
        if runs.has_rows:
            last = runs.row_last
            ids[:, runs.row_ends] = first[last] + cells[last, 0] * stride + cols
        self._parts.append(ids)
        self.next += count * (whole + around)

    def scene(self, tokens: TokenSet, tile_size: int) -> None:
        """All vision tokens in one frame."""
        finest = min(tile.level for tile in tokens.tiles)
        side = max((max(t.row, t.col) + 1) * (tile_size << t.level) for t in tokens.tiles)
        unit = max((tile_size << finest) / max(self.grid), side / SCENE_SIDE)
        # a token is clipped at the edge of the scene: its near corner and full size tell its center
        step = torch.tensor([1 << tile.level for tile in tokens.tiles])[tokens.tile_index, None]
        size = tile_size / torch.tensor(self.grid) * step
        center = tokens.boxes_scene[:, [1, 0]] + size / 2
        places = (center / unit).floor().long()
        self._frame(places, int(places.max()) + 1)

    def take_back(self, count: int) -> None:
        """Drop the last words; they were written just before."""
        if count:
            self._parts[-1] = self._parts[-1][:, :-count]
            self.next -= count

    def written(self) -> Tensor:
        """All positions, int64 ``(1, s)``, or ``(3, 1, s)`` for M-RoPE."""
        positions = torch.cat(self._parts, dim=1)
        return positions if self.axes == 1 else positions[:, None]

    def _frame(self, places: Tensor, side: int) -> None:
        start = torch.full((len(places),), self.next)
        self._parts.append(torch.stack([start, self.next + places[:, 0], self.next + places[:, 1]]))
        self.next += side


@dataclass(frozen=True, slots=True, eq=False)
class TileSpans:
    """Places counted from the first tile on, as int64 tensors on the host.

    Attributes:
        tile: ``(n,)``, the number of each token's tile.
        tokens: ``(n,)``, where each token stands.
        opening: ``(k, o)``, where the words before each of k tiles stand.
        closing: ``(k, c)``, where those behind each of them stand.
        row_ends: ``(r,)``, where the words between two rows of a tile stand.
        row_last: ``(r,)``, the number of the token before each of them.
        has_rows: Whether there are words between rows. A row without tokens has none.
    """

    tile: Tensor
    tokens: Tensor
    opening: Tensor
    closing: Tensor
    row_ends: Tensor
    row_last: Tensor
    has_rows: bool

    @staticmethod
    def of(counts: Tensor, opening: int, closing: int, rows: Tensor | None = None) -> TileSpans:
        """Runs of ``counts`` tokens ``(k,)`` with so many words before and behind each.

        Args:
            counts: See above.
            opening: Words before each.
            closing: Words behind each.
            rows: int64 ``(n,)``, the row of each token, where a word stands between two rows.
        """
        tile = torch.arange(len(counts)).repeat_interleave(counts)
        row_last = torch.zeros(0, dtype=torch.int64)
        tokens = torch.arange(len(tile)) + tile * (opening + closing) + opening
        if rows is not None:
            changes = (tile[1:] == tile[:-1]) & (rows[1:] != rows[:-1])
            row_last = changes.nonzero()[:, 0]
            tokens[1:] += changes.cumsum(0)
        last = counts.cumsum(0) - 1
        return TileSpans(
            tile,
            tokens,
            tokens[last - counts + 1][:, None] - opening + torch.arange(opening),
            tokens[last][:, None] + 1 + torch.arange(closing),
            tokens[row_last] + 1,
            row_last,
            rows is not None,
        )

    def __len__(self) -> int:
        """All places."""
        words = self.opening.numel() + self.closing.numel() + len(self.row_ends)
        return len(self.tokens) + words
