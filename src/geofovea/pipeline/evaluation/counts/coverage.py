"""How often the interval of a count holds the truth, over thousands of worlds, without a model.

The true counts of the tiles of a synthetic world are known. Planted errors turn them into
detections, and a planted quality into coarse scores. The estimator sees only what it would see in a
real run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.vocabulary import THINGS
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.pipeline.places.confusion import Confusion
from geofovea.pipeline.places.estimate import Interval, StratumCounts, estimate_total
from geofovea.pipeline.places.strata import make_strata
from geofovea.tiling.pyramid import Pyramid

__all__ = ["CoverageResult", "Planted", "interval_coverage"]


@dataclass(frozen=True, slots=True)
class Planted:
    """The errors and the quality that are planted into the worlds of one row.

    Attributes:
        share: Share of the native tiles that are looked at.
        quality: How well coarse scores tell pads from ground, in [0, 1]; 0 tells nothing.
        recall: Share of the things that are detected.
        false_alarms: Per native tile.
        is_known: Whether the estimator has a measurement of these errors; without one it is
            compared with the detections of a whole sweep.
        things: How many things that measurement is made of.
        tiles: And how many native tiles.

    Raises:
        DataError: If a number is none of these.
    """

    share: float
    quality: float = 0.8
    recall: float = 1.0
    false_alarms: float = 0.0
    is_known: bool = True
    things: int = 300
    tiles: int = 6000

    def __post_init__(self) -> None:
        if not (0 < self.share <= 1 and 0 <= self.quality <= 1 and 0 < self.recall <= 1):
            raise DataError(f"planted shares lie between 0 and 1, got {self}")
        if min(self.things, self.tiles) < 1:
            raise DataError(f"errors are measured on things and tiles, got {self}")

    @staticmethod
    def errors_of(confusion: Confusion, share: float, quality: float = 0.8) -> Planted:
        """The errors that were measured of a model, known from as many things and tiles."""
        return Planted(
            share,
            quality,
            confusion.recall,
            confusion.false_alarms / confusion.tiles,
            things=confusion.hits + confusion.misses,
            tiles=confusion.tiles,
        )


@dataclass(frozen=True, slots=True)
class CoverageResult:
    """The result for one row.

    Attributes:
        planted: The row.
        runs: Worlds times kinds.
        coverage: Share of the intervals that hold the truth.
        width: Mean width of the intervals over the mean truth.
        error: Mean absolute error of the estimate over the mean truth.
        bias: Mean error over the mean truth.
    """

    planted: Planted
    runs: int
    coverage: float
    width: float
    error: float
    bias: float


def interval_coverage(
    planted: Planted, worlds: int, side: int, tile_size: int = 192, seed: int = 700_000
) -> CoverageResult:
    """Coverage over the kinds of things of some worlds.

    Args:
        planted: What the model and its coarse scores are like.
        worlds: How many.
        side: Of each in pixels.
        tile_size: Of the native tiles.
        seed: Of the first world.
    """
    truths, intervals = [], []
    for number in range(worlds):
        rng = np.random.default_rng([seed, number])
        world = _world_of(seed + number, side, tile_size)
        scores, counts_by_kind = _tiles(world, planted.quality, rng)
        for counts in counts_by_kind:
            truth, interval = _run(planted, scores, counts, rng)
            truths.append(truth)
            intervals.append((interval.value, interval.low, interval.high))
    known = np.array(truths, dtype=np.float64)
    value, low, high = np.array(intervals).T
    mean = max(1e-9, float(known.mean()))
    return CoverageResult(
        planted,
        len(truths),
        float(((low <= known) & (known <= high)).mean()),
        float((high - low).mean()) / mean,
        float(np.abs(value - known).mean()) / mean,
        float((value - known).mean()) / mean,
    )


def _run(
    planted: Planted,
    scores: NDArray[np.float64],
    counts: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[float, Interval]:
    detected = rng.binomial(counts, planted.recall)
    detected = detected + rng.poisson(planted.false_alarms, len(counts))
    looked = max(1, round(planted.share * len(counts)))
    strata = make_strata(scores, looked, int(rng.integers(2**31)))
    table = [
        StratumCounts(len(s.members), tuple(int(detected[i]) for i in s.drawn), s.expected)
        for s in strata
    ]
    confusion = _measured(planted, rng) if planted.is_known else None
    interval = estimate_total(table, confusion, int(rng.integers(2**31)))
    return float((counts if planted.is_known else detected).sum()), interval


def _measured(planted: Planted, rng: np.random.Generator) -> Confusion | None:
    """A measurement of the planted errors."""
    hits = max(1, int(rng.binomial(planted.things, planted.recall)))
    false_alarms = int(rng.poisson(planted.false_alarms * planted.tiles))
    return Confusion(hits, planted.things - hits, false_alarms, planted.tiles)


def _tiles(
    world: _World, quality: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], Iterator[NDArray[np.int64]]]:
    """Coarse scores of the native tiles, and the true counts of each kind that is there."""
    noise = rng.lognormal(0.0, 1.0, world.is_pad.shape)
    # some pads are overlooked by the coarse level altogether
    is_noticed = world.is_pad * (rng.random(world.is_pad.shape) < quality)
    scores = noise * (1 + 30 * quality * is_noticed)
    return scores.ravel(), iter(world.counts)


@dataclass(frozen=True, slots=True, eq=False)
class _World:
    """What the native tiles of a world hold: pads, ``(rows, cols)``, and counts of each kind."""

    is_pad: NDArray[np.float64]
    counts: tuple[NDArray[np.int64], ...]


@lru_cache(maxsize=512)
def _world_of(seed: int, side: int, tile_size: int) -> _World:
    """The same for every row of a table."""
    world, pyramid = make_world(seed, side, side), Pyramid(side, side, tile_size)
    rows, cols = pyramid.grid_shape(0)
    is_pad = np.zeros((rows, cols))
    by_kind = {kind: np.zeros((rows, cols), np.int64) for kind in THINGS}
    for site in world.sites:
        for tile in pyramid.tiles_over(0, site.pad):
            is_pad[tile.row, tile.col] = 1
        for thing in site.things:
            by_kind[thing.kind][thing.y // tile_size, thing.x // tile_size] += 1
    kinds = [counts.ravel() for counts in by_kind.values() if counts.any()]
    random.Random(seed).shuffle(kinds)
    return _World(is_pad, tuple(kinds))
