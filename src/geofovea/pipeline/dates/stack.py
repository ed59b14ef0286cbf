"""Scenes of one place in the order of their dates, laid on the grid of one of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from geofovea._arguments import shown
from geofovea.errors import SceneError
from geofovea.pipeline.dates.scene_date import GivenDate, SceneDate, date_of
from geofovea.tiling.geo.alignment import Alignment, align
from geofovea.tiling.opening import open_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import xarray

__all__ = ["MOST_DATES", "DatedScene", "SceneLike", "SceneStack", "make_stack"]

MOST_DATES = 12
"""Of one stack: each costs its share of every budget."""

_WHOLE = 0.995
_MUCH_LARGER = 3.0

SceneLike = "Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset | xarray.DataTree"


@dataclass(frozen=True, slots=True)
class DatedScene:
    """One scene of a stack.

    Attributes:
        scene: The scene.
        date: When it was taken.
        alignment: Where pixels of the reference lie in it; None for the reference itself.
    """

    scene: Scene
    date: SceneDate
    alignment: Alignment | None = None

    @property
    def overlap(self) -> float:
        """The share of the reference that it covers, in (0, 1]."""
        return 1.0 if self.alignment is None else self.alignment.overlap


@dataclass(frozen=True, slots=True)
class SceneStack:
    """Two scenes or more of one place, from the earliest to the latest.

    Attributes:
        scenes: With their dates.
        reference: Number of the scene whose grid is used: the one with the finest pixels.

    Raises:
        SceneError: If there are fewer than two scenes or too many, or the known dates are not in
            order.
    """

    scenes: tuple[DatedScene, ...]
    reference: int = 0

    def __post_init__(self) -> None:
        if not 2 <= len(self.scenes) <= MOST_DATES:
            raise SceneError(
                f"a comparison of dates takes 2 to {MOST_DATES} scenes, got {len(self.scenes)}"
            )
        dated = [(s.date.moment, s) for s in self.scenes if s.date.moment is not None]
        for (moment_before, earlier), (moment, later) in pairwise(dated):
            if moment_before > moment:
                raise SceneError(
                    f"{later.scene.path!r} is of {later.date.text}, which is before "
                    f"{earlier.scene.path!r} of {earlier.date.text}: give the scenes from the "
                    "earliest to the latest, or say their dates"
                )

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def reference_scene(self) -> Scene:
        """The scene whose grid is used."""
        return self.scenes[self.reference].scene

    @property
    def names(self) -> tuple[str, ...]:
        """What each date is called: ``before`` and ``after`` of a pair, else ``date 1``..."""
        if len(self.scenes) == 2:
            return "before", "after"
        return tuple(f"date {number}" for number in range(1, len(self.scenes) + 1))

    @property
    def labels(self) -> tuple[str, ...]:
        """What stands in a prompt before what is shown of each date: ``Before, 2024-06-01:``."""
        labels = []
        for name, each in zip(self.names, self.scenes, strict=True):
            day = f", {each.date.words}" if each.date.words else ""
            labels.append(f"{name.capitalize()}{day}:")
        return tuple(labels)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader of any answer should know of alignment and dates."""
        warnings = [w for s in self.scenes if s.alignment for w in s.alignment.warnings]
        warnings += [s.date.warning for s in self.scenes if s.date.warning]
        unknown = [s.scene.path for s in self.scenes if s.date.moment is None]
        if unknown:
            warnings.append(
                f"the date of {', '.join(unknown)} is not known: the order given was taken for the "
                "order of dates"
            )
        for each in self.scenes:
            if each.alignment is not None:
                warnings += _comparison_limits(each.scene, each.alignment, self.reference_scene)
        return tuple(warnings)


def make_stack(
    scenes: Sequence[Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset],
    dates: Sequence[GivenDate | None] | None = None,
) -> SceneStack:
    """Open scenes of one place and lay them on the grid of the one with the finest pixels.

    Args:
        scenes: From the earliest to the latest; scenes, paths or xarray objects.
        dates: When each was taken; None, for all or for one, takes what the file says.

    Raises:
        AlignmentError: If two do not share ground, or nothing says how they lie on each other.
        SceneError: If one cannot be opened, there are not as many dates as scenes, or the dates are
            not in order.
    """
    for name, given in (("scenes", scenes), ("dates", dates)):
        if given is not None and not isinstance(given, Sequence):
            raise SceneError(
                f"{name}={shown(given)} is not a list of {name}; give one, earliest first"
            )
    if dates is not None and len(dates) != len(scenes):
        raise SceneError(f"{len(scenes)} scenes need as many dates, got {len(dates)}")
    opened = [each if isinstance(each, Scene) else open_scene(each) for each in scenes]
    days = [date_of(s, d) for s, d in zip(opened, dates or [None] * len(opened), strict=True)]
    reference = _finest(opened) if opened else 0
    dated = []
    for number, (scene, day) in enumerate(zip(opened, days, strict=True)):
        alignment = None if number == reference else align(opened[reference], scene)
        dated.append(DatedScene(scene, day, alignment))
    return SceneStack(tuple(dated), reference)


def _comparison_limits(scene: Scene, alignment: Alignment, reference: Scene) -> Iterator[str]:
    """What of the reference cannot be compared with a scene, as it lies on its grid."""
    if alignment.overlap < _WHOLE:
        yield (
            f"only {alignment.overlap:.0%} of {reference.path} is covered by {scene.path}; the "
            "rest was not compared with it"
        )
    size = alignment.pixel_size
    if size >= _MUCH_LARGER:
        yield (
            f"a pixel of {scene.path} is as wide as {size:.0f} of {reference.path}: what is "
            "smaller shows at one date alone and may be listed as a change, or hide one; compare "
            "scenes with pixels of like size, or reduce the finer scene first"
        )


def _finest(scenes: Sequence[Scene]) -> int:
    """The first of the scenes whose pixels are the smallest; the first where one is not known."""
    sizes = [scene.gsd_m for scene in scenes]
    known = [size for size in sizes if size is not None]
    if len(known) < len(scenes):
        return 0
    # sizes that differ by rounding are the same
    return next(i for i, size in enumerate(known) if size <= min(known) * 1.001)
