"""Native tiles looked at one after the other, under a budget: what is in them, and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from geofovea._plurals import counted
from geofovea.errors import BudgetError
from geofovea.pipeline.engine.accounting import QuestionUsage, limit_reached
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.focus.shown_names import ShownNames
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.flops import ShownTokens
from geofovea.pipeline.places.in_tile.grounding import can_ground, spoken_places
from geofovea.pipeline.places.in_tile.outline import (
    faint_boxes,
    tile_box,
    token_boxes,
    token_error_px,
)
from geofovea.pipeline.places.in_tile.presence import Presence, PresenceAsker, presence_words
from geofovea.pipeline.places.place import Outline, Place
from geofovea.pipeline.system.cancellation import check_cancelled
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.region_filter import within
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["TileLooker", "tokens_in"]

_TILES_AT_ONCE = 16
_LEAST_DOUBT = 1e-6
_SURE_OF_FURTHER = 0.9
# of what a seam cuts, a tile may show so little; chosen in twelve scenes of both worlds
_LEAST_OF_PART = 0.2
_NO_TOKENS_FOR_BOXES = (
    "the tokens ended before the model could write boxes about some tiles: their places are "
    "outlined by attention, or are whole tiles; raise tokens="
)
_NO_TOKENS_FOR_ADJECTIVES = (
    "the tokens ended before the adjectives of some places could be asked about: these places are "
    "left out, and their tiles count as not looked at; raise tokens="
)


@dataclass(slots=True, eq=False)
class TileLooker:
    """Looks for one phrase in native tiles, and remembers what it saw.

    Attributes:
        host: The model.
        pyramid: Of the scene.
        phrase: What is looked for.
        calls: How tiles and the host are asked.
        usage: Counts what that takes.
        budget: What may be spent; the tokens are those of all prompts together.
        region: What alone is asked about; None for the whole scene.
        min_score: The least probability of a place.
        names: What judges the tiles beside the model; None where nothing does.
        spent_tiles: Tiles that count toward the budget so far.
        looked: How many places each tile looked at shows, before seams are merged.
        looked_again: Tiles of shifted grids that were looked at; see ``look_again``.
        left_unasked: Tiles that show the noun, and are not among those looked at because the tokens
            ended before the adjectives.
        places: All of them.
        absence: How likely the thing is in none of the tiles that show no place of it.
        stopped: What ended the last look early: ``tiles``, ``tokens``, ``time``, ``memory``; empty
            if nothing did.
    """

    host: Host
    pyramid: Pyramid
    phrase: str
    calls: EngineCalls
    usage: QuestionUsage
    budget: Budget
    region: Region | None = None
    min_score: float = 0.5
    names: ShownNames | None = None
    spent_tiles: int = 0
    looked: dict[Tile, int] = field(default_factory=dict)
    looked_again: int = 0
    left_unasked: int = 0
    places: list[Place] = field(default_factory=list)
    absence: float = 1.0
    stopped: str = ""
    asker: PresenceAsker = field(init=False)
    _faint: dict[Tile, Presence] = field(default_factory=dict)
    _doubts: dict[str, None] = field(default_factory=dict)
    _other_things: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.asker = PresenceAsker(self.host, self.calls, self.usage, self.min_score)

    def look(self, tiles: Sequence[Tile]) -> None:
        """Look at tiles in their order until all are seen or the budget ends it."""
        self.stopped = ""
        waiting = [tile for tile in dict.fromkeys(tiles) if tile not in self.looked]
        while waiting and not self.stopped:
            check_cancelled()
            affordable = self._affordable(waiting[:_TILES_AT_ONCE])
            self._look_at(waiting[:affordable])
            del waiting[:affordable]

    def check_looked(self) -> None:
        """Refuse to continue where no tile was seen.

        Raises:
            BudgetError: If the tokens did not hold all prompts of the first tile.
        """
        if not self.looked:
            per_tile = self.host.grid[0] * self.host.grid[1]
            raise BudgetError(
                f"tokens={self.budget.tokens} cannot hold the prompts that {self.phrase!r} takes "
                f"in a single tile: allow {per_tile * self._most_prompts()}"
            )

    def faint_places(self, most: int) -> list[Place]:
        """Where the thing may be in tiles that show too little of it, the likeliest first.

        Its score is below the least of a place, so only a look at the whole can make it one. It
        takes no prompt. Without attention there are none.

        Args:
            most: Tiles at most.
        """
        if not self.host.capabilities.attention:
            return []
        noun, _ = presence_words(self.host).parts(self.phrase)
        ranked = sorted(self._faint, key=lambda tile: -self._faint[tile].probability)
        places = list[Place]()
        for tile in ranked[: max(0, most)]:
            check_cancelled()
            if limit_reached(self.budget, self.usage.clock):
                break
            tokens = self._tokens([tile])
            places += self._attended(tile, tokens, noun, self._faint[tile])
        return places

    def on_grid(self, pyramid: Pyramid, calls: EngineCalls, region: Region | None) -> TileLooker:
        """A looker for the same thing on another grid, which spends of the same budget.

        Args:
            pyramid: Of the other grid.
            calls: How its tiles are asked for.
            region: What alone is asked about, in pixels of the other grid.
        """
        other = TileLooker(
            *(self.host, pyramid, self.phrase, calls, self.usage, self.budget, region),
            min_score=self.min_score,
            names=None if self.names is None else self.names.on(pyramid),
            spent_tiles=self.spent_tiles,
        )
        other.asker, other._doubts = self.asker, self._doubts
        other._other_things = self._other_things
        return other

    def is_affordable(self, tiles: int) -> bool:
        """Whether the budget surely holds that many more tiles, whatever they show."""
        budget, per_tile = self.budget, self.host.grid[0] * self.host.grid[1]
        others = (budget.seconds, budget.host_ram_mb, budget.device_ram_mb)
        return (
            others == (None, None, None)
            and tiles <= budget.tiles - self.spent_tiles
            and tiles * per_tile * self._most_prompts() <= self._tokens_left
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know of what was asked."""
        others = self._other_things
        names = ", ".join(f"{name} ({number})" for name, number in others.most_common(5))
        left_out = (
            f"left out {counted(others.total(), 'box', 'boxes')} that the model called something "
            f"else than {self.phrase!r}: {names}",
        )
        return (*self.asker.warnings, *self._doubts, *(left_out if others else ()))

    def _affordable(self, tiles: Sequence[Tile]) -> int:
        """How many of some tiles can be looked at next; says what ends it where none can.

        Tokens are reckoned at the most that a tile may take. Most take less, so more tiles may be
        affordable after these.
        """
        if self.looked and (limit := limit_reached(self.budget, self.usage.clock)):
            self.stopped = limit
            return 0
        per_tile = self.host.grid[0] * self.host.grid[1]
        of_tiles = self.budget.tiles - self.spent_tiles
        of_tokens = self._tokens_left // (per_tile * self._most_prompts())
        # a last tile is asked about at least
        of_tokens = of_tokens or int(self._tokens_left >= per_tile)
        count = max(0, min(len(tiles), of_tiles, of_tokens))
        if not count:
            self.stopped = "tiles" if of_tiles <= 0 else "tokens"
        return count

    @property
    def _tokens_left(self) -> int:
        return self.budget.tokens - self.asker.tokens

    def _most_prompts(self) -> int:
        """Prompts of a tile that shows the thing: presence, its boxes, its adjectives."""
        words = presence_words(self.host)
        _, adjectives = words.parts(self.phrase)
        asked = 1 if words.numbers is None else 2
        return asked + can_ground(self.host) + len(adjectives)

    def _look_at(self, tiles: Sequence[Tile]) -> None:
        if not tiles:
            return
        self.spent_tiles += len(tiles)
        tokens = self._tokens(tiles)
        pictures = {
            tile: tokens.select(tokens.tile_index == place)
            for place, tile in enumerate(tokens.tiles)
        }
        self.looked |= dict.fromkeys(tiles, 0)
        words = presence_words(self.host)
        noun, adjectives = words.parts(self.phrase)
        shown = list(pictures)
        asked = self.asker.ask(words.ask(noun), list(pictures.values()), self._tokens_left)
        presences = self._judged_twice(noun, asked, list(pictures.values()))
        for tile, presence in zip(shown, presences, strict=True):
            if presence.probability >= self.min_score:
                places = self._places_in(tile, pictures[tile], noun, presence)
                described = self._as_described(places, pictures[tile], noun, adjectives)
                if described is None:
                    self._leave(tile)
                else:
                    self.looked[tile] = len(described)
                    self.places += described
            elif presence.probability >= _LEAST_OF_PART:
                self._faint[tile] = presence
            if not self.looked.get(tile):
                self.absence *= 1 - presence.probability

    def _leave(self, tile: Tile) -> None:
        """Take a tile for one that was not looked at, as its adjectives could not be asked."""
        del self.looked[tile]
        self.left_unasked += 1
        self.stopped = "tokens"
        self._doubts[_NO_TOKENS_FOR_ADJECTIVES] = None

    def _judged_twice(
        self, noun: str, asked: list[Presence], pictures: Sequence[TokenSet]
    ) -> list[Presence]:
        """What the model believes, together with what its dual encoder tells of the same tiles.

        The mean of both in log-odds: they err in different tiles.
        """
        if self.names is None:
            return asked
        told = self.names.thing_probabilities(noun, pictures)
        return [
            presence
            if likely is None
            else replace(presence, probability=_mean_in_log_odds(presence.probability, likely))
            for presence, likely in zip(asked, told, strict=True)
        ]

    def _tokens(self, tiles: Sequence[Tile]) -> TokenSet:
        tokens = self.calls.tokens(tiles, self.usage)
        # a sweep sees every tile once: what is known of each would fill the memory
        self.usage.entries.clear()
        return within(self.region, tokens)

    def _places_in(
        self, tile: Tile, tokens: TokenSet, noun: str, presence: Presence
    ) -> list[Place]:
        """The places of one tile that shows what is looked for."""
        if can_ground(self.host) and len(tokens) > self._tokens_left:
            self._doubts[_NO_TOKENS_FOR_BOXES] = None
        elif can_ground(self.host):
            with self.usage.clock.stage("answer"):
                spoken = spoken_places(self.host, self.pyramid, tile, tokens, noun)
            self.asker.note([spoken.reply], [tokens])
            self._doubts |= {spoken.warning: None} if spoken.warning else {}
            self._other_things.update(spoken.others)
            if spoken.boxes:
                step = self.pyramid.tile_size / 1000
                return [self._place(tile, box, presence, "box", step) for box in spoken.boxes]
        if self.host.capabilities.attention:
            return self._attended(tile, tokens, noun, presence)
        box = tile_box(tokens)
        self._doubts["the model shows no attention and no boxes: a place is a whole tile"] = None
        return [self._place(tile, box, presence, "tile", max(box.width, box.height))]

    def _attended(self, tile: Tile, tokens: TokenSet, noun: str, presence: Presence) -> list[Place]:
        """What the model attends to in one tile."""
        question = presence_words(self.host).ask(noun)
        with self.usage.clock.stage("focus"):
            (scores,) = self.calls.scores(question, [tokens], again=False)
        self.usage.looks_scored.append(ShownTokens.of(tokens))
        shape = self.host.grid, self.pyramid.tile_size
        boxes = token_boxes(tokens, scores, *shape, presence.count)
        if presence.probability >= self.min_score:
            boxes += self._confirmed(tokens, noun, faint_boxes(tokens, scores, *shape, boxes))
        error = token_error_px(tokens)
        return [self._place(tile, box, presence, "tokens", error) for box in boxes]

    def _confirmed(self, tokens: TokenSet, noun: str, boxes: Sequence[Box]) -> list[Box]:
        """Those of which the model and its dual encoder both say that they show the thing.

        Each is shown alone, with a token around it. The model says too few where a tile shows
        several, so its number ends nothing; what it does not name has to be sure.
        """
        if self.names is None:
            return []
        question, confirmed = presence_words(self.host).ask(noun), list[Box]()
        pictures = [tokens_in(tokens, _grown(box, token_error_px(tokens) / 2)) for box in boxes]
        told = self.names.thing_probabilities(noun, pictures)
        for box, picture, likely in zip(boxes, pictures, told, strict=True):
            if self.asker.most_tokens([picture]) > self._tokens_left:
                break
            if likely is None or likely < _SURE_OF_FURTHER:
                continue
            (presence,) = self.asker.ask(question, [picture])
            if presence.probability >= _SURE_OF_FURTHER:
                confirmed.append(box)
        return confirmed

    def _place(
        self, tile: Tile, box: Box, presence: Presence, outline: Outline, error_px: float
    ) -> Place:
        return Place(box, presence.probability, tile.level, self.phrase, (tile,), outline, error_px)

    def _as_described(
        self, places: list[Place], tokens: TokenSet, noun: str, adjectives: Sequence[str]
    ) -> list[Place] | None:
        """Those that are as the adjectives say, each asked about from its own tokens alone.

        None where the tokens that are left do not hold these prompts.
        """
        for adjective in adjectives:
            question = presence_words(self.host).ask_attribute(noun, adjective)
            pictures = [tokens_in(tokens, place.box_scene) for place in places]
            if sum(len(picture) for picture in pictures) > self._tokens_left:
                return None
            shares = self.asker.ask_yes(question, pictures)
            places = [
                replace(place, score=place.score * share)
                for place, share in zip(places, shares, strict=True)
                if place.score * share >= self.min_score
            ]
        return places


def _mean_in_log_odds(one: float, other: float) -> float:
    odds = torch.tensor([one, other], dtype=torch.float64).logit(eps=_LEAST_DOUBT)
    return float(odds.mean().sigmoid())


def _grown(box: Box, by: float) -> Box:
    return Box(box.x0 - by, box.y0 - by, box.x1 + by, box.y1 + by)


def tokens_in(tokens: TokenSet, box: Box) -> TokenSet:
    """The tokens that a box in scene pixels touches."""
    boxes = tokens.boxes_scene
    touches = (
        (boxes[:, 0] < box.x1)
        & (boxes[:, 2] > box.x0)
        & (boxes[:, 1] < box.y1)
        & (boxes[:, 3] > box.y0)
    )
    return tokens.select(touches)
