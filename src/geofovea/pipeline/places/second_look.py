"""A second look: at what the grid cuts, or at one place, from its own tokens alone.

Native tiles do not overlap, so the model sees a thing on a seam in parts, and may take a part for
something else, or for nothing. Where a place reaches a seam, the tile that has this seam in its
middle is looked at (`look_again`). What it shows there stands in place of the parts; parts of what
it denies were false alarms. After these, tiles that show too little of the thing for a place are
treated the same. A `SecondLook` reads a window with one place in its middle, and tells how likely
the thing is there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import shapely.affinity

from geofovea.pipeline.answers.cost import Cost
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls, EngineCalls
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.engine.watching import Watcher, watched_calls
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places.in_tile.looking import TileLooker, tokens_in
from geofovea.pipeline.places.in_tile.presence import PresenceAsker, asked_phrase, presence_words
from geofovea.pipeline.places.merging import COMMON_SHARE, SEAM_PX, merge_places
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.relations.extremes import MOST_REFUTED
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.cancellation import check_cancelled
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.region_filter import within
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.shifted_reader import ShiftedReader

__all__ = ["SecondLook", "kept_for_second_look", "look_again", "second_look_after"]

# of a budget, at most, for second looks at what is named
_SHARE = 4
# native tiles that a shifted one lies on, at most
_TILES_UNDER = 4


@dataclass(slots=True, eq=False)
class SecondLook:
    """Looks again at places that were found, each in the middle of a window of its own.

    A tile of the grid may cut a thing, or show its neighbor beside it; a window around the place
    does not. Only the tokens that its box touches are shown, encoded anew.

    Attributes:
        tiles: Of the scene, by the host that is asked.
        pyramid: Of the scene.
        phrase: What was looked for.
        calls: How the host is asked.
        usage: Counts what that takes.
        budget: A window counts as a tile.
        most: Windows at most; 0 looks at nothing.
        region: What alone is shown; None for the whole scene.
        looked: Windows so far.
    """

    tiles: TileTokens
    pyramid: Pyramid
    phrase: str
    calls: EngineCalls
    usage: QuestionUsage
    budget: Budget
    most: int
    region: Region | None = None
    looked: int = 0
    asker: PresenceAsker = field(init=False)

    def __post_init__(self) -> None:
        self.asker = PresenceAsker(self.tiles.host, self.calls, self.usage, 0.0)

    def probability(self, box: Box) -> float | None:
        """How likely a box shows the thing; None where no further look is possible.

        A host behind an endpoint is sent pictures of tiles, and is not asked again.
        """
        if not self.tiles.holds_windows or not self._is_affordable():
            return None
        check_cancelled()
        self.looked += 1
        tokens = tokens_in(self.tiles.around(box.center, self.usage), box)
        tokens = within(self.region, tokens)
        words = presence_words(self.tiles.host)
        noun, adjectives = words.parts(self.phrase)
        # a prompt that may deny it, one that scores all answers, and one for each adjective
        needed = len(tokens) * (2 + len(adjectives))
        if not needed or self.asker.tokens + needed > self.budget.tokens:
            return None
        (presence,) = self.asker.ask(words.ask(noun), [tokens])
        shares = [
            self.asker.ask_yes(words.ask_attribute(noun, adjective), [tokens])[0]
            for adjective in adjectives
        ]
        return math.prod([presence.probability, *shares])

    def _is_affordable(self) -> bool:
        """Whether time and tiles for one more window are left."""
        clock, seconds = self.usage.clock, self.budget.seconds
        in_time = seconds is None or clock.now() - clock.started < seconds
        return in_time and self.looked < min(self.most, self.budget.tiles)


def kept_for_second_look(
    session: SceneSession, count: int, limits: Mapping[str, Any]
) -> dict[str, int]:
    """What is kept from a search for a second look: a quarter at most, never its first tile.

    Args:
        session: The scene and the model.
        count: How many places will be named.
        limits: Of the search, by name.
    """
    per_tile = session.host.grid[0] * session.host.grid[1]
    tiles = count + MOST_REFUTED
    wanted = {"tiles": tiles, "tokens": per_tile * tiles}
    least = {"tiles": 1, "tokens": per_tile}
    return {
        name: max(0, min(count, limits[name] // _SHARE, limits[name] - least[name]))
        if name in limits
        else count
        for name, count in wanted.items()
    }


def second_look_after(
    session: SceneSession,
    search: Cost,
    reserve: Mapping[str, int],
    phrase: str,
    region: Region | None,
    watch: Watcher | None,
) -> SecondLook:
    """What looks again, with all that a search left.

    Args:
        session: The scene and the model.
        search: What the search took.
        reserve: What was kept from it.
        phrase: What was looked for.
        region: What alone is shown; None for the whole scene.
        watch: Hears of these looks.
    """
    direct = DirectCalls(session.host, session.tiles)
    calls = watched_calls(direct, watch, session.pyramid)
    usage = QuestionUsage.of(session.host, EncodePlan(), StageClock(calls.now))
    allowed, seconds = search.budget, search.budget.seconds
    left = Budget(
        tiles=max(1, allowed.tiles + reserve["tiles"] - search.tiles_encoded),
        tokens=max(1, allowed.tokens + reserve["tokens"] - search.tokens_llm),
        seconds=None if seconds is None else max(1e-3, seconds - search.seconds["total"]),
        host_ram_mb=allowed.host_ram_mb,
    )
    most = left.tiles if reserve["tiles"] else 0
    asked = asked_phrase(session.host, phrase)
    return SecondLook(
        *(session.tiles, session.pyramid, asked, calls, usage, left, most), region=region
    )


@dataclass(frozen=True, slots=True, order=True)
class _Window:
    """A tile of a shifted grid.

    Attributes:
        shift: Where the grid begins in the scene, x and y in pixels; half a tile or 0 each.
        tile: Its address there.
    """

    shift: tuple[int, int]
    tile: Tile

    def middle(self, side: int) -> Box:
        """The part that no other window of its kind shows better, in scene pixels.

        Half a tile along an axis that is shifted, and all of it along the other.
        """
        edges = []
        for index, shift in ((self.tile.col, self.shift[0]), (self.tile.row, self.shift[1])):
            margin = side / 4 if shift else 0
            edges.append((index * side + shift + margin, (index + 1) * side + shift - margin))
        (x0, x1), (y0, y1) = edges
        return Box(x0, y0, x1, y1)


def look_again(
    session: SceneSession, looker: TileLooker, most: int, watch: Watcher | None = None
) -> None:
    """Look again where places reach a seam, and then where what is too faint for a place does.

    What is seen as a whole takes the place of its parts. Where the model now denies the thing, the
    parts go. Where it sees one, but elsewhere, they stay. A faint part never is a place by itself.

    Args:
        session: The scene and the model.
        looker: What was seen so far; its places are replaced, and its budget is spent.
        most: Shifted tiles at most; those of the surest places come first, those of the faintest
            last.
        watch: Hears of these looks.

    Raises:
        GeoFoveaError: As looks do.
    """
    most = max(0, min(most, looker.budget.tiles - looker.spent_tiles))
    cut, uncut = _by_window(merge_places(looker.places), looker.pyramid)
    faint, _ = _by_window(looker.faint_places(_TILES_UNDER * (most - len(cut))), looker.pyramid)
    # places come before what is none yet; both are in order, the surest first
    windows = list(dict.fromkeys([*cut, *faint]))[:most]
    shown = _shown_in(session, looker, windows[: len(cut)], watch)
    shown |= _shown_in(session, looker, windows[len(cut) :], watch)
    whole: dict[_Window, list[Place]] = {}
    for window, seen in shown.items():
        places, middle = cut.get(window, []), window.middle(looker.pyramid.tile_size)
        central = [place for place in seen if _holds(middle, place.center)]
        parts = [*places, *faint.get(window, [])]
        whole[window] = [place for place in central if any(_touch(place, p) for p in parts)]
        if seen:
            uncut += [place for place in places if not any(_touch(place, p) for p in central)]
    uncut += [place for window in cut if window not in shown for place in cut[window]]
    looker.places = [*uncut, *_each_once(whole, uncut, looker.pyramid)]


def _by_window(
    places: Sequence[Place], pyramid: Pyramid
) -> tuple[dict[_Window, list[Place]], list[Place]]:
    """Places by the window that has their seams in its middle, and those that need none."""
    cut: dict[_Window, list[Place]] = {}
    uncut: list[Place] = []
    for place in places:
        window = _window_of(place, pyramid)
        if window is None:
            uncut.append(place)
        else:
            cut.setdefault(window, []).append(place)
    return cut, uncut


def _window_of(place: Place, pyramid: Pyramid) -> _Window | None:
    """The window that has in its middle the seams that a place reaches; None where there is none.

    A place that reaches two seams of one direction is longer than a tile: no window holds it.
    """
    if place.outline == "tile":
        return None
    box, side = place.box_scene, pyramid.tile_size
    shift, address = [], []
    for low, high, size in ((box.x0, box.x1, pyramid.width), (box.y0, box.y1, pyramid.height)):
        first, last = math.ceil((low - SEAM_PX) / side), math.floor((high + SEAM_PX) / side)
        seams = [n for n in range(first, last + 1) if 0 < n * side < size]
        if len(seams) > 1:
            return None
        shift.append(side // 2 if seams else 0)
        # the window begins half a tile before its seam, the grid half a tile after the scene
        address.append(seams[0] - 1 if seams else int((low + high) / 2 // side))
    if not any(shift):
        return None
    return _Window((shift[0], shift[1]), Tile(0, address[1], address[0]))


def _shown_in(
    session: SceneSession,
    looker: TileLooker,
    windows: Sequence[_Window],
    watch: Watcher | None,
) -> dict[_Window, list[Place]]:
    """What windows show, in scene pixels; those that the budget did not hold are left out."""
    shown: dict[_Window, list[Place]] = {}
    for shift in sorted({window.shift for window in windows}):
        reader = ShiftedReader(session.reader, shift)
        direct = DirectCalls(session.host, TileTokens(session.host, reader))
        moved = None if watch is None else _Moved(watch, shift)
        calls = watched_calls(direct, moved, reader.pyramid)
        other = looker.on_grid(reader.pyramid, calls, _moved_region(looker.region, shift))
        other.look([window.tile for window in windows if window.shift == shift])
        looker.spent_tiles = other.spent_tiles
        looker.looked_again += len(other.looked)
        looker.left_unasked += other.left_unasked
        shown |= {_Window(shift, tile): [] for tile in other.looked}
        for place in other.places:
            box = place.box_scene.moved(*shift)
            under = tuple(looker.pyramid.tiles_over(0, box))
            window = _Window(shift, place.evidence[0])
            shown[window].append(replace(place, box_scene=box, evidence=under))
    return shown


def _each_once(
    whole: Mapping[_Window, Sequence[Place]], others: Sequence[Place], pyramid: Pyramid
) -> list[Place]:
    """Places of several windows without doubles: that of the window that shows it most centrally.

    What another place shows already is left out, too.
    """

    def distance(window: _Window, place: Place) -> float:
        (x, y), (x_place, y_place) = window.middle(pyramid.tile_size).center, place.center
        return max(abs(x - x_place), abs(y - y_place))

    ordered = sorted(
        ((distance(window, place), window, place) for window in whole for place in whole[window]),
        key=lambda each: each[:2],
    )
    chosen: list[tuple[_Window | None, Place]] = [(None, place) for place in others]
    for _, window, place in ordered:
        rivals = [other for of, other in chosen if of != window]
        if not any(_is_same(place.box_scene, other.box_scene) for other in rivals):
            chosen.append((window, place))
    return [place for window, place in chosen if window is not None]


def _is_same(one: Box, other: Box) -> bool:
    common = one.intersection(other)
    return common is not None and common.area >= COMMON_SHARE * min(one.area, other.area)


def _touch(one: Place, other: Place) -> bool:
    """Whether two boxes overlap, or lie no further apart than the error of one of them."""
    a, b = one.box_scene, other.box_scene
    reach = max(one.error_px, other.error_px)
    apart = max(a.x0 - b.x1, b.x0 - a.x1, a.y0 - b.y1, b.y0 - a.y1)
    return apart < max(reach, SEAM_PX)


def _holds(box: Box, point: tuple[float, float]) -> bool:
    x, y = point
    return box.x0 <= x <= box.x1 and box.y0 <= y <= box.y1


def _moved_region(region: Region | None, shift: tuple[int, int]) -> Region | None:
    if region is None:
        return None
    dx, dy = shift
    return Region(shapely.affinity.translate(region.geometry, -dx, -dy))


class _Moved(Watcher):
    """Tells another watcher of looks on a shifted grid, with their boxes in scene pixels."""

    def __init__(self, watcher: Watcher, shift: tuple[int, int]) -> None:
        self._watcher, self._shift = watcher, shift

    def check(self) -> None:
        self._watcher.check()

    def looking(self, tiles: Mapping[Tile, Box]) -> None:
        self._watcher.looking({tile: box.moved(*self._shift) for tile, box in tiles.items()})

    def seen(self, tiles: int, tokens: int) -> None:
        self._watcher.seen(tiles, tokens)

    def reading(self, tiles: int, tokens: int) -> None:
        self._watcher.reading(tiles, tokens)
