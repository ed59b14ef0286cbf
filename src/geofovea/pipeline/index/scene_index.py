"""One scene in an index: the levels that it has there, and warnings about missing ones."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geofovea._arguments import shown
from geofovea.errors import DataError
from geofovea.pipeline.index.indexed_scene import IndexedScene, lasting_name
from geofovea.pipeline.index.likeness import LevelLikeness, SceneLikeness
from geofovea.pipeline.index.part import Part, PartName
from geofovea.pipeline.index.store import IndexStore
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.scene import Scene

__all__ = ["SceneIndex", "open_scene_index"]

_PARTS_BYTES = 64 * 2**20
_AGAIN = "run geofovea index to bring it up to date"


@dataclass(frozen=True, slots=True, eq=False)
class SceneIndex:
    """What an index knows of one scene.

    Attributes:
        store: The index.
        scene: The scene in it; None if the index does not hold the scene as it is now.
        levels: Levels whose tiles are all there, finest first.
        warnings: Why the index cannot be used for the scene, or for some of its levels.
    """

    store: IndexStore
    scene: IndexedScene | None
    levels: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()
    _parts: LruCache[PartName, Part] = field(
        default_factory=lambda: LruCache(_PARTS_BYTES, lambda part: part.vectors.numbers.nbytes)
    )

    @property
    def encoder(self) -> str:
        """The dual encoder that it was made with."""
        return self.store.settings.encoder

    @property
    def is_usable(self) -> bool:
        """Whether vectors of the scene as it is now can be compared."""
        return self.scene is not None

    def likeness(self, vector: NDArray[np.float32], scale: float) -> SceneLikeness:
        """How like a vector each place of the scene is; no pixel is read.

        Args:
            vector: A unit vector float32 ``(d,)``.
            scale: What cosines are multiplied with before a softmax.

        Raises:
            DataError: If a file of the index is damaged.
        """
        assert self.scene is not None  # noqa: S101  (asked only where `is_usable`)
        levels = tuple(self._level(self.scene, level, vector, scale) for level in self.levels)
        return SceneLikeness(self.scene.pyramid, levels)

    def _level(
        self, scene: IndexedScene, level: int, vector: NDArray[np.float32], scale: float
    ) -> LevelLikeness:
        parts = [self._part(scene, name) for name in self.store.part_names(scene, level)]
        shape = scene.pyramid.grid_shape(level)
        cosines = np.concatenate([part.vectors.cosines(vector) for part in parts]).reshape(shape)
        data = np.concatenate([part.shown for part in parts]).reshape(shape)
        return LevelLikeness.of(level, cosines, data, scale)

    def _part(self, scene: IndexedScene, name: PartName) -> Part:
        part = self._parts.get(name)
        return part or self._parts.put(name, self.store.read(scene, name))


def open_scene_index(folder: str | os.PathLike[str], scene: Scene) -> SceneIndex:
    """Look a scene up in an index.

    It is no error if the index does not hold the scene, or holds an earlier version of it: the
    result then has a warning, and can compare nothing.

    Raises:
        DataError: If there is no index, or it is damaged.
    """
    if not isinstance(folder, (str, os.PathLike)):
        raise DataError(f"index={shown(folder)} is no folder; give the path of one")
    store = IndexStore.open(Path(folder))
    entry = store.scene_named(lasting_name(scene.path))
    if entry is None:
        return SceneIndex(store, None, warnings=(_instead(store, "does not hold this scene"),))
    is_same = (entry.width, entry.height) == (scene.width, scene.height)
    if entry.state != "current" or not is_same:
        what = "holds what this scene was before it changed"
        return SceneIndex(store, None, warnings=(_instead(store, what, entry),))
    levels = tuple(
        level for level in entry.levels if store.tiles_done(entry, level) == entry.tile_count(level)
    )
    if not levels:
        what = "holds no whole level of it"
        return SceneIndex(store, None, warnings=(_instead(store, what, entry),))
    if len(levels) == len(entry.levels):
        return SceneIndex(store, entry, levels)
    are_whole = "level {} is" if len(levels) == 1 else "levels {} are"
    named = are_whole.format(", ".join(map(str, levels)))
    what = f"the index in {store.folder} holds this scene in part, only {named} whole"
    return SceneIndex(store, entry, levels, (f"{what}; {_remedy(store, entry)}",))


def _instead(store: IndexStore, what: str, entry: IndexedScene | None = None) -> str:
    remedy = _AGAIN if entry is None else _remedy(store, entry)
    return f"the index in {store.folder} {what}, so tiles were read and embedded; {remedy}"


def _remedy(store: IndexStore, entry: IndexedScene) -> str:
    """What brings a scene up to date: a further run, or first what its last failure asks for."""
    problem = store.problem_of(entry)
    return f"geofovea index failed to read it to its end: {problem}" if problem else _AGAIN
