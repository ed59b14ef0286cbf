"""A resampler at work under a token budget: tile by tile, over the tokens of a look."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Stage, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.allotment import allot_tokens
from geofovea.regionfocus.resamplers.base import Resampler

__all__ = ["ResampledTiles"]


@dataclass(frozen=True, slots=True, eq=False)
class ResampledTiles:
    """Chooses how many tokens each tile gets, and makes them; see ``Reduction``.

    Tiles share the budget by the mass of the focus's scores in them. A tile that may keep all of
    its tokens keeps them as they are. A token that is made stands at a token of its tile, and its
    box is that of all it stands for.

    Attributes:
        resampler: Makes tokens.
        most: Tokens of a tile; None for as many as the budget allows.
    """

    resampler: Resampler
    most: int | None = None

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        return self.resampler.name

    @property
    def stage(self) -> Stage:
        """Where it acts."""
        return "projected"

    @property
    def requires(self) -> frozenset[str]:
        """Fields of `TokenContext` that it cannot do without, beside ``cells``."""
        reads = {"text_embeds"} if self.resampler.reads_question else set()
        return frozenset({"tile_index", "boxes_scene"} | reads)

    def reduce(self, context: TokenContext, k: int) -> TokenChoice:
        """At most ``k`` tokens of n, at least one; see ``Reduction``.

        Raises:
            ModelError: If the context lacks a required field, or the tiles have another grid.
        """
        needs = self.requires | {"cells"}
        if missing := sorted(f for f in needs if getattr(context, f) is None):
            raise ModelError(f"the resampler {self.name} needs {', '.join(missing)}")
        numbers, members = context.tiles_of_tokens()
        if not members:
            return TokenChoice(torch.arange(0))
        counts = self._counts(context.weights_of(members), [len(m) for m in members], k)
        parts = [
            self._of_tile(context, tokens, count)
            for tokens, count in zip(members, counts, strict=True)
            if count
        ]
        index = torch.cat([tokens for tokens, *_ in parts])
        order = torch.argsort(index, stable=True)
        features = torch.cat([values for _, values, *_ in parts])[order.to(context.features.device)]
        return TokenChoice(
            index[order],
            features,
            sizes=torch.cat([sizes for *_, sizes, _ in parts])[order],
            info={"per_tile": dict(zip(numbers, counts, strict=True))},
            boxes=torch.cat([boxes for *_, boxes in parts])[order],
        )

    def _counts(self, weights: list[float], sizes: list[int], k: int) -> list[int]:
        """Tokens that each tile gets, 0 or a number that it can have, together at most k."""
        ladders = [self._ladder(size) for size in sizes]
        capacities = [ladder[-1] for ladder in ladders]
        shares = allot_tokens(weights, capacities, min(max(k, 1), sum(capacities)))
        counts = [
            max((c for c in ladder if c <= share), default=0)
            for ladder, share in zip(ladders, shares, strict=True)
        ]
        room = sum(shares) - sum(counts)
        for tile in sorted(range(len(sizes)), key=lambda i: (-weights[i], i)):
            reachable = [c for c in ladders[tile] if counts[tile] < c <= counts[tile] + room]
            if reachable:
                room -= reachable[-1] - counts[tile]
                counts[tile] = reachable[-1]
        return counts

    def _ladder(self, size: int) -> list[int]:
        """The numbers of tokens that a tile of so many visible ones can have, ascending."""
        most = size if self.most is None else min(self.most, size)
        fewer = [c for c in self.resampler.counts if c < size and c <= most]
        return [*fewer, size] if most == size else fewer

    def _of_tile(
        self, context: TokenContext, tokens: Tensor, count: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Indices, values, sizes and boxes of the tokens of one tile."""
        assert context.boxes_scene is not None  # noqa: S101 - checked by reduce
        values = context.features[tokens.to(context.features.device)]
        boxes = context.boxes_scene[tokens].cpu()
        if count >= len(tokens):
            return tokens, values, torch.ones(len(tokens), dtype=torch.int64), boxes
        places = self._places(context, tokens)
        outputs = self._outputs(values, places, count, context.text_embeds)
        stands_for = self.resampler.members(count)[:, places]
        is_there = stands_for.any(1)
        stands_for = stands_for[is_there]
        index = _distinct(stands_for)
        return (
            tokens[index],
            outputs[is_there.to(outputs.device)].to(values.dtype),
            stands_for.sum(1),
            torch.stack([_hull(boxes[members]) for members in stands_for]),
        )

    def _outputs(
        self, values: Tensor, places: Tensor, count: int, question: Tensor | None
    ) -> Tensor:
        """What the resampler makes of tokens at places of a tile, float32 ``(count, d)``."""
        device = values.device
        grid = values.new_zeros(self.resampler.cells, values.shape[1], dtype=torch.float32)
        grid[places.to(device)] = values.float()
        visible = torch.zeros(self.resampler.cells, dtype=torch.bool, device=device)
        visible[places.to(device)] = True
        mean = None if question is None else question.to(device).float().mean(0)[None]
        with torch.inference_mode():
            outputs: Tensor = self.resampler(grid[None], visible[None], count, mean)[0]
        return outputs

    def _places(self, context: TokenContext, tokens: Tensor) -> Tensor:
        """Cell of each token in its tile, row-major."""
        assert context.cells is not None  # noqa: S101 - checked by reduce
        rows, cols = self.resampler.grid
        row, col = context.cells[tokens].cpu().T
        if int(row.max()) >= rows or int(col.max()) >= cols:
            raise ModelError(
                f"the resampler {self.name} was made for tiles of {rows} x {cols} tokens, and "
                "these are larger"
            )
        place: Tensor = row * cols + col
        return place


def _distinct(stands_for: Tensor) -> Tensor:
    """A token for each output, int64 ``(m,)`` ascending: the first that it stands for, if free."""
    chosen: list[int] = []
    for members in stands_for:
        own = members.nonzero()[:, 0].tolist()
        free = [i for i in own if i not in chosen]
        chosen.append(free[0])
    return torch.tensor(chosen)


def _hull(boxes: Tensor) -> Tensor:
    """The box around boxes ``(m, 4)``."""
    return torch.cat([boxes[:, :2].amin(0), boxes[:, 2:].amax(0)])
