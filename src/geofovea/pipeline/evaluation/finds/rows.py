"""What each way of finding places found, claimed and spent, over all scenes of one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from geofovea.pipeline.evaluation.finds.item import FindItem
from geofovea.pipeline.evaluation.finds.ways import SWEEP
from geofovea.pipeline.evaluation.metrics import mean_interval

__all__ = ["FindRow", "Share", "find_rows"]


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, with the 95 % interval of their ratio."""

    part: int
    whole: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """The ratio, in [0, 1]."""
        return self.part / self.whole


@dataclass(frozen=True, slots=True, kw_only=True)
class FindRow:
    """One way.

    Attributes:
        side: Side of the scenes in pixels.
        has_color: Whether phrases have a color.
        way: See ``ways_of``.
        scenes: How many.
        recall: Things that were found, of those that are there; None where nothing is.
        precision: Places where something is, of all places; None without a place.
        looked: Share of the native tiles that were looked at.
        tiles: Mean of all tiles looked at.
        tokens: Mean of the vision tokens that reached the decoder.
        expected: The recall that the searches told, over the places of all phrases: one phrase has
            too few of them. None where they told none.
        of_sweep: The share of the places of sweeps that these searches found.
        bounds: How many searches told a lower end of their recall.
        bounds_hold: How often the share was at least that.
    """

    side: int
    has_color: bool
    way: str
    scenes: int
    recall: Share | None
    precision: Share | None
    looked: float
    tiles: float
    tokens: float
    expected: float | None = None
    of_sweep: float | None = None
    bounds: int = 0
    bounds_hold: int = 0


def find_rows(items: Sequence[FindItem], ways: Sequence[str]) -> list[FindRow]:
    """Side by side, phrases without a color before those with one, the ways in their order."""
    sweeps = {item.key[:3]: item for item in items if item.way == SWEEP}
    rows = []
    for side in sorted({item.side for item in items}):
        for has_color in (False, True):
            for way in ways:
                some = [
                    item
                    for item in items
                    if (item.side, item.has_color, item.way) == (side, has_color, way)
                ]
                if some:
                    rows.append(_row(some, sweeps))
    return rows


def _row(items: Sequence[FindItem], sweeps: Mapping[tuple[int, int, str], FindItem]) -> FindRow:
    matches = [item.matches for item in items]
    hits = [hit for hit, _, _ in matches]
    searches = [(item, sweeps[item.key[:3]]) for item in items if item.way != SWEEP]
    return FindRow(
        side=items[0].side,
        has_color=items[0].has_color,
        way=items[0].way,
        scenes=len({item.scene for item in items}),
        recall=_share(items, hits, [hit + miss for hit, miss, _ in matches]),
        precision=_share(items, hits, [hit + false for hit, _, false in matches]),
        looked=sum(item.looked for item in items) / sum(item.native for item in items),
        tiles=fmean(item.tiles for item in items),
        tokens=fmean(item.tokens for item in items),
        **_honesty(searches),
    )


def _share(items: Sequence[FindItem], parts: Sequence[int], wholes: Sequence[int]) -> Share | None:
    """A share of all scenes together; its interval resamples scenes."""
    if not sum(wholes):
        return None
    sums: dict[int, tuple[int, int]] = {}
    for item, part, whole in zip(items, parts, wholes, strict=True):
        earlier = sums.get(item.scene, (0, 0))
        sums[item.scene] = (earlier[0] + part, earlier[1] + whole)
    by_scene = list(sums.values())
    interval = mean_interval([part for part, _ in by_scene], [whole for _, whole in by_scene])
    return Share(sum(parts), sum(wholes), *interval)


def _honesty(searches: Sequence[tuple[FindItem, FindItem]]) -> dict[str, Any]:
    """What searches told of their recall, and what it was beside sweeps."""
    places = expected = places_shared = places_swept = 0.0
    holds = []
    for item, sweep in searches:
        recall = item.recall_of(sweep)
        if recall is None or item.looked == item.native:
            continue
        if item.recall_low is not None:
            holds.append(recall >= item.recall_low)
        # a small sample tells a lower end alone
        if not item.recall_told:
            continue
        places += len(item.boxes)
        expected += len(item.boxes) / item.recall_told
        places_shared += recall * len(sweep.boxes)
        places_swept += len(sweep.boxes)
    told: dict[str, Any] = {"bounds": len(holds), "bounds_hold": sum(holds)}
    if places_swept:
        told |= {"expected": places / expected, "of_sweep": places_shared / places_swept}
    return told
