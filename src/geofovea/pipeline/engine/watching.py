"""Watching a question while it is answered: what it looks at, what it finds, when it reads.

The code that answers is the same, watched or not: a watcher is put around the calls that cost
something, and around the focus. A focus is wrapped because some never call the host for scores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from torch import Tensor

from geofovea._arguments import shown
from geofovea.errors import QuestionError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.system.cancellation import cancellable
from geofovea.pipeline.system.progress import progress_bar
from geofovea.regionfocus.focus import Focus, score_each
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = [
    "WatchedCalls",
    "WatchedFocus",
    "Watcher",
    "build_progress",
    "current_watcher",
    "watched_by",
    "watched_calls",
]

_current: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


class Watcher:
    """Is told what happens to one question, in the thread that answers it.

    Override the methods that you need. Any of them may raise ``CancelledError`` to end the
    question; the session stays usable.
    ``descent="published"`` tells of its looks when the answer is there, not while it looks.
    """

    def check(self) -> None:
        """Called between steps, such as the tokens of an answer, to end the question early."""

    def preparing(self, share: float) -> None:
        """Level files are being built, and a share of the work, in [0, 1], is done."""

    def looking(self, tiles: Mapping[Tile, Box]) -> None:
        """Tiles are about to be read; what each shows, in scene pixels."""

    def seen(self, tiles: int, tokens: int) -> None:
        """As many tiles are encoded, and have as many vision tokens."""

    def scored(self, level: int, boxes_scene: Tensor, scores: Tensor) -> None:
        """The focus scored the tokens of one look.

        Args:
            level: Of the tokens.
            boxes_scene: Their boxes ``(n, 4)`` as x0, y0, x1, y1 in scene pixels.
            scores: ``(n,)``; comparable within this look only.
        """

    def reading(self, tiles: int, tokens: int) -> None:
        """The model is about to answer from as many vision tokens of as many tiles."""


@dataclass(frozen=True, slots=True)
class WatchedCalls:
    """Calls that a watcher hears of; see ``EngineCalls``.

    Attributes:
        calls: Those that do the work.
        watcher: Who hears of it.
        pyramid: Of the scene.
    """

    calls: EngineCalls
    watcher: Watcher
    pyramid: Pyramid

    def now(self) -> float:
        """See ``EngineCalls``."""
        return self.calls.now()

    def tokens(self, tiles: Sequence[Tile], usage: QuestionUsage) -> TokenSet:
        """See ``EngineCalls``."""
        self.watcher.check()
        self.watcher.looking({tile: self.pyramid.box_scene(tile) for tile in tiles})
        tokens = self.calls.tokens(tiles, usage)
        self.watcher.seen(len(tiles), len(tokens))
        return tokens

    def scores(self, question: str, looks: Sequence[TokenSet], *, again: bool) -> list[Tensor]:
        """See ``EngineCalls``; the watcher hears of scores from the focus, see `WatchedFocus`."""
        return self.calls.scores(question, looks, again=again)

    def generate(self, prompt: Prompt) -> Generation:
        """See ``EngineCalls``."""
        self.watcher.check()
        tokens = prompt.tokens
        self.watcher.reading(*((0, 0) if tokens is None else (len(tokens.tiles), len(tokens))))
        return self.calls.generate(prompt)


@dataclass(frozen=True, slots=True)
class WatchedFocus:
    """A focus that a watcher hears of; see ``Focus``.

    Attributes:
        focus: The one that scores.
        watcher: Who hears of it.
    """

    focus: Focus
    watcher: Watcher

    @property
    def name(self) -> str:
        """See ``Focus``."""
        return self.focus.name

    def score(self, tokens: TokenSet) -> Tensor:
        """See ``Focus``."""
        self.watcher.check()
        scores = self.focus.score(tokens)
        self._tell(tokens, scores)
        return scores

    def score_each(self, looks: Sequence[TokenSet]) -> list[Tensor]:
        """See ``SupportsWaves``; a focus that takes looks one by one can be ended between them."""
        if not hasattr(self.focus, "score_each"):
            return [self.score(tokens) for tokens in looks]
        self.watcher.check()
        scores = score_each(self.focus, looks)
        for tokens, own in zip(looks, scores, strict=True):
            self._tell(tokens, own)
        return scores

    def _tell(self, tokens: TokenSet, scores: Tensor) -> None:
        if len(tokens):
            self.watcher.scored(tokens.tiles[0].level, tokens.boxes_scene, scores)


@contextmanager
def watched_by(watcher: Watcher | None) -> Iterator[None]:
    """Let a watcher hear of level files that this thread builds, and end its long work.

    None leaves whoever hears of them already.

    Raises:
        QuestionError: If it is not a watcher.
    """
    if watcher is None:
        yield
        return
    if not isinstance(watcher, Watcher):
        raise QuestionError(
            f"watch={shown(watcher)} is not a watcher; derive its class from geofovea.Watcher"
        )
    token = _current.set(watcher)
    try:
        with cancellable(watcher.check):
            yield
    finally:
        _current.reset(token)


def current_watcher() -> Watcher:
    """Who hears of what this thread does, by `watched_by`; one that does nothing where nobody."""
    return _current.get() or Watcher()


def build_progress(title: str) -> AbstractContextManager[Callable[[float], None]]:
    """Where the progress of building level files goes: to the watcher, else to a bar.

    Args:
        title: What is built, in words.
    """
    watcher = _current.get()
    return progress_bar(title) if watcher is None else _heard_by(watcher)


@contextmanager
def _heard_by(watcher: Watcher) -> Iterator[Callable[[float], None]]:
    watcher.preparing(0.0)
    yield watcher.preparing


def watched_calls(calls: EngineCalls, watch: Watcher | None, pyramid: Pyramid) -> EngineCalls:
    """Calls that tell a watcher of tiles of a pyramid, if there is one."""
    return calls if watch is None else WatchedCalls(calls, watch, pyramid)
