"""Which layers and heads of a host point at what a question is about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geofovea.pipeline.calibration.pointing import LookRows, hits_of
from geofovea.regionfocus.attention_correction import corrected_rows
from geofovea.regionfocus.attention_mode import CORRECTIONS

__all__ = ["RowRanking", "look_record"]

_SINK_FACTOR = 8
"""A token is reported as a sink where every neutral question gives it this many mean shares."""


def look_record(look_rows: LookRows) -> dict[str, Any]:
    """How well each row and each layer points, summed over the questions of a look, as JSON.

    Keys: ``questions``, their number; ``heads`` and ``layers``, hits by correction; ``mass``, what
    falls on the object by correction and layer; ``sinks``, the share of neutral attention on sinks
    by layer; ``tokens``, what the look cost.
    """
    look, neutral = look_rows.look, look_rows.neutral
    layers, heads, count = look_rows.rows[0].shape
    flat_neutral = neutral.flatten(1, 2)
    record: dict[str, Any] = {"heads": {}, "layers": {}, "mass": {}}
    for correction in CORRECTIONS:
        head_hits = torch.zeros(layers, heads, dtype=torch.int64)
        layer_hits = torch.zeros(layers, dtype=torch.int64)
        mass = torch.zeros(layers, dtype=torch.float64)
        for rows, halved, right in zip(look_rows.rows, look_rows.halved, look.right, strict=True):
            # else a sink that follows the question hides which layers point
            again = halved.flatten(1, 2) if correction == "relative" else None
            flat = rows.flatten(0, 1)
            shares = corrected_rows(flat, flat_neutral, look.tokens, correction, again)
            shares = shares.view(layers, heads, count)
            pooled = shares.mean(1)
            head_hits += hits_of(shares, right)
            layer_hits += hits_of(pooled, right)
            mass += pooled[:, right].sum(-1)
        record["heads"][correction] = head_hits.tolist()
        record["layers"][correction] = layer_hits.tolist()
        record["mass"][correction] = [round(value, 6) for value in mass.tolist()]
    least = neutral.mean(2).amin(0)
    sinks = least.masked_fill(least < _SINK_FACTOR / count, 0).sum(-1)
    return record | {
        "questions": len(look.questions),
        "sinks": [round(value, 6) for value in sinks.tolist()],
        "tokens": look_rows.tokens,
    }


@dataclass(frozen=True, slots=True, eq=False)
class RowRanking:
    """Pointing accuracy of every layer and head, by correction.

    Attributes:
        questions: That it is of.
        layers: float64 ``(layers,)`` by correction, of the mean of a layer's heads.
        mass: The same for the share of the scores on the object.
        heads: float64 ``(layers, heads)`` by correction.
        sinks: float64 ``(layers,)``, the mean share of neutral attention that falls on sinks.
    """

    questions: int
    layers: Mapping[str, NDArray[np.float64]]
    mass: Mapping[str, NDArray[np.float64]]
    heads: Mapping[str, NDArray[np.float64]]
    sinks: NDArray[np.float64]

    @staticmethod
    def of(records: Iterable[Mapping[str, Any]]) -> RowRanking:
        """Add up the records of some looks; at least one."""
        records = list(records)
        questions = sum(record["questions"] for record in records)

        def means(name: str) -> dict[str, NDArray[np.float64]]:
            return {
                correction: np.sum([np.array(r[name][correction], float) for r in records], 0)
                / questions
                for correction in CORRECTIONS
            }

        sinks = np.mean([np.array(record["sinks"], float) for record in records], 0)
        return RowRanking(questions, means("layers"), means("mass"), means("heads"), sinks)

    def best_layers(self, correction: str, among: Sequence[int] | None = None) -> list[int]:
        """Layers, all by default, the best first; equal ones by the share on the object."""
        accuracy, mass = self.layers[correction], self.mass[correction]
        layers = range(len(accuracy)) if among is None else among
        return sorted(layers, key=lambda i: (-accuracy[i], -mass[i], i))

    def best_heads(
        self, correction: str, count: int, among: Sequence[int] | None = None
    ) -> list[tuple[int, int]]:
        """The best heads of layers as ``(layer, head)``; those of a better layer come first."""
        accuracy = self.heads[correction]
        rank = {layer: place for place, layer in enumerate(self.best_layers(correction, among))}
        pairs = [(i, j) for i in rank for j in range(accuracy.shape[1])]
        return sorted(pairs, key=lambda pair: (-accuracy[pair], rank[pair[0]], pair[1]))[:count]
