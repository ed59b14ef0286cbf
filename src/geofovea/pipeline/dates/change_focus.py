"""A focus on what changed: differences between dates, led by a focus that reads the question."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.dates.difference import ChangeScale
from geofovea.pipeline.dates.stack_tokens import StackTokens
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.focus.factory import FocusFactory
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["CHANGES", "ChangeFocus", "ChangeFocuses", "change_masses"]

CHANGES = "changes"
"""The word of the focus that reads differences alone."""

# a place without any difference may still be looked at, and one that no word points at as well
_CHANGE_FLOOR = 0.02
_QUESTION_FLOOR = 0.25
_NORMAL_SPREAD = 1.4826


def change_masses(distances: Tensor, shows: Tensor) -> Tensor:
    """How much each place stands out among those compared, squared.

    Args:
        distances: float32 ``(n,)``; see ``ChangeScale.distances``.
        shows: bool ``(n,)``, where all dates show data; the others get nothing.

    Returns:
        float32 ``(n,)``: the square of the number of usual spreads beyond the first above the
        median.
    """
    masses = torch.zeros_like(distances)
    if not bool(shows.any()):
        return masses
    compared = distances[shows]
    middle = compared.median()
    spread = (compared - middle).abs().median() * _NORMAL_SPREAD
    if float(spread) <= 0:
        return torch.where(shows, (distances - middle).clamp(min=0), masses)
    return torch.where(shows, ((distances - middle) / spread - 1).clamp(min=0).square(), masses)


@dataclass(slots=True)
class ChangeFocus:
    """Scores places by what changed there.

    Attributes:
        stack: Tokens of all dates.
        dates: How many there are.
        question: What reads the question, on the tokens of one date; None reads differences alone.
        scales: Of differences, one for each two dates that were compared, by their numbers.
        name: The word of the focus.
    """

    stack: StackTokens
    dates: int
    question: Focus | None = None
    scales: dict[tuple[int, int], ChangeScale] = field(default_factory=dict, init=False)
    name: str = field(default=CHANGES, init=False)

    def distances(self, tokens: TokenSet) -> tuple[Tensor, Tensor]:
        """The largest change of each place from one date that shows it to the next that does.

        Returns:
            float32 ``(n,)``, and bool ``(n,)``: where at least two dates show data.
        """
        largest = torch.zeros(len(tokens))
        compared = torch.zeros(len(tokens), dtype=torch.bool)
        # a hole at one date must not hide what changed between those around it
        latest = torch.full((len(tokens),), -1)
        cells = self.stack.cells(tokens)
        earlier: list[Tensor] = []
        for date in range(self.dates):
            after, shows = self.stack.at(date, tokens)
            for number, before in enumerate(earlier):
                where = (shows & (latest == number)).nonzero()[:, 0]
                if not len(where):
                    continue
                on_device = where.to(before.device)
                tiles = [tokens.tiles[each] for each in tokens.tile_index[where].tolist()]
                scale = self.scales.setdefault((number, date), ChangeScale())
                distances = scale.distances(
                    before[on_device], after[on_device], tiles, cells[where]
                )
                largest[where] = torch.maximum(largest[where], distances)
                compared[where] = True
            latest[shows] = date
            earlier.append(after)
        return largest, compared

    def score(self, tokens: TokenSet) -> Tensor:
        """See ``Focus``."""
        masses = change_masses(*self.distances(tokens))
        changes = _by_mean(masses) + _CHANGE_FLOOR
        if self.question is None:
            return changes
        shares = torch.zeros(len(tokens))
        for date in range(self.dates):
            features, shows = self.stack.at(date, tokens)
            if bool(shows.any()):
                part = replace(tokens, features=features).select(shows)
                scores = self.question.score(part).to("cpu", torch.float32)
                shares[shows] += scores.clamp(min=0) / scores.clamp(min=0).sum().clamp(min=1e-12)
        return changes * (_by_mean(shares) + _QUESTION_FLOOR)


def _by_mean(masses: Tensor) -> Tensor:
    mean = float(masses.mean()) if len(masses) else 0.0
    return masses / mean if mean > 0 else torch.zeros_like(masses)


class ChangeFocuses(FocusFactory):
    """Makes focuses on changes for one question; see ``FocusFactory``.

    Attributes:
        made: Those that were made.
    """

    def __init__(self, factory: FocusFactory, stack: StackTokens, dates: int) -> None:
        """Join what they read.

        Args:
            factory: Makes what reads the question.
            stack: Tokens of all dates.
            dates: How many there are.
        """
        self._factory, self._stack, self._dates = factory, stack, dates
        self.made: list[ChangeFocus] = []

    def make(
        self,
        name: str,
        question: str,
        calls: EngineCalls,
        usage: QuestionUsage,
        **more: Any,
    ) -> Focus:
        """A focus on changes; ``changes`` reads no question, other names lead it by that focus."""
        reader = None
        if name != CHANGES:
            reader = self._factory.make(name, question, calls, usage, **more)
        focus = ChangeFocus(self._stack, self._dates, reader)
        self.made.append(focus)
        return focus
