"""A focus that asks: the model picks cells of a numbered grid over the tiles of a level."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.focus.numbered_grid import NumberedGrid, parse_cells
from geofovea.pipeline.hosts.endpoint.images import tiles_from_tokens
from geofovea.regionfocus.tokens import TokenSet, cells_of_tokens

if TYPE_CHECKING:
    from geofovea.pipeline.hosts.base import SupportsImages

__all__ = ["PromptedFocus"]

_REQUEST = (
    "This satellite picture is divided into {count} cells, numbered from 1 to {count} in their top "
    "left corners. Which cells must be looked at more closely to answer the question below? Reply "
    "with at most {most} cell numbers, the most likely first, separated by commas, and nothing "
    "else. Reply with the word none if no cell helps.\n"
    "Question: {question}"
)
_MOST_PICKED = 8
# spread over all tokens, more to the nearer ones, so that a budget larger than what was picked is
# spent on its neighborhood
_ELSEWHERE = 0.01


class PromptedFocus:
    """See `Focus`: one request for each level that is scored.

    A reply that names no cell, all cells, or anything but cells scores all tokens equally, with a
    warning: the descent then spreads its tiles evenly instead of following nonsense.
    """

    name = "prompted"

    def __init__(
        self, host: SupportsImages, question: str, clock: StageClock, warnings: list[str]
    ) -> None:
        """Keep what is asked of whom; ``warnings`` takes what goes wrong."""
        self._host = host
        self._question = question
        self._clock = clock
        self._warnings = warnings

    def score(self, tokens: TokenSet) -> Tensor:
        """Weights 1, 1/2, 1/3... of the cells in the order picked, shared by their tokens, (n,).

        Raises:
            EndpointError: If the endpoint does not answer.
            SpendLimitError: If the call might exceed what may be spent.
        """
        with self._clock.stage("focus"):
            return self._score(tokens)

    def _score(self, tokens: TokenSet) -> Tensor:
        host = self._host
        grid = NumberedGrid.over(tokens.tiles)
        pixels = tiles_from_tokens(tokens, host.tile_size, host.grid)
        of_tile = dict(zip(tokens.tiles, pixels, strict=True))
        request = _REQUEST.format(count=grid.count, most=_MOST_PICKED, question=self._question)
        reply = host.ask_picture(grid.draw([of_tile[tile] for tile in grid.tiles]), request)
        picked = parse_cells(reply, grid.count)
        subject = f"asked where to look on level {tokens.tiles[0].level}, the model"
        if doubt := _doubt(picked, grid.count):
            self._warnings.append(f"{subject} {doubt}: the level was looked at evenly")
        if picked is None or doubt:
            return torch.ones(len(tokens))
        if len(picked) > _MOST_PICKED:
            self._warnings.append(
                f"{subject} named {len(picked)} cells where at most {_MOST_PICKED} were asked for: "
                "the first of them were followed"
            )
        cells = self._cells(tokens, grid)
        weights = torch.zeros(grid.count)
        for rank, cell in enumerate(picked[:_MOST_PICKED], 1):
            weights[cell] = 1 / rank
        shares = weights[cells] / torch.bincount(cells, minlength=grid.count)[cells]
        if not bool(shares.any()):
            self._warnings.append(
                f"{subject} named cells of missing pixels alone: the level was looked at evenly"
            )
            return torch.ones(len(tokens))
        return shares + _ELSEWHERE * _nearness(tokens, shares > 0)

    def _cells(self, tokens: TokenSet, grid: NumberedGrid) -> Tensor:
        """The cell that each token lies in, int64 (n,)."""
        rows, cols = cells_of_tokens(tokens, self._host.tile_size, grid.cells_a_side)
        place = {tile: i for i, tile in enumerate(grid.tiles)}
        index = [place[tile] for tile in tokens.tiles]
        cells = [
            grid.cell(index[tile], row, col)
            for tile, row, col in zip(
                tokens.tile_index.tolist(), rows.tolist(), cols.tolist(), strict=True
            )
        ]
        return torch.tensor(cells, dtype=torch.int64)


def _doubt(picked: tuple[int, ...] | None, count: int) -> str:
    """Why what was picked of ``count`` cells is nothing to follow; empty if it is."""
    if picked is None:
        return "named no cells of the grid"
    if not picked:
        return "said that no cell helps"
    if len(picked) == count > _MOST_PICKED:
        return "named all cells"
    return ""


def _nearness(tokens: TokenSet, is_picked: Tensor) -> Tensor:
    """How near each token is to the nearest picked one, float32 (n,), sum 1."""
    boxes, centers = tokens.boxes_scene, tokens.centers_scene
    unit = (boxes[:, 2:] - boxes[:, :2]).amax()
    distances = torch.cdist(centers, centers[is_picked]).amin(1) / unit
    near = 1 / (1 + distances)
    return (near / near.sum()).float()
