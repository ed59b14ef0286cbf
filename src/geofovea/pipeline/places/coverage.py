"""How much of a scene was looked at, and what may have been missed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from geofovea._arguments import is_number, is_whole, shown
from geofovea._plurals import counted
from geofovea.errors import QuestionError

__all__ = [
    "COVERAGES",
    "LARGEST_SEED",
    "LEAST_SAMPLE",
    "Coverage",
    "Mode",
    "checked_mode",
    "checked_score",
    "checked_seed",
    "expected_recall",
    "gamma_quantile",
    "upper_rate",
]

LARGEST_SEED = 2**31 - 1
"""Of those that every generator takes."""

Mode = Literal["search", "sweep"]
COVERAGES: tuple[Mode, ...] = ("search", "sweep")

LEAST_SAMPLE = 5
"""Tiles of a random sample that tell an expected recall; fewer tell its lower end alone."""

_HALF_ALPHA = 0.025
_STEPS = 200


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was looked at of the native tiles that a question is about.

    Attributes:
        mode: ``sweep`` looks at every native tile, ``search`` at the likeliest under a budget.
        tiles_total: Native tiles of the scene, or of the region that was named.
        tiles_looked: Those that were looked at, those without data included.
        tiles_ruled_out: Those that were skipped because a coarser level shows no data there, or
            drew less than a tenth of the average attention; by an index, because its vectors show
            no data there, or are at no level nearer to the phrase than one standard deviation below
            the average. 0 where none of them was looked at to tell how often that is wrong.
        share: Share of the area that the tiles looked at cover, in [0, 1]; without what one date
            alone shows, where dates are compared.
        recall: Expected share of what the model would find in all tiles, in [0, 1]. It comes from
            a random sample of the tiles that the search passed over, not from the model's own
            belief. None where that cannot be told: nothing was found, or fewer than five tiles
            were sampled, which most often show nothing whatever was missed.
        recall_low: Lower end of its 95 % interval.
        sampled: Tiles of that random sample.
        stopped: ``complete``, or what ended it: ``tiles``, ``tokens``, ``time``, ``memory``.
        ruled_out_sampled: Tiles of the random sample that would have been ruled out.
        ruled_out_misses: Those of them that show the thing after all.
        by_index: Whether an index said which tiles are the likeliest, and ruled tiles out.
        looked_again: Tiles shifted by half that were looked at where a place reaches a seam; they
            are not among the native tiles.

    Raises:
        QuestionError: If there is no such mode, or the numbers contradict each other.
    """

    mode: Mode
    tiles_total: int
    tiles_looked: int
    tiles_ruled_out: int = 0
    share: float = 1.0
    recall: float | None = None
    recall_low: float | None = None
    sampled: int = 0
    stopped: str = "complete"
    ruled_out_sampled: int = 0
    ruled_out_misses: int = 0
    by_index: bool = False
    looked_again: int = 0

    def __post_init__(self) -> None:
        checked_mode(self.mode)
        counts = (
            *(self.tiles_looked, self.tiles_ruled_out, self.tiles_left),
            *(self.sampled, self.looked_again),
        )
        shares = [s for s in (self.share, self.recall, self.recall_low) if s is not None]
        if min(counts) < 0 or not all(0 <= share <= 1 for share in shares):
            raise QuestionError(f"a coverage needs counts of at least 0 and shares, got {self}")
        if not 0 <= self.ruled_out_misses <= self.ruled_out_sampled <= self.sampled:
            raise QuestionError(f"misses must be among the tiles that were sampled, got {self}")

    @property
    def tiles_left(self) -> int:
        """Native tiles that were neither looked at nor ruled out."""
        return self.tiles_total - self.tiles_looked - self.tiles_ruled_out

    @property
    def ruled_out_miss_rate(self) -> float | None:
        """Upper end of the 95 % interval of the share of ruled out tiles that show the thing.

        It comes from those of the random sample; None where there are none.
        """
        if not self.ruled_out_sampled:
            return None
        return min(1.0, upper_rate(self.ruled_out_misses, self.ruled_out_sampled))

    @property
    def is_complete(self) -> bool:
        """Whether every native tile was looked at."""
        return self.tiles_looked == self.tiles_total

    @property
    def limit_text(self) -> str:
        """Which limit ended it, for people; empty where none did."""
        if self.is_complete or self.stopped == "complete":
            return ""
        return (
            f"the limit of {self.stopped} ended the search after {self.tiles_looked} of "
            f"{self.tiles_total} native tiles: there may be more"
        )

    @property
    def text(self) -> str:
        """One line for people."""
        line = (
            f"{self.tiles_looked} of {self.tiles_total} native tiles, {self.share:.1%} of the area"
        )
        if self.looked_again:
            line += f"; {self.looked_again} looked at again, shifted by half a tile"
        if self.is_complete:
            return line
        if self.ruled_out_miss_rate is not None:
            what = "the index" if self.by_index else "a coarser level"
            line += (
                f"; {self.tiles_ruled_out} ruled out by {what}; "
                f"{self.ruled_out_sampled} such tiles looked at as a check, "
                f"{self.ruled_out_misses} of them show it "
                f"(at most {self.ruled_out_miss_rate:.0%} of all such tiles)"
            )
        line += f"; {self.tiles_left} not looked at"
        if self.recall is not None:
            line += f"; expected recall {self.recall:.0%}"
            line += "" if self.recall_low is None else f" (at least {self.recall_low:.0%})"
        elif self.recall_low is not None:
            sampled = counted(self.sampled, "tile")
            line += f"; {sampled} drawn at random: too few to expect a recall"
            line += f" (at least {self.recall_low:.0%})"
        return line

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name, ready for ``json.dumps``."""
        return asdict(self) | {
            "tiles_left": self.tiles_left,
            "is_complete": self.is_complete,
            "ruled_out_miss_rate": self.ruled_out_miss_rate,
        }


def checked_mode(mode: str) -> Mode:
    """The mode itself.

    Raises:
        QuestionError: If there is no such mode.
    """
    for known in COVERAGES:
        if isinstance(mode, str) and mode == known:
            return known
    raise QuestionError(f"coverage={shown(mode)} is unknown; choose one of {', '.join(COVERAGES)}")


def checked_score(min_score: float) -> float:
    """The least score of a place itself.

    Raises:
        QuestionError: If it is not a probability.
    """
    if not is_number(min_score) or not 0 < min_score <= 1:
        raise QuestionError(
            f"min_score={shown(min_score)} is not a probability: give a number above 0, at most 1"
        )
    return min_score


def checked_seed(seed: int) -> int:
    """The seed of a draw itself.

    Raises:
        QuestionError: If it is not a whole number that every generator takes.
    """
    if not is_whole(seed, 0, LARGEST_SEED):
        raise QuestionError(
            f"seed={shown(seed)} is not a seed: give a whole number from 0 to {LARGEST_SEED}"
        )
    return int(seed)


def expected_recall(
    found: int, drawn: Sequence[int], unseen: int
) -> tuple[float | None, float | None]:
    """Which share of all places was found, were the model asked about every tile.

    The tiles that the search passed over hold as many places each, on average, as a random sample
    of them. This estimate rests on the draw alone, not on what the model believes.

    Args:
        found: Places that were found, those of the sample included.
        drawn: Places in each tile of the sample.
        unseen: Tiles that were not looked at, the sample left out.

    Returns:
        The share, and the lower end of its 95 % interval; None where nothing was found or drawn.
    """
    if not found or not drawn:
        return None, None
    mean = sum(drawn) / len(drawn)
    recall = found / (found + unseen * mean)
    return recall, found / (found + unseen * upper_rate(sum(drawn), len(drawn)))


def upper_rate(events: int, tiles: int) -> float:
    """Upper end of the 95 % interval of a Poisson rate per tile (Garwood, Biometrika 28, 1936)."""
    return gamma_quantile(events + 1, 1 - _HALF_ALPHA) / tiles


def gamma_quantile(shape: float, probability: float) -> float:
    """The value below which a gamma variable of scale 1 lies with a probability.

    Half of a chi-square quantile with ``2 * shape`` degrees of freedom.

    Args:
        shape: Above 0; 0 gives 0, for a variable that is always 0.
        probability: In (0, 1).
    """
    if shape <= 0:
        return 0.0
    order = torch.tensor(float(shape), dtype=torch.float64)

    def below(value: float) -> float:
        return float(torch.special.gammainc(order, torch.tensor(value, dtype=torch.float64)))

    low, high = 0.0, max(1.0, shape + 10 * math.sqrt(shape) + 10)
    while below(high) < probability:
        high *= 2
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return (low + high) / 2
