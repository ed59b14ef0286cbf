"""Questions about one scene in a batch: what they need of the host at a time is done at once.

Every question goes its own way, by the code that it would run alone; see ``cooperative``. Tiles
that several want are read and encoded once, in common batches. Looks are scored together, and
answers written together, when no question needs anything that comes before. A tile is counted, with
its time, by the question that asked for it first; the time of all else is shared evenly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

from torch import Tensor

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.cooperative import run_together
from geofovea.pipeline.engine.tile_tokens import TileTokens
from geofovea.pipeline.hosts.base import SupportsBatching
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.system.failure import failure_of
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["BatchedCalls", "answer_together"]

End = TypeVar("End")


@dataclass(frozen=True, slots=True, eq=False)
class _Tiles:
    tiles: Sequence[Tile]
    usage: QuestionUsage


@dataclass(frozen=True, slots=True, eq=False)
class _Looks:
    question: str
    looks: Sequence[TokenSet]
    again: bool


_Need = _Tiles | _Looks | Prompt


@dataclass(frozen=True, slots=True, eq=False)
class _Served:
    """What was needed, and the seconds that it took of what all together took."""

    value: Any
    seconds: float


class BatchedCalls:
    """Calls of one question of a batch; see ``EngineCalls``."""

    def __init__(self, ask: Callable[[_Need], _Served]) -> None:
        """Take the function that waits until a need is met."""
        self._ask = ask
        self._elsewhere = 0.0

    def now(self) -> float:
        """A clock in seconds that stands still while others are served."""
        return time.perf_counter() - self._elsewhere

    def tokens(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """See ``EngineCalls``."""
        tokens: TokenSet = self._served(_Tiles(tiles, usage))
        return tokens

    def scores(self, question: str, looks: Sequence[TokenSet], *, again: bool) -> list[Tensor]:
        """See ``EngineCalls``."""
        scores: list[Tensor] = self._served(_Looks(question, looks, again))
        return scores

    def generate(self, prompt: Prompt) -> Generation:
        """See ``EngineCalls``."""
        generation: Generation = self._served(prompt)
        return generation

    def _served(self, need: _Need) -> Any:
        began = time.perf_counter()
        served = self._ask(need)
        self._elsewhere += time.perf_counter() - began - served.seconds
        return served.value


def answer_together(
    host: SupportsBatching, tiles: TileTokens, works: Sequence[Callable[[BatchedCalls], End]]
) -> list[End | Exception]:
    """Run the works of several questions; what became of each, or the error that ended it."""
    table = _Table(host, tiles)
    return run_together([lambda ask, w=work: w(BatchedCalls(ask)) for work in works], table.serve)  # type: ignore[misc]


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Where the needs of all questions are met."""

    host: SupportsBatching
    tiles: TileTokens

    def serve(self, needs: list[_Need]) -> dict[int, _Served | Exception]:
        """Meet the needs of the earliest kind that is there; the others wait for more."""
        kinds = ((_Tiles, self._encoded), (_Looks, self._scored), (Prompt, self._answered))
        for kind, meet_some in kinds:
            which = [i for i, need in enumerate(needs) if isinstance(need, kind)]
            if which:
                some = [needs[i] for i in which]
                return dict(zip(which, self._met(meet_some, some), strict=True))
        return {}

    def _met(self, do: Callable[[Any], list[Any]], needs: list[_Need]) -> list[_Served | Exception]:
        """Meet some needs together; one by one if that fails, to tell whose failure it is."""
        began = time.perf_counter()
        try:
            results = do(needs)
        except BaseException as error:  # whatever a model raises is a failure of its question
            failure = failure_of(error)
            if len(needs) == 1:
                return [failure]
            return [met for need in needs for met in self._met(do, [need])]
        share = (time.perf_counter() - began) / len(needs)
        return [
            each if isinstance(each, _Served | Exception) else _Served(each, share)
            for each in results
        ]

    def _encoded(self, needs: list[_Tiles]) -> list[_Served | Exception]:
        clock = StageClock()
        before = [need.usage.tiles_read for need in needs]
        entries_by_need = self.tiles.of_each([(need.tiles, need.usage) for need in needs], clock)
        took = clock.seconds()
        tiles_read = [n.usage.tiles_read - b for n, b in zip(needs, before, strict=True)]
        served: list[_Served | Exception] = []
        for need, entries, own in zip(needs, entries_by_need, tiles_read, strict=True):
            share = own / max(1, sum(tiles_read))
            need.usage.clock.charge(share, took)
            try:
                tokens = self.tiles.tokens_of(need.tiles, entries)
                served.append(_Served(tokens, share * took["total"]))
            except GeoFoveaError as error:
                served.append(error)
        return served

    def _scored(self, needs: list[_Looks]) -> list[list[Tensor]]:
        scores: dict[int, list[Tensor]] = {}
        for again in (True, False):
            which = [i for i, need in enumerate(needs) if need.again is again]
            prompts = [(needs[i].question, look) for i in which for look in needs[i].looks]
            together = self.host.scores_together(prompts, again=again) if prompts else []
            batch_scores = iter(together)
            scores |= {i: list(islice(batch_scores, len(needs[i].looks))) for i in which}
        return [scores[i] for i in range(len(needs))]

    def _answered(self, prompts: list[Prompt]) -> list[Generation]:
        return self.host.generate_together(prompts)
