"""The calls of one question, told to the log: what is looked at, and how long it takes."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from geofovea._plurals import counted
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["LoggedCalls"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoggedCalls:
    """Calls that are logged when they are done; see ``EngineCalls``.

    Seconds are those of the question, which in a batch count its share of what is shared.

    Attributes:
        calls: Those that do the work.
    """

    calls: EngineCalls

    def now(self) -> float:
        """See ``EngineCalls``."""
        return self.calls.now()

    def tokens(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """See ``EngineCalls``."""
        started = self.now()
        tokens = self.calls.tokens(tiles, usage)
        levels = Counter(tile.level for tile in tiles)
        counts = ", ".join(f"level {level}: {counted(n, 'tile')}" for level, n in levels.items())
        _LOG.info("look: %s, %d tokens, %.2f s", counts, len(tokens), self.now() - started)
        for tile in tiles:
            _LOG.debug("tile: level %d, row %d, column %d", tile.level, tile.row, tile.col)
        return tokens

    def scores(self, question: str, looks: Sequence[TokenSet], *, again: bool) -> list[Tensor]:
        """See ``EngineCalls``."""
        started = self.now()
        scores = self.calls.scores(question, looks, again=again)
        count = sum(len(look) for look in looks)
        _LOG.info("focus: %d tokens scored, %.2f s", count, self.now() - started)
        return scores

    def generate(self, prompt: Prompt) -> Generation:
        """See ``EngineCalls``."""
        started = self.now()
        generation = self.calls.generate(prompt)
        count = 0 if prompt.tokens is None else len(prompt.tokens)
        _LOG.info("model: asked with %d vision tokens, %.2f s", count, self.now() - started)
        return generation
