"""Asks the model at the first and the last date whether a thing is there, to name a change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from geofovea.pipeline.dates.stack_tokens import StackTokens
from geofovea.pipeline.dates.tile_series import TileSeries
from geofovea.pipeline.engine.accounting import limit_reached
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.places.in_tile.presence import Presence, PresenceAsker, presence_words
from geofovea.pipeline.places.place import Place
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box

__all__ = ["ask_of_changes"]


def ask_of_changes(
    series: TileSeries,
    stack: StackTokens,
    phrase: str,
    places: Sequence[Place],
    min_score: float,
    budget: Budget,
) -> tuple[list[Place], int, tuple[str, ...]]:
    """The places where something came or went, by what the model sees at both dates.

    A model that says how many it sees is asked for numbers, so that a second truck counts as one
    that came. Others are asked for yes or no.

    Args:
        series: The dates and the model.
        stack: Tokens of all dates.
        phrase: What is looked for.
        places: Where something changed.
        min_score: The least score of a place that is left; from a half on the model says yes at one
            date and no at the other.
        budget: Its tokens are those of all prompts; once a limit is reached, no further place is
            asked about, and a warning says how many were not.

    Returns:
        The places that are left, labeled ``new PHRASE`` or ``gone PHRASE``, with the score of the
        change times the difference of the probabilities; vision tokens of all prompts; warnings.
    """
    host, last = series.host, len(series.stack) - 1
    asker = PresenceAsker(
        host, DirectCalls(host, series.reference_tiles), stack.usages[0], min_score=0.0
    )
    question = presence_words(host).ask(phrase)
    changes, warnings = [], []
    for number, place in enumerate(places):
        tokens = stack.encode(place.evidence)
        near = _around(tokens, place.box_scene, place.error_px)
        sets = [stack.set_at(date, near) for date in (0, last)]
        stack.forget()
        if not all(map(len, sets)):
            continue
        limit = _limit(budget, stack, asker.tokens + asker.most_tokens(sets))
        if limit:
            warnings.append(
                f"the limit of {limit} left {len(places) - number} of {len(places)} changes without"
                f" the question about {phrase}: they are not listed; raise the limit"
            )
            break
        difference = _difference(*asker.ask(question, sets))
        score = place.score * abs(difference)
        if score >= min_score:
            word = "new" if difference > 0 else "gone"
            changes.append(replace(place, score=score, label=f"{word} {phrase}"))
    changes.sort(key=lambda place: (-place.score, place.box_scene))
    return changes, asker.tokens, (*asker.warnings, *warnings)


def _limit(budget: Budget, stack: StackTokens, tokens: int) -> str:
    """The limit that a next prompt would exceed; empty if none."""
    return "tokens" if tokens > budget.tokens else limit_reached(budget, stack.usages[0].clock)


def _difference(before: Presence, after: Presence) -> float:
    """How much surer the model is at the later date that there is one more, in [-1, 1]."""
    if before.count is not None and after.count is not None and before.count != after.count:
        sure = min(before.probability, after.probability)
        return sure if after.count > before.count else -sure
    return after.probability - before.probability


def _around(tokens: TokenSet, box: Box, margin: float) -> TokenSet:
    """The tokens of a place and those beside it."""
    low = torch.tensor([box.x0 - margin, box.y0 - margin], dtype=torch.float64)
    high = torch.tensor([box.x1 + margin, box.y1 + margin], dtype=torch.float64)
    boxes = tokens.boxes_scene
    return tokens.select(((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(1))
