"""Which of many scenes show something, from an index and without their pixels."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geofovea._arguments import is_whole, shown
from geofovea.errors import DataError, QuestionError
from geofovea.pipeline.archive.wanted_levels import checked_levels
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.index.indexed_scene import IndexedScene, SceneState
from geofovea.pipeline.index.lookup import Hit, Lookup, SceneHits, look_up
from geofovea.pipeline.index.store import IndexStore
from geofovea.pipeline.session.request import is_blank, writable
from geofovea.pipeline.system.files import write_text

__all__ = ["SearchResult", "search_index"]

_LONGEST_PHRASE = 1000


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The scenes of an index that are most like a phrase.

    Attributes:
        phrase: What was searched for.
        encoder: That compared it.
        lookup: Scenes with their best tiles, and what was compared.
        seconds: What the search took, the encoder's loading left out.
        warnings: What a careful reader should know.
        missing: Names of the scenes whose files are no longer where the index has them.
    """

    phrase: str
    encoder: str
    lookup: Lookup
    seconds: float
    warnings: tuple[str, ...]
    missing: frozenset[str] = frozenset()

    @property
    def scenes(self) -> tuple[SceneHits, ...]:
        """The best scenes, best first."""
        return self.lookup.scenes

    def deviations(self, hit: Hit) -> float:
        """By how many standard deviations a tile is more like the phrase than the average one."""
        spread = self.lookup.deviation
        return (hit.cosine - self.lookup.mean) / spread if spread > 0 else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it; boxes are ``[x0, y0, x1, y1]`` in scene pixels."""
        return {
            "phrase": self.phrase,
            "encoder": self.encoder,
            "tiles_compared": self.lookup.tiles,
            "mean_cosine": self.lookup.mean,
            "seconds": self.seconds,
            "scenes": [
                {
                    "scene": each.scene.name,
                    "is_missing": each.scene.name in self.missing,
                    "cosine": each.cosine,
                    "tiles": [self._tile(hit) for hit in each.hits],
                }
                for each in self.scenes
            ],
            "warnings": list(self.warnings),
        }

    def geojson(self) -> dict[str, Any]:
        """A GeoJSON FeatureCollection: a point a tile, best scene first.

        A point is the center of its tile in longitude and latitude, null without a georeference.
        """
        features = [
            {
                "type": "Feature",
                "geometry": None
                if hit.lonlat is None
                else {"type": "Point", "coordinates": list(hit.lonlat)},
                "properties": {"scene": each.scene.name, "rank": rank, **self._tile(hit)},
            }
            for rank, each in enumerate(self.scenes, start=1)
            for hit in each.hits
        ]
        return {"type": "FeatureCollection", "phrase": self.phrase, "features": features}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write ``geojson()`` to a file, whole or not at all.

        Raises:
            OutputError: If it cannot be written.
        """
        write_text(path, json.dumps(self.geojson()))

    def _tile(self, hit: Hit) -> dict[str, Any]:
        return {
            "level": hit.tile.level,
            "row": hit.tile.row,
            "col": hit.tile.col,
            "box": list(hit.box_scene.as_tuple()),
            "lonlat": None if hit.lonlat is None else list(hit.lonlat),
            "cosine": hit.cosine,
            "deviations": self.deviations(hit),
        }


