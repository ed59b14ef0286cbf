"""Numbers out of verdicts: nested means of accuracies, with bootstrap intervals over images.

Questions about one image stand or fall together, so whole images are resampled, not questions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofovea.datasets.records.sample import Sample

__all__ = [
    "Bootstrap",
    "Estimate",
    "Metric",
    "category_of",
    "interval_text",
    "is_interval",
    "source_of",
]

RESAMPLES = 2000
_SHARE = (0.025, 0.975)

Floats = NDArray[np.float64]


def category_of(sample: Sample) -> str:
    """Key of metrics that are means over categories."""
    return sample.category


def source_of(sample: Sample) -> str:
    """Key of metrics that are means over sources."""
    return sample.source


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a benchmark: accuracies of groups, averaged group by group.

    Attributes:
        name: As the benchmark calls it.
        keys: Groups from the outside in; ``()`` is plain accuracy, one key the mean over its
            groups, two keys the mean over the outer groups of the mean over their inner ones.
        only: Which samples count.
        groups: How many groups the outermost mean is divided by, where that is fixed: a group
            without answers then counts as 0.
    """

    name: str
    keys: tuple[Callable[[Sample], Hashable], ...] = ()
    only: Callable[[Sample], bool] = lambda _: True
    groups: int | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """One number with its 95 % interval.

    Attributes:
        value: In [0, 1]; for a difference in [-1, 1].
        low: Lower end of the interval.
        high: Upper end.
        count: Questions behind it.
    """

    value: float
    low: float
    high: float
    count: int

    def to_json(self) -> dict[str, float | None]:
        """Rounded to what the interval can bear; ends that cannot be known are null."""
        is_known = is_interval(self.low, self.high)
        return {
            "value": round(self.value, 6),
            "low": round(self.low, 6) if is_known else None,
            "high": round(self.high, 6) if is_known else None,
            "count": self.count,
        }


def is_interval(low: float | None, high: float | None) -> bool:
    """Whether two numbers are the ends of an interval that means something.

    A bootstrap of one image, or of answers that are all right, draws the same number each time.
    That says nothing of how far another sample would lie from it.
    """
    return low is not None and high is not None and low < high


def interval_text(low: float | None, high: float | None, form: str = ".2f") -> str:
    """An interval as it is printed; ``[n/a]`` where it cannot be known."""
    if low is None or high is None or not is_interval(low, high):
        return "[n/a]"
    return f"[{low:{form}}, {high:{form}}]"


class Bootstrap:
    """Draws of images with replacement, the same for every number of one report.

    Args:
        samples: All questions of the report.
        seed: Of the draws.
        draws: How many; without any an interval is its value.
    """

    def __init__(self, samples: Sequence[Sample], seed: int = 0, draws: int = RESAMPLES) -> None:
        self.samples = samples
        images: dict[Hashable, int] = {}
        self._image = np.array([images.setdefault(s.images, len(images)) for s in samples], int)
        self._images = len(images)
        rng = np.random.default_rng(seed)
        resamples = rng.multinomial(self._images, np.full(self._images, 1 / self._images), draws)
        # the first row is the data as they are
        self._times = np.vstack([np.ones(self._images), resamples]).astype(np.float64)

    def measure(self, metric: Metric, correct: ArrayLike) -> Estimate:
        """A metric of all questions.

        Args:
            metric: What to measure.
            correct: One truth value or share for each sample.
        """
        values, count = self._values(metric, correct)
        return _with_interval(values, count)

    def difference(self, metric: Metric, correct: ArrayLike, other: ArrayLike) -> Estimate:
        """How much higher a metric is for ``correct`` than for ``other``, in the same draws."""
        values, count = self._values(metric, correct)
        others, _ = self._values(metric, other)
        return _with_interval(values - others, count)

    def groups(
        self, key: Callable[[Sample], str | None], correct: ArrayLike
    ) -> dict[str, Estimate]:
        """Plain accuracy of each group; samples whose key is None are in none."""
        names = sorted({name for name in map(key, self.samples) if name is not None})

        def is_in(name: str, sample: Sample) -> bool:
            return key(sample) == name

        return {
            name: self.measure(Metric(name, only=partial(is_in, name)), correct) for name in names
        }

    def _values(self, metric: Metric, correct: ArrayLike) -> tuple[Floats, int]:
        """The metric in the data as they are and in every draw."""
        right = np.asarray(correct, float)
        members = np.array([i for i, s in enumerate(self.samples) if metric.only(s)], int)
        if not len(members):
            return np.full(len(self._times), np.nan), 0
        paths = [tuple(key(self.samples[i]) for key in metric.keys) for i in members]
        leaves: dict[tuple[Any, ...], int] = {}
        leaf = np.array([leaves.setdefault(path, len(leaves)) for path in paths])
        where = (self._image[members], leaf)
        counts_by_image, hits_by_image = (np.zeros((self._images, len(leaves))) for _ in range(2))
        np.add.at(counts_by_image, where, 1)
        np.add.at(hits_by_image, where, right[members])
        counts, hits = self._times @ counts_by_image, self._times @ hits_by_image
        accuracy = np.divide(hits, counts, out=np.full_like(hits, np.nan), where=counts > 0)
        return _nested_mean(accuracy, list(leaves), metric.groups), len(members)


def _nested_mean(accuracy: Floats, paths: list[tuple[Any, ...]], groups: int | None) -> Floats:
    """Means of (draws, leaves) from the innermost groups outwards; groups without data are left."""
    while paths[0]:
        outer: dict[tuple[Any, ...], list[int]] = {}
        for index, path in enumerate(paths):
            outer.setdefault(path[:-1], []).append(index)
        has_data = ~np.isnan(accuracy)
        filled = np.where(has_data, accuracy, 0.0)
        columns = []
        for members in outer.values():
            count = has_data[:, members].sum(1)
            if groups is not None and len(paths[0]) == 1:
                count = np.where(count > 0, groups, 0)
            total = filled[:, members].sum(1)
            columns.append(
                np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
            )
        accuracy, paths = np.stack(columns, 1), list(outer)
    return accuracy[:, 0]


def _with_interval(values: Floats, count: int) -> Estimate:
    resamples = values[1:] if len(values) > 1 else values
    resamples = resamples[~np.isnan(resamples)]
    low, high = np.quantile(resamples, _SHARE) if len(resamples) else (np.nan, np.nan)
    return Estimate(float(values[0]), float(low), float(high), count)
