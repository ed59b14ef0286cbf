"""A scene memory filled in advance: all tiles of some levels, before any question is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from geofovea.errors import GeometryError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.scene_memory import SceneMemory
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["MemoryFill", "fill_memory", "tiles_of_levels"]

# read ahead and encoded together; a killed run loses at most these
_TILES_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class MemoryFill:
    """What was stored.

    Attributes:
        tiles: Tiles that were wanted.
        known: Those that an earlier run had stored.
        made: Those that were run through the decoder now.
        empty: Those that show no data, and take no room.
        nbytes: Bytes of keys and values of those that are stored.
        is_whole: Whether all of them fit.
    """

    tiles: int
    known: int
    made: int
    empty: int
    nbytes: int
    is_whole: bool


def tiles_of_levels(pyramid: Pyramid, levels: Sequence[int] | None = None) -> Iterator[Tile]:
    """Tiles of some levels, coarse to fine, because every question looks at coarse tiles first.

    Args:
        pyramid: Of the scene.
        levels: Their numbers, 0 for native; None takes all.

    Raises:
        GeometryError: If there is no such level.
    """
    every = range(pyramid.top_level + 1)
    chosen = set(every if levels is None else levels)
    if strange := chosen - set(every):
        raise GeometryError(
            f"levels={','.join(map(str, sorted(strange)))} are not in this scene, which has the "
            f"levels 0 to {pyramid.top_level}"
        )
    return chain.from_iterable(pyramid.tiles(level) for level in sorted(chosen, reverse=True))


def fill_memory(
    memory: SceneMemory,
    tiles: Iterable[Tile],
    limit_bytes: int,
    on_progress: Callable[[int], None] | None = None,
) -> MemoryFill:
    """Store tiles one after the other, until all are stored or there is no more room.

    A tile that is on disk already is counted and not run again, so that the same call resumes where
    an earlier one ended.

    Args:
        memory: Of the scene.
        tiles: In the order in which they are wanted.
        limit_bytes: Most bytes of keys and values.
        on_progress: Told how many tiles are done, every now and then.

    Raises:
        SceneError: If the scene is damaged, or shows nothing.
        ModelError: If the model makes numbers that are not finite.
    """
    usage = QuestionUsage()
    rest, wanted, known, made, empty, nbytes, largest = iter(tiles), 0, 0, 0, 0, 0, 0
    # few at once until it is known what a tile takes
    at_once = 1
    while some := list(islice(rest, at_once)):
        wanted += len(some)
        # a tile of this scene takes about what the largest so far took
        fitting = some[: max(0, (limit_bytes - nbytes) // largest)] if largest else some
        stored, fresh = memory.of(fitting, usage)
        sizes = [one.nbytes for one in stored.values()]
        nbytes, largest = nbytes + sum(sizes), max(largest, *sizes, 0)
        made, empty = made + len(fresh), empty + len(fitting) - len(stored)
        known += len(stored) - len(fresh)
        if len(fitting) < len(some):
            break
        if on_progress is not None:
            on_progress(wanted)
        at_once = min(_TILES_AT_ONCE, 2 * at_once) if largest else 1
    if empty and not known and not made:
        memory.check_scene_shows_something()
    # those that nothing is left for: counted, for a list of all tiles grows with the scene
    wanted += sum(1 for _ in rest)
    is_whole = known + made + empty == wanted
    return MemoryFill(wanted, known, made, empty, nbytes, is_whole)
