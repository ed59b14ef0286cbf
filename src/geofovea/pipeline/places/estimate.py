"""From counts in tiles that were drawn to a number for the scene, with its interval.

The number is the expansion estimator of stratified random sampling: what a tile shows counts for
all tiles that it stands for. Its usual interval is symmetric and has no width where a stratum shows
nothing, and things in a scene are rare and stand in clusters. So the interval is one of predicted
totals instead: in a stratum, tiles that show one, two or more things each come like a Poisson
process whose rate is known from the sample up to a gamma distribution. Beside what was seen, the
lower end knows of a quarter of a tile, as in the mid-P interval. The upper end knows of 0.6: that
is between the half of Jeffreys and the three quarters of mid-P, and was chosen on simulated worlds.
None and a whole one would make it the interval of Garwood. The part is of the stratum where a tile
stands for most, as in the interval of Fay and Feuer. Where a coarse level says that things are
rarer there than elsewhere, it counts for less.

Errors of detection are then taken out: false alarms are subtracted and misses are added, as in the
estimator of Rogan and Gladen, with what the measurement of the errors leaves open.

Sources: Cochran, Sampling Techniques, 3rd ed. 1977, 5.3; Garwood, Biometrika 28, 1936; Fay and
Feuer, Statistics in Medicine 16, 1997 (gamma intervals of weighted sums of rare counts); Berry and
Armitage, The Statistician 44, 1995 (mid-P intervals); Brown, Cai and DasGupta, Statistical Science
16, 2001 (Jeffreys intervals); Rogan and Gladen, American Journal of Epidemiology 107, 1978.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import DataError
from geofovea.pipeline.places.confusion import Confusion

__all__ = ["Interval", "StratumCounts", "estimate_total"]

_DRAWS = 8000
_LEVELS = (2.5, 97.5)
_PRIOR = 0.5
# tiles with things that were not seen, and that the lower and the upper end know of
_UNSEEN = (0.25, 0.6)


@dataclass(frozen=True, slots=True)
class StratumCounts:
    """What was counted in one stratum.

    Attributes:
        tiles: Tiles of the stratum.
        counts: In each tile that was drawn.
        expected: How dense things are here by a coarse level, over the average; 1 where nothing is
            known.

    Raises:
        DataError: If more tiles were drawn than there are, none was, or a number is negative.
    """

    tiles: int
    counts: tuple[int, ...]
    expected: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < len(self.counts) <= self.tiles or min(self.counts) < 0:
            raise DataError(
                f"a stratum of {self.tiles} tiles cannot have {len(self.counts)} counts, all at "
                "least 0"
            )
        if not 0 < self.expected < float("inf"):
            raise DataError(f"a stratum expects a density above 0, got {self.expected!r}")


@dataclass(frozen=True, slots=True)
class Interval:
    """A number with its 95 % interval.

    Attributes:
        value: The estimate.
        low: Lower end; never below what was seen, if detections have no errors.
        high: Upper end.
    """

    value: float
    low: float
    high: float


def estimate_total(
    strata: Sequence[StratumCounts], confusion: Confusion | None = None, seed: int = 0
) -> Interval:
    """How many there are over all strata.

    Args:
        strata: What was counted where.
        confusion: Measured errors of detection; without it the interval is one of detections: how
            many the model would find if it looked at every tile.
        seed: Of the draws behind the interval.
    """
    value = sum(s.tiles * sum(s.counts) / len(s.counts) for s in strata)
    tiles = sum(s.tiles for s in strata)
    if confusion is not None:
        expected = (value - tiles * confusion.false_alarms / confusion.tiles) / confusion.recall
        value = max(0.0, expected)
    ends = []
    for level, unseen in zip(_LEVELS, _UNSEEN, strict=True):
        rng = np.random.default_rng(seed)
        totals = _totals(strata, unseen, rng)
        if confusion is not None:
            totals = _corrected(totals, tiles, confusion, rng)
        ends.append(float(np.percentile(totals, level)))
    return Interval(float(value), min(ends[0], value), max(ends[1], value))


def _totals(
    strata: Sequence[StratumCounts], unseen: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of what all tiles would show.

    Args:
        strata: What was counted where.
        unseen: Tiles with things that are added to what was seen.
        rng: Draws.
    """
    totals = np.full(_DRAWS, float(sum(sum(s.counts) for s in strata)))
    # what was never seen may be where a tile stands for most
    heaviest = max(strata, key=lambda s: s.tiles / len(s.counts))
    for stratum in strata:
        seen = Counter[float](count for count in stratum.counts if count)
        tiles_of = {size: float(tiles) for size, tiles in seen.items()}
        if stratum is heaviest:
            size = _cluster_size(strata)
            tiles_of[size] = tiles_of.get(size, 0.0) + unseen * min(1.0, stratum.expected)
        left = stratum.tiles - len(stratum.counts)
        for size, tiles in sorted(tiles_of.items()):
            if left and tiles:
                rates = rng.gamma(tiles, 1 / len(stratum.counts), _DRAWS)
                totals += np.round(size * rng.poisson(rates * left))
    return totals


def _cluster_size(strata: Sequence[StratumCounts]) -> float:
    """Variance over mean of the counts of a compound Poisson process: at least 1."""
    counts = np.array([c for s in strata for c in s.counts], dtype=np.float64)
    total = float(counts.sum())
    return max(1.0, float((counts**2).sum()) / total) if total else 1.0


def _corrected(
    totals: NDArray[np.float64], tiles: int, confusion: Confusion, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draws of how many there are, given draws of how many are detected."""
    recalls = rng.beta(confusion.hits + _PRIOR, confusion.misses + _PRIOR, _DRAWS)
    rates = rng.gamma(confusion.false_alarms + _PRIOR, 1 / confusion.tiles, _DRAWS)
    false_alarms = np.minimum(rng.poisson(rates * tiles), totals)
    hits = totals - false_alarms
    misses = rng.negative_binomial(hits + _PRIOR, recalls.clip(1e-6, 1 - 1e-9))
    corrected: NDArray[np.float64] = hits + misses
    return corrected
