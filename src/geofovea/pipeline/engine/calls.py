"""What one question asks of a host and of the tiles of its scene: directly, or in a batch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.hosts.base import Host, SupportsBatching, SupportsPrefixCache
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["DirectCalls", "EngineCalls"]


class EngineCalls(Protocol):
    """The calls that cost something."""

    def now(self) -> float:
        """A monotonic clock in seconds that counts the time of this question."""
        ...

    def tokens(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """See ``TileTokens.of``."""
        ...

    def scores(self, question: str, looks: Sequence[TokenSet], *, again: bool) -> list[Tensor]:
        """Scores of the search for each of some looks that share one wave of a search.

        Args:
            question: What is asked.
            looks: Tokens of each.
            again: Whether further questions will be asked of the same tokens.
        """
        ...

    def generate(self, prompt: Prompt) -> Generation:
        """See ``Host.generate``."""
        ...


class DirectCalls:
    """Calls of a question that is asked alone."""

    def __init__(self, host: Host, tiles: TileTokens) -> None:
        """Keep what is called."""
        self._host: Any = host
        self._tiles = tiles

    def now(self) -> float:
        """See ``EngineCalls``."""
        return time.perf_counter()

    def tokens(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """See ``EngineCalls``."""
        return self._tiles.of(tiles, usage)

    def scores(self, question: str, looks: Sequence[TokenSet], *, again: bool) -> list[Tensor]:
        """See ``EngineCalls``; looks go side by side where the host can."""
        if isinstance(self._host, SupportsBatching):
            return self._host.scores_together([(question, look) for look in looks], again=again)
        reuses = again and isinstance(self._host, SupportsPrefixCache)
        score = self._host.scores_again if reuses else self._host.scores
        return [score(question, look) for look in looks]

    def generate(self, prompt: Prompt) -> Generation:
        """See ``EngineCalls``; hosts without choices or reductions are not told of any."""
        options: dict[str, Any] = {"choices": prompt.choices} if prompt.choices else {}
        if prompt.reduction is not None:
            options["reduction"] = prompt.reduction
        if prompt.skip is not None:
            options["skip"] = prompt.skip
        if prompt.decoder is not None:
            options["decoder"] = prompt.decoder
        generation: Generation = self._host.generate(prompt.question, prompt.tokens, **options)
        return generation
