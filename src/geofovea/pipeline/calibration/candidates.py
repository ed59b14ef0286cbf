"""The modes that a calibration tries, and the choice among them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch

from geofovea.pipeline.calibration.pointing import LookRows, hits_of
from geofovea.pipeline.calibration.ranking import RowRanking
from geofovea.regionfocus.attention_correction import scores_from_layers
from geofovea.regionfocus.attention_mode import (
    CORRECTIONS,
    MOST_HALVINGS,
    NEUTRAL_QUESTIONS,
    WORDINGS,
    AttentionMode,
    early_layers,
    questions_beside,
)

__all__ = ["UNCALIBRATED", "ModeScore", "candidate_modes", "choose_mode", "mode_hits"]

UNCALIBRATED = "uncalibrated"
"""The name of the mode that a host has without calibration."""
_SEVERAL_LAYERS = (2, 4)
_SEVERAL_HEADS = (4, 16)
_ONE_SIDED_95 = 1.645


def candidate_modes(
    ranking: RowRanking,
    uncalibrated: AttentionMode,
    readable: Sequence[int],
    *,
    reuses_prefix: bool,
) -> dict[str, AttentionMode]:
    """Modes by name: what a host has uncalibrated, and those of the best layers and heads.

    Args:
        ranking: Measured on looks that no candidate is judged by.
        uncalibrated: The mode that the host has without calibration.
        readable: Layers that can be read.
        reuses_prefix: See ``attention_mode.default_mode``.
    """
    neutral, wordings = questions_beside(reuses_prefix=reuses_prefix)
    modes = {UNCALIBRATED: uncalibrated}
    layers = ranking.best_layers("relative", readable)
    for pooling in ("mean", "median"):
        modes[f"best layer, relative, {pooling}"] = AttentionMode(
            (layers[0],),
            pooling=pooling,
            neutral=neutral,
            wordings=wordings,
            early=early_layers(readable, layers[0]),
        )
    best_layer = modes["best layer, relative, mean"]
    modes["best layer, relative, no early layer"] = replace(best_layer, early=())
    for count in range(1, MOST_HALVINGS + 1):
        modes[f"best layer, relative, halved {count} x"] = replace(best_layer, halvings=count)
    modes["best layer, relative, halved 2 x, no early layer"] = replace(
        best_layer, early=(), halvings=MOST_HALVINGS
    )
    for count in _SEVERAL_LAYERS:
        if count <= len(layers):
            best = tuple(sorted(layers[:count]))
            modes[f"{count} layers, relative"] = AttentionMode(
                best,
                neutral=neutral,
                wordings=wordings,
                early=early_layers(readable, best[0]),
            )
    for count in _SEVERAL_HEADS:
        heads = tuple(sorted(ranking.best_heads("relative", count, readable)))
        used = tuple(sorted({layer for layer, _ in heads}))
        for pooling in ("mean", "median"):
            modes[f"{len(heads)} heads, relative, {pooling}"] = AttentionMode(
                used,
                heads,
                pooling=pooling,
                neutral=neutral,
                wordings=wordings,
                early=early_layers(readable, used[0]),
            )
    for correction in CORRECTIONS:
        if correction != "relative" and (correction != "masked" or len(neutral) >= 3):
            modes[f"best layer, {correction}"] = AttentionMode(
                (ranking.best_layers(correction, readable)[0],),
                correction=correction,
                neutral=neutral,
            )
    return modes


def mode_hits(look_rows: LookRows, modes: Mapping[str, AttentionMode]) -> dict[str, list[int]]:
    """For each mode, whether it points at the object of each question of a look, 1 or 0."""
    layers = tuple(range(look_rows.neutral.shape[1]))
    hits: dict[str, list[int]] = {}
    for name, mode in modes.items():
        picked = [WORDINGS.index(wording) for wording in mode.wordings]
        places = [NEUTRAL_QUESTIONS.index(question) for question in mode.neutral]
        neutral = look_rows.neutral[places]
        hits[name] = [
            int(
                hits_of(
                    scores_from_layers(
                        rows,
                        neutral,
                        look_rows.look.tokens,
                        mode,
                        torch.cat([reworded[picked], halved[: mode.halvings]]),
                        layers,
                    ),
                    right,
                )
            )
            for rows, reworded, halved, right in zip(
                look_rows.rows,
                look_rows.reworded,
                look_rows.halved,
                look_rows.look.right,
                strict=True,
            )
        ]
    return hits


@dataclass(frozen=True, slots=True)
class ModeScore:
    """How well a mode points at what some questions are about.

    Attributes:
        mode: The mode.
        hits: 1 or 0 for each question, by look.
    """

    mode: AttentionMode
    hits: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> float:
        """Share of the questions that are hit."""
        return sum(map(sum, self.hits)) / sum(map(len, self.hits))

    @staticmethod
    def of_each(
        modes: Mapping[str, AttentionMode], records: Sequence[Mapping[str, Any]]
    ) -> dict[str, ModeScore]:
        """The scores of some modes, from records whose ``hits`` are those of `mode_hits`."""
        return {
            name: ModeScore(mode, tuple(tuple(record["hits"][name]) for record in records))
            for name, mode in modes.items()
        }


def choose_mode(scores: Mapping[str, ModeScore]) -> str:
    """The name of the mode to take.

    A mode relative to neutral questions withstands sinks that a later scene may bring, so the best
    of those is taken, unless another is better by more than two standard errors. Of relative modes
    that are not clearly worse than the best, the cheapest is taken: one that reads the tiles
    once, and the fewest layers. A layer that points nowhere may happen to help where modes are
    chosen.
    """
    best = max(scores, key=lambda name: scores[name].accuracy)
    relative = {n: score for n, score in scores.items() if score.mode.correction == "relative"}
    robust = max(relative, key=lambda name: relative[name].accuracy)
    accuracy = scores[best].accuracy
    count = sum(map(len, scores[best].hits))
    error = math.sqrt(accuracy * (1 - accuracy) / count)
    return best if accuracy - scores[robust].accuracy > 2 * error else _cheapest(relative)


def _cheapest(scores: Mapping[str, ModeScore]) -> str:
    """Of the modes that are about as good as the best one, that which costs least.

    They answer the same questions, so only those count that one hits and the other misses.
    """
    best = max(scores, key=lambda name: scores[name].accuracy)
    good = [name for name in scores if not _is_better(scores[best], scores[name])]

    def cost(name: str) -> tuple[bool, int, float]:
        mode = scores[name].mode
        return mode.halvings > 0, len(mode.layers), -scores[name].accuracy

    return min(good, key=cost)


def _is_better(one: ModeScore, other: ModeScore) -> bool:
    """Whether one mode hits more of the same questions than chance explains, after McNemar."""
    pairs = list(zip(chain(*one.hits), chain(*other.hits), strict=True))
    wins = sum(mine > yours for mine, yours in pairs)
    losses = sum(mine < yours for mine, yours in pairs)
    return wins - losses > _ONE_SIDED_95 * math.sqrt(wins + losses)
