"""Whether a place that was found shows what it was looked for.

A model that can score choices is asked. The demo model was never taught that question; its dual
encoder tells whether the tiles around show what the name calls. Where neither can tell, the share
of the focus that falls on the place is all there is: a name that the scene does not show scatters
it. How small a share that leaves is measured for some models (``PresenceWords.share``).
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

import shapely
import torch

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.focus.shown_names import LIKELY, ShownNames
from geofovea.pipeline.hosts.base import Host, SupportsPresence
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["Presence"]

_HARDLY = 0.05


class Presence:
    """Scores the regions of one question.

    Attributes:
        is_asked: Whether the model is asked.
        tokens_llm: Vision tokens that reached the decoder so far.
        generator: Asks the model, and counts what that takes.
    """

    def __init__(
        self, host: Host, calls: EngineCalls, tokens: int, places: ShownNames | None = None
    ) -> None:
        """Keep what is asked.

        Args:
            host: The model.
            calls: How it is asked.
            tokens: Most vision tokens for all regions of the question together.
            places: What tells names of places in tiles; None where nothing does.
        """
        can = host.capabilities
        self.is_asked = can.choices and can.domain == "general"
        self._words = host.presence if isinstance(host, SupportsPresence) else PresenceWords()
        self.generator = MeteredGenerator(calls, choices=self._words.answers)
        # a model that can be asked needs nothing else that tells
        self._most, self._places = tokens, None if self.is_asked else places
        self.tokens_llm = 0

    @property
    def is_measured(self) -> bool:
        """Whether it is known of the model how a place that is missing looks to it."""
        return not self.is_asked and (self._places is not None or self._words.share is not None)

    def is_there(
        self, name: str, region: TokenSet, share: float, around: Sequence[TokenSet]
    ) -> tuple[bool, float]:
        """Whether a region shows what a name calls, and how likely that is, in [0, 1].

        Args:
            name: What was looked for.
            region: The tokens of the region.
            share: The share of the focus that falls on it.
            around: The tokens of tiles over the region.
        """
        known = self._site_called(name)
        if self._places is not None and known is not None:
            likely = self._places.site_probability(known, around)
            if likely is not None:
                return likely >= LIKELY, likely
        score = self._score(name, region, share)
        return self._is_enough(score) and not self._is_denied(name, around), score

    def is_told_by_native_tiles(self, name: str) -> bool:
        """Whether native tiles tell if what a name calls is there, and coarser ones do not."""
        return self._thing_called(name) is not None

    def _site_called(self, name: str) -> str | None:
        return None if self._places is None else self._places.site_called(name)

    def _thing_called(self, name: str) -> str | None:
        return None if self._places is None else self._places.thing_called(name)

    def _is_denied(self, name: str, around: Sequence[TokenSet]) -> bool:
        """Whether no native tile over a region is likely to show the thing that a name calls."""
        thing = self._thing_called(name)
        if self._places is None or thing is None:
            return False
        told = self._places.thing_probabilities(thing, around)
        likely = [each for each in told if each is not None]
        return bool(likely) and max(likely) < LIKELY

    def seen_elsewhere(self, name: str, looks: Sequence[LevelLook]) -> tuple[Tile, float] | None:
        """The tile that is likeliest to show what was not outlined, and how likely it is.

        The focus may have fallen on something else. None where no tile is likely to show it, or
        that cannot be told.

        Args:
            name: What was looked for.
            looks: What was looked at, of any level.
        """
        known = self._site_called(name)
        if self._places is None or known is None:
            return None
        # the coarsest look shows all of the scene, and says nothing of where
        told = self._places.site_probabilities(known, [look.tokens for look in looks[1:]])
        # of equals the last, which is the finest
        best = max(reversed(told), key=itemgetter(1), default=None)
        return best if best is not None and best[1] >= LIKELY else None

    def tiles_showing(self, name: str, tiles: TokenSet) -> list[Tile]:
        """The tiles that may show a place, where at least one of them is likely to.

        Args:
            name: What is looked for.
            tiles: The tokens of tiles of one level.

        Returns:
            Empty where that cannot be told.
        """
        known = self._site_called(name)
        if self._places is None or known is None:
            return []
        told = self._places.site_probabilities(known, [tiles])
        if max((likely for _, likely in told), default=0.0) < LIKELY:
            return []
        return [tile for tile, likely in told if likely >= _HARDLY]

    def denied_share(self, place: LocatedPlace, tiles: TokenSet) -> float:
        """The share of an outline that lies in tiles which hardly show what its name calls.

        Land that looks like the place may have joined it. 0 where that cannot be told.

        Args:
            place: What was outlined.
            tiles: The tokens of tiles of one level, over the outline as far as they are there.
        """
        known = self._site_called(place.label)
        if self._places is None or known is None:
            return 0.0
        likely = dict(self._places.site_probabilities(known, [tiles]))
        share = 0.0
        for index, tile in enumerate(tiles.tiles):
            if likely.get(tile, 1.0) < _HARDLY:
                boxes_scene = tiles.boxes_scene[tiles.tile_index == index]
                low, high = boxes_scene[:, :2].amin(0), boxes_scene[:, 2:].amax(0)
                shown = shapely.box(*low.tolist(), *high.tolist())
                share += float(place.region.intersection(shown).area / place.region.area)
        return share

    def _score(self, name: str, region: TokenSet, share: float) -> float:
        count = min(len(region), self._most - self.tokens_llm)
        if not self.is_asked or count < 1:
            return share
        chosen = torch.linspace(0, len(region) - 1, count).round().long()
        tokens = region.in_reading_order().select(chosen)
        answer = self.generator.generate(self._words.ask(name), tokens)
        self.tokens_llm += len(tokens)
        # the last answer denies, whatever the others say
        return 1 - float(torch.tensor(answer.choices, dtype=torch.float64).softmax(0)[-1])

    def _is_enough(self, score: float) -> bool:
        least = None if self.is_asked else self._words.share
        return score >= (LIKELY if least is None else least)

    def is_rival(self, name: str, region: TokenSet, share: float) -> bool:
        """Whether a region that draws the focus shows the same, as far as that can be asked."""
        return not self.is_asked or self._is_enough(self._score(name, region, share))
