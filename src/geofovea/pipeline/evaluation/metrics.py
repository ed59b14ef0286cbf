"""Metrics of benches and evaluations: objects seen, right answers, and calibration.

A question is *hit* where what was seen at native resolution, taken together, covers at least half
of an annotated box; with several boxes, of any one of them. Two things can be seen: the tiles that
were looked at (tile hit), and the tokens of them that entered the decoder (token hit).

Intervals of accuracies resample scenes: answers about one scene are right or wrong together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.tiling.pyramid import Box

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "HIT_SHARE",
    "HasVerdict",
    "accuracy_text",
    "bootstrap_interval",
    "covered_share",
    "difference_interval",
    "hit_rate",
    "is_hit",
    "mean_interval",
    "resampled_scenes",
    "tile_share",
    "token_share",
]

# the least share of a box that counts as a hit
HIT_SHARE = 0.5

_RESAMPLES = 2000


def is_hit(share: float) -> bool:
    """Whether a share of a box, in [0, 1], is large enough to have seen what is in it."""
    return share >= HIT_SHARE


def hit_rate(shares: Iterable[float | bool | None]) -> float | None:
    """Share of the annotated questions that are hit; None where no question is annotated.

    Args:
        shares: For each question the share of its box that was seen, or whether it was hit; None
            for questions without a box.
    """
    hits = [is_hit(float(share)) for share in shares if share is not None]
    return sum(hits) / len(hits) if hits else None


def tile_share(answer: Answer, targets: Sequence[Box]) -> float:
    """The largest share of a target (scene pixels) that native tiles of an answer's looks cover."""
    tiles = {tile for look in answer.looks if look.level == 0 for tile in look.tiles}
    return covered_share(tiles, targets)


def token_share(tokens: TokenSet, targets: Sequence[Box]) -> float:
    """The largest share of a target (scene pixels) that the cells of native tokens cover."""
    cells = tokens.at_level(0).boxes_scene.tolist()
    return covered_share({Box(*cell) for cell in cells}, targets)


def covered_share(boxes: Iterable[Box], targets: Sequence[Box]) -> float:
    """The largest share of a target that boxes cover together, all in scene pixels, in [0, 1].

    Args:
        boxes: Boxes that do not overlap: tiles of one level, or cells of tokens.
        targets: At least one box.
    """
    boxes = list(boxes)
    return max(sum(target.share_inside(each) for each in boxes) for target in targets)


class HasVerdict(Protocol):
    """An answer that is right or wrong, from a scene."""

    @property
    def side(self) -> int:
        """Side of the scene in pixels."""
        ...

    @property
    def scene(self) -> int:
        """Seed of the scene."""
        ...

    @property
    def correct(self) -> bool:
        """Whether it is right."""
        ...


def bootstrap_interval(items: Iterable[HasVerdict], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean accuracy, scenes resampled with replacement."""
    by_scene: dict[tuple[int, int], list[bool]] = {}
    for item in items:
        by_scene.setdefault((item.side, item.scene), []).append(item.correct)
    right = [sum(answers) for answers in by_scene.values()]
    return mean_interval(right, [len(answers) for answers in by_scene.values()], seed)


def difference_interval(
    items: Iterable[HasVerdict], base: Iterable[HasVerdict], seed: int = 0
) -> tuple[float, float, float]:
    """How much more accurate answers are than others to the same questions, and its 95 % interval.

    Scenes are resampled with replacement, those of both together.

    Args:
        items: Answers.
        base: What they are compared with: an answer to each of the same questions.
        seed: Of the draws.
    """
    gains: dict[tuple[int, int], int] = {}
    counts: dict[tuple[int, int], int] = {}
    for item in base:
        scene = (item.side, item.scene)
        gains[scene] = gains.get(scene, 0) - item.correct
        counts[scene] = counts.get(scene, 0) + 1
    for item in items:
        gains[item.side, item.scene] += item.correct
    low, high = mean_interval(list(gains.values()), list(counts.values()), seed)
    return sum(gains.values()) / sum(counts.values()), low, high


def mean_interval(sums: Sequence[int], counts: Sequence[int], seed: int = 0) -> tuple[float, float]:
    """95 % interval of a mean, from its sum and count in each scene; scenes are resampled.

    Args:
        sums: Of each scene.
        counts: Of each scene; a draw of scenes that count nothing tells nothing.
        seed: Of the draws.
    """
    draws = resampled_scenes(len(counts), seed)
    totals = np.array(counts, float)[draws].sum(1)
    tells = totals > 0
    means = np.array(sums, float)[draws].sum(1)[tells] / totals[tells]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def resampled_scenes(count: int, seed: int = 0) -> NDArray[np.int64]:
    """Indices of scenes drawn with replacement, ``count`` in each of many rows."""
    return np.random.default_rng(seed).integers(count, size=(_RESAMPLES, count))


def accuracy_text(items: Sequence[HasVerdict]) -> str:
    """Accuracy with its interval; a dash where nothing was asked."""
    if not items:
        return "–"
    low, high = bootstrap_interval(items)
    return f"{fmean(i.correct for i in items):.2f} {interval_text(low, high)}"
