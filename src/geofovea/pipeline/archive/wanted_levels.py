"""Which levels of each scene an index is to hold: those asked for, else those that it has."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from geofovea._arguments import is_whole, shown
from geofovea.errors import QuestionError, SceneError
from geofovea.pipeline.index.store import IndexStore
from geofovea.tiling.pyramid import Pyramid

__all__ = ["WantedLevels", "checked_levels"]


def checked_levels(levels: Collection[int] | None) -> tuple[int, ...] | None:
    """Levels as they were asked for; None stays none.

    Raises:
        QuestionError: If they are no list of whole numbers of at least 0.
    """
    if levels is None:
        return None
    value: object = levels
    given = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    if not given or not all(is_whole(level) for level in given):
        raise QuestionError(
            f"levels={shown(levels)} are no levels; give a list such as [0, 1], where 0 is native"
        )
    return tuple(int(level) for level in given)


@dataclass(frozen=True, slots=True)
class WantedLevels:
    """The levels of one run.

    Attributes:
        asked: Those that the run names; None where it names none.
        known: Those that the index has of each scene, by its lasting name.
        usual: Those of a scene that the index does not have yet, where the run names none; None
            stands for all from the base level to native.
    """

    asked: tuple[int, ...] | None
    known: Mapping[str, tuple[int, ...]]
    usual: tuple[int, ...] | None

    @staticmethod
    def of(store: IndexStore, asked: Sequence[int] | None) -> WantedLevels:
        """What a run over an index wants.

        An index whose scenes all have their levels from base to native gives a new scene its own;
        any other gives it every level that one of its scenes has.
        """
        scenes = store.readable_scenes()
        is_full = all(
            set(range(scene.pyramid.base_level + 1)) <= set(scene.levels) for scene in scenes
        )
        union = tuple(sorted({level for scene in scenes for level in scene.levels}))
        return WantedLevels(
            checked_levels(asked),
            {scene.name: scene.levels for scene in scenes},
            None if is_full else union,
        )

    def of_scene(self, name: str, pyramid: Pyramid) -> tuple[int, ...]:
        """The levels of one scene, finest first.

        Args:
            name: Its lasting name.
            pyramid: Its levels, as it is now.

        Raises:
            SceneError: If it has none of them.
        """
        wanted = self.asked if self.asked is not None else self.known.get(name, self.usual)
        if wanted is None:
            wanted = tuple(range(pyramid.base_level + 1))
        levels = tuple(sorted({level for level in wanted if 0 <= level <= pyramid.top_level}))
        if not levels:
            whose = "" if self.asked is not None else ", which are those of the index"
            raise SceneError(
                f"{name} has the levels 0 to {pyramid.top_level} only: none of levels="
                f"{','.join(map(str, wanted))}{whose}"
            )
        return levels
