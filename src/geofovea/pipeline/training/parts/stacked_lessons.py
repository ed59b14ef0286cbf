"""Lessons whose finest level enters beside the sequence: native tiles, and all tiles above them.

What a search shows: overview, base level and level 1 stay in the sequence, and each native token is
added to the token of level 1 that it lies under.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.pipeline.training.lessons.scene_tiles import choose_families
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import (
    LESSON_SPEC,
    LessonArrays,
    Lessons,
    LessonStore,
    stacked,
)
from geofovea.pipeline.training.samples import SampleSpec

__all__ = ["StackedLessonStore", "StackedLessons", "places_above"]


@dataclass(frozen=True, slots=True)
class StackedLessons(Lessons):
    """Lessons whose last m vision tokens are native.

    Attributes:
        parent: int64 ``(b, m)``, the token of level 1 above each native one; -1 where none is
            visible, or the native token is not.
        quarter: int64 ``(b, m)``, which quarter of it the native token fills, in reading order.
    """

    parent: Tensor
    quarter: Tensor


class StackedLessonStore(LessonStore):
    """Shards of such lessons."""

    kind: ClassVar[type[LessonArrays]] = StackedLessons

    def __init__(
        self, folder: Path, model: FrozenModel, seed: int, spec: SampleSpec = LESSON_SPEC
    ) -> None:
        """See `LessonStore`; two tiles of level 1 are shown, with all eight under them."""
        # a level alone would leave either nothing to add or nothing to add it to
        own = replace(spec, coarse_levels=1, coarse_tiles=2, native_tiles=8, alone=0.0)
        super().__init__(folder, model, seed, own)

    @staticmethod
    def _made_of(model: FrozenModel) -> tuple[str, ...]:
        return (model.digest(), "stacked")

    def _made(self, number: int) -> StackedLessons:
        samples = self._samples(number, choose_families)
        lessons = self._lessons(samples)
        own = {field.name: getattr(lessons, field.name) for field in fields(lessons)}
        return StackedLessons(
            **own, **places_above(stacked(samples, "places"), lessons.group, lessons.visible)
        )


def places_above(places: Tensor, group: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """Where native tokens lie under tokens of the group before theirs, the last one.

    Args:
        places: ``(b, n, 3)``, see ``token_places``.
        group: int64 ``(b, n)``, the same for all lessons.
        visible: bool ``(b, n)``.

    Returns:
        The further fields of `StackedLessons`.
    """
    last = int(group.max())
    fine, coarse = (group[0] == which for which in (last, last - 1))
    first = int(coarse.nonzero()[0])
    offset = places[:, fine, None, :2] - places[:, None, coarse, :2]
    distance, nearest = offset.abs().amax(3).min(2)
    # centers of the four children lie a quarter of the parent's side away along both axes
    reach = 1.5 * distance.amin(1, keepdim=True)
    parent = first + nearest
    is_there = (distance < reach) & visible[:, fine] & visible.gather(1, parent)
    right, below = (
        offset.gather(2, nearest[..., None, None].expand(-1, -1, 1, 2))[:, :, 0] > 0
    ).unbind(2)
    quarter = right.long() + 2 * below.long()
    return {"parent": torch.where(is_there, parent, -1), "quarter": quarter}
