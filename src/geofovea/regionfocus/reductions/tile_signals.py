"""What an encoder showed of each tile, and the context of tokens of several tiles made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows
from geofovea.regionfocus.reductions.tile_maps import TileMaps, of_tokens
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["TILE_SIGNALS", "TileSignals", "question_context", "signal_bytes"]

TILE_SIGNALS = frozenset(
    {"cls_attention", "received", "attention", "keys", "encoder_hidden", "entropy"}
)
"""Fields of a `TokenContext` that are known tile by tile."""

TileSignals = Mapping[str, Tensor | Mapping[int, Tensor]]
"""Some of `TILE_SIGNALS`, each over all the tokens of one tile, row-major; see `TokenContext`."""

_MAPS_BY_LAYER = frozenset({"cls_attention", "received"})


def question_context(
    tokens: TokenSet,
    scores: Tensor,
    signals: Mapping[Tile, TileSignals],
    cells: Tensor,
    text_embeds: Tensor | None = None,
) -> TokenContext:
    """The context of some tokens, with what is known of their tiles and of the question.

    ``text_similarity`` is the cosine of a token and the mean embedding of the question. That is the
    space of the decoder: LLaVA brings no contrastive encoder of texts.

    Args:
        tokens: n tokens, those of a tile one after the other.
        scores: ``(n,)``.
        signals: Of each of their tiles; a field counts where every tile has it.
        cells: int64 ``(n,)``, place of each token in its tile, row-major.
        text_embeds: ``(t, d)``, if the question is to be known.

    Raises:
        GeometryError: If the tokens of tiles alternate, or a signal has too few.
    """
    context = TokenContext.of(tokens, scores)
    runs = _runs(tokens.tile_index)
    of_run = [signals.get(tokens.tiles[number], {}) for number, _ in runs]
    places = [cells[part] for _, part in runs]
    shared = set.intersection(*(set(s) for s in of_run)) if of_run else set()
    signal_fields: dict[str, Any] = {
        name: _joined(name, [s[name] for s in of_run], places) for name in shared & TILE_SIGNALS
    }
    if text_embeds is not None:
        signal_fields["text_embeds"] = text_embeds
        text = unit_rows(text_embeds.float().mean(0, keepdim=True))[0]
        signal_fields["text_similarity"] = unit_rows(tokens.features) @ text.to(
            tokens.features.device
        )
    return replace(context, **signal_fields)


def signal_bytes(signals: TileSignals) -> int:
    """Memory that signals hold."""
    tables = [
        table
        for value in signals.values()
        for table in (value.values() if isinstance(value, Mapping) else [value])
    ]
    return sum(table.nbytes for table in tables)


def _runs(tile_index: Tensor) -> list[tuple[int, slice]]:
    """Tiles in the order of their tokens, and which tokens are theirs."""
    numbers, counts = torch.unique_consecutive(tile_index.cpu(), return_counts=True)
    if len(set(numbers.tolist())) < len(numbers):
        raise GeometryError("signals need the tokens of a tile one after the other; sort them")
    ends = counts.cumsum(0).tolist()
    return [
        (number, slice(end - count, end))
        for number, end, count in zip(numbers.tolist(), ends, counts.tolist(), strict=True)
    ]


def _joined(name: str, values: Sequence[Any], places: Sequence[Tensor]) -> Any:
    """One signal over the tokens of several tiles."""
    if name == "attention":
        return {
            layer: TileMaps.of(
                [of_tokens(v[layer], p) for v, p in zip(values, places, strict=True)]
            )
            for layer in values[0]
        }
    if name in _MAPS_BY_LAYER:
        return {
            layer: torch.cat(
                [v[layer][..., p.to(v[layer].device)] for v, p in zip(values, places, strict=True)],
                dim=-1,
            )
            for layer in values[0]
        }
    return torch.cat([v[p.to(v.device)] for v, p in zip(values, places, strict=True)])