def search_index(
    folder: str | os.PathLike[str],
    phrase: str,
    *,
    scenes: int = 10,
    tiles: int = 3,
    levels: Collection[int] | None = None,
    encoder: str | None = None,
) -> SearchResult:
    """Rank the scenes of an index by how like a phrase their tiles are.

    No scene is opened. A scene whose file has changed since it was read is left out, with a
    warning; so is the old name of a file that the index has under a new one. The result is a
    ranking: the best scene of an archive in which nothing fits is still the first one. ``find``
    tells whether a scene shows something.

    Args:
        folder: Of the index; see ``build_index``.
        phrase: Such as ``red roof``.
        scenes: How many scenes to give.
        tiles: How many tiles of each.
        levels: The levels to compare; None for all.
        encoder: Where the encoder lies now, if it was moved.

    Returns:
        The scenes, the best first, in ``scenes``. Each has ``scene.name`` and its best tiles in
        ``hits``: ``box_scene`` in scene pixels, ``lonlat`` of the center in degrees (None without
        a georeference), and ``cosine``, its likeness to the phrase. ``save`` writes GeoJSON.

    Raises:
        QuestionError: If the phrase is empty or too long, the encoder knows none of its words, or
            a number is not positive.
        DataError: If there is no index, it is damaged, or none of its scenes can be used.
        ModelError: If the encoder cannot be loaded, or is not that of the index.
    """
    words = _checked(phrase, scenes, tiles, levels)
    store = IndexStore.open(Path(folder))
    # looked at once: a state asks the file system about each file beside the scene
    states = [(scene, scene.state) for scene in store.scenes()]
    renamed = _renamed(states)
    usable = [scene for scene, state in states if state != "changed" and scene.name not in renamed]
    if not usable:
        what = "all its scenes have changed" if states else "it holds no scene"
        problem = next(filter(None, (store.problem_of(scene) for scene, _ in states)), "")
        # what could not be read before cannot be read by a further run either
        why = f"{what} and could not be read, such as {problem}; then" if problem else f"{what};"
        raise DataError(f"the index in {folder} is of no use: {why} run geofovea index")
    model = load_dual_encoder(encoder or store.settings.encoder)
    store.check_encoder(model.fingerprint, model.name)
    started = time.monotonic()
    vector = model.embed_text(words).to(torch.float32).numpy()
    if not vector.any():
        raise QuestionError(
            f"the dual encoder {model.name!r} knows none of the words {words!r}; choose others, "
            "such as: red truck"
        )
    lookup = look_up(
        store, vector, usable, most_scenes=scenes, tiles_per_scene=tiles, levels=levels
    )
    if not lookup.tiles:
        raise DataError(f"the index in {folder} holds no tile to compare; run geofovea index")
    seconds = time.monotonic() - started
    changed = [s for s, state in states if state == "changed" and s.name not in renamed]
    partial = [scene for scene in usable if store.share_done(scene) < 1]
    problems = {s.name: text for s in (*changed, *partial) if (text := store.problem_of(s))}
    missing = {scene.name for scene, state in states if state == "missing"} - renamed
    warnings = (
        *model.doubts(words),
        *_warnings(
            sum(scene.name not in problems for scene in changed),
            len(renamed),
            len(missing),
            sum(scene.name not in problems for scene in partial),
        ),
        *_problem_warnings(tuple(problems.values())),
    )
    return SearchResult(words, model.name, lookup, seconds, warnings, frozenset(missing))


def _renamed(states: Sequence[tuple[IndexedScene, SceneState]]) -> set[str]:
    """Names that no file has any more, of scenes that the index has under another name, too.

    A name that is now a link to another scene of the index is one of them.
    """
    there = {scene.content for scene, state in states if state == "current"}
    return {
        scene.name
        for scene, state in states
        if (state == "missing" and scene.content in there)
        or (state == "changed" and scene.present_content in there)
    }


def _checked(phrase: str, scenes: int, tiles: int, levels: Collection[int] | None) -> str:
    words = " ".join(writable(phrase, "the phrase").split())
    if is_blank(words):
        raise QuestionError("the phrase is empty: say what to search for, such as 'red roof'")
    if len(words) > _LONGEST_PHRASE:
        raise QuestionError(
            f"a phrase of {len(words)} characters cannot be searched for; give 1 to "
            f"{_LONGEST_PHRASE}, such as: red roof"
        )
    for name, value in (("scenes", scenes), ("tiles", tiles)):
        if not is_whole(value, 1):
            raise QuestionError(f"{name}={shown(value)} must be a whole number of at least 1")
    checked_levels(levels)
    return words


def _warnings(changed: int, renamed: int, missing: int, partial: int) -> tuple[str, ...]:
    again = "run geofovea index again"
    # what is said of one scene, and of several
    texts = (
        (
            changed,
            f"left out, because the file has changed since it was indexed; {again}",
            f"left out, because the files have changed since they were indexed; {again}",
        ),
        (
            renamed,
            "left out under its old name: the index has the file under another name, too",
            "left out under their old names: the index has the files under other names, too",
        ),
        (
            missing,
            "no longer where the index has it; its tiles are compared all the same. If it was "
            f"renamed, {again}",
            "no longer where the index has them; their tiles are compared all the same. If they "
            f"were renamed, {again}",
        ),
        (
            partial,
            f"not indexed to the end; {again} to continue",
            f"not indexed to the end; {again} to continue",
        ),
    )
    return tuple(
        f"1 scene: {of_one}" if count == 1 else f"{count} scenes: {of_several}"
        for count, of_one, of_several in texts
        if count
    )


def _problem_warnings(problems: Sequence[str]) -> tuple[str, ...]:
    """Of scenes that a further run cannot read either, unless somebody mends them before."""
    if not problems:
        return ()
    count = len(problems)
    some = "1 scene" if count == 1 else f"{count} scenes"
    such = "" if count == 1 else "such as "
    return (
        f"{some}: geofovea index failed to read what is there now, {such}{problems[0]}; mend that, "
        "and run geofovea index again",
    )
