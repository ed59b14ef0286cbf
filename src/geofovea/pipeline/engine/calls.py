"""What one question asks of a host and of the tiles of its scene: directly, or through company."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.engine.tile_tokens import Gathered, TileTokens
from geofovea.pipeline.hosts.base import Host, SupportsPrefixCache
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["DirectCalls", "HostCalls"]


class HostCalls(Protocol):
    """The calls that cost something."""

    def tokens(self, tiles: Sequence[Tile], clock: StageClock, gathered: Gathered) -> TokenSet:
        """See ``TileTokens.of``."""
        ...

    def scores(self, question: str, tokens: TokenSet, *, again: bool) -> Tensor:
        """See ``Host.scores``; ``again`` where further questions will be asked of the tokens."""
        ...

    def generate(self, prompt: Prompt) -> Generation:
        """See ``Host.generate``."""
        ...


class DirectCalls:
    """Calls of a question that has no company."""

    def __init__(self, host: Host, tiles: TileTokens) -> None:
        """Keep what is called."""
        self._host: Any = host
        self._tiles = tiles

    def tokens(self, tiles: Sequence[Tile], clock: StageClock, gathered: Gathered) -> TokenSet:
        """See ``HostCalls``."""
        return self._tiles.of(tiles, clock, gathered)

    def scores(self, question: str, tokens: TokenSet, *, again: bool) -> Tensor:
        """See ``HostCalls``."""
        reuses = again and isinstance(self._host, SupportsPrefixCache)
        score = self._host.scores_again if reuses else self._host.scores
        scores: Tensor = score(question, tokens)
        return scores

    def generate(self, prompt: Prompt) -> Generation:
        """See ``HostCalls``; hosts without choices or reductions are not told of any."""
        wanted: dict[str, Any] = {"choices": prompt.choices} if prompt.choices else {}
        if prompt.reduction is not None:
            wanted["reduction"] = prompt.reduction
        generation: Generation = self._host.generate(prompt.question, prompt.tokens, **wanted)
        return generation
