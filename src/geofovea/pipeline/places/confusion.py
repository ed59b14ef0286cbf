"""How often a host misses what is there and sees what is not: measured once, stored, and used."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from geofovea.datasets.tables.text_files import unambiguous_json
from geofovea.errors import DataError
from geofovea.pipeline.hosts.base import Host, SupportsPresence
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.system.files import write_text
from geofovea.tiling.machine.system_errors import reason_of
from geofovea.tiling.pyramid import Box

__all__ = [
    "Confusion",
    "box_pairs",
    "confusion_of",
    "match_boxes",
    "match_places",
    "read_confusion",
]

_COMMON_SHARE = 0.25
_MOST_BYTES = 100_000


@dataclass(frozen=True, slots=True)
class Confusion:
    """Errors of detection, counted where the truth is known.

    Attributes:
        hits: Things that were found.
        misses: Things that were not.
        false_alarms: Places where nothing is, doubles included.
        tiles: Native tiles that were looked at.
        model: Name of the host that was measured; empty where that is not known.

    Raises:
        DataError: If a count is negative or no whole number, or nothing was measured.
    """

    hits: int
    misses: int
    false_alarms: int
    tiles: int
    model: str = ""

    def __post_init__(self) -> None:
        counts = (self.hits, self.misses, self.false_alarms, self.tiles)
        if any(isinstance(c, bool) or not isinstance(c, int) or c < 0 for c in counts):
            raise DataError(f"a confusion is made of whole numbers of at least 0, got {self}")
        if not self.tiles or not self.hits:
            raise DataError(
                f"a confusion needs tiles and at least one hit, got {self}: measure more scenes"
            )

    @property
    def recall(self) -> float:
        """Share of the things that were found."""
        return self.hits / (self.hits + self.misses)

    @property
    def precision(self) -> float:
        """Share of the places where something is."""
        return self.hits / (self.hits + self.false_alarms)

    def __add__(self, other: Confusion) -> Confusion:
        """What two measurements say together."""
        return Confusion(
            self.hits + other.hits,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
            self.tiles + other.tiles,
            self.model or other.model,
        )

    def to_dict(self) -> dict[str, Any]:
        """The counts by name."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the counts as JSON; see `read_confusion`.

        Raises:
            OutputError: If the file cannot be written.
        """
        write_text(path, json.dumps(self.to_dict(), indent=1) + "\n")


def confusion_of(host: Host) -> Confusion | None:
    """The errors that came with a model; None where none did."""
    counts = host.presence.confusion if isinstance(host, SupportsPresence) else None
    return None if counts is None else Confusion(*counts, model=host.name)


def read_confusion(path: str | os.PathLike[str]) -> Confusion:
    """The confusion in a file that ``Confusion.save`` wrote.

    Raises:
        DataError: If the file holds none.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise DataError(f"{file} is too large for a confusion of four counts")
        record = unambiguous_json(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as a confusion: {reason_of(error)}") from error
    names = ("hits", "misses", "false_alarms", "tiles")
    if not isinstance(record, dict) or not set(names) <= set(record):
        raise DataError(f"{file} is not a confusion matrix: it needs the counts {', '.join(names)}")
    model = record.get("model", "")
    hits, misses, false_alarms, tiles = (record[name] for name in names)
    return Confusion(hits, misses, false_alarms, tiles, model if isinstance(model, str) else "")


def match_places(places: Sequence[Place], truth: Sequence[Box]) -> tuple[int, int, int]:
    """Hits, misses and false alarms of places; see ``match_boxes``."""
    return match_boxes([place.box_scene for place in places], truth)


def match_boxes(boxes: Sequence[Box], truth: Sequence[Box]) -> tuple[int, int, int]:
    """Hits, misses and false alarms of boxes against those of what is there; see ``box_pairs``."""
    hits = len(box_pairs(boxes, truth))
    return hits, len(truth) - hits, len(boxes) - hits


def box_pairs(boxes: Sequence[Box], truth: Sequence[Box]) -> dict[int, int]:
    """Which box hits which thing, by their numbers.

    A box hits a thing if they share a quarter of the smaller box. Each hits one at most, those
    that share most first; a second box on one thing is a false alarm.
    """
    if not boxes or not truth:
        return {}
    found = shapely.box(*np.array([box.as_tuple() for box in boxes], dtype=float).T)
    there = shapely.box(*np.array([box.as_tuple() for box in truth], dtype=float).T)
    pairs = []
    for i, j in shapely.STRtree(there).query(found, predicate="intersects").T:
        common = shapely.area(shapely.intersection(found[i], there[j]))
        share = common / min(shapely.area(found[i]), shapely.area(there[j]))
        if share >= _COMMON_SHARE:
            pairs.append((-share, int(i), int(j)))
    thing_of = dict[int, int]()
    for _, i, j in sorted(pairs):
        if i not in thing_of and j not in thing_of.values():
            thing_of[i] = j
    return thing_of
