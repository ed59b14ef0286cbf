"""A number over several places from a model that gives numbers alone: asked once for each place."""

from __future__ import annotations

import math
from dataclasses import dataclass

from geofovea.datasets.scoring.number_words import number_in
from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.pipeline.hosts.base import Speaker
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.selection.allocation import even_shares
from geofovea.regionfocus.selection.kept_tokens import ContextOf, plain_context, reduce_look
from geofovea.regionfocus.selection.places import groups_of, look_at
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["GroupCounts", "count_by_groups"]


@dataclass(frozen=True, slots=True, eq=False)
class GroupCounts:
    """A sum with what it was made of.

    Attributes:
        generation: The sum as text; its one log probability is that of all numbers together. The
            first answer as it is, where none was a number.
        tokens: All tokens that reached the decoder, in reading order.
        numbers: How many each group holds, by the answer; None where the answer was no number.
    """

    generation: Generation
    tokens: TokenSet
    numbers: tuple[int | None, ...]


def count_by_groups(
    host: Speaker,
    question: str,
    descent: Descent,
    budget_tokens: int,
    reduction: Reduction,
    context_of: ContextOf = plain_context,
) -> GroupCounts | None:
    """Ask for a number once for each group of touching tiles of the finest level, and add up.

    An object on the seam of two tiles lies inside of their group and is shown whole, so no two
    questions see the same object. What lies outside of all groups is not counted.

    Returns:
        None where there are fewer than two groups, or more than tokens: nothing was asked then.
    """
    finest = descent.looks[-1]
    groups = [look_at(finest, group) for group in groups_of(finest.tokens.tiles)]
    if len(groups) < 2 or len(groups) > budget_tokens:
        return None
    shares = even_shares([len(group.tokens) for group in groups], budget_tokens)
    token_sets: list[TokenSet] = []
    answers = []
    for group, share in zip(groups, shares, strict=True):
        tokens, _ = reduce_look(group, share, reduction, context_of)
        token_sets.append(tokens)
        answers.append(host.generate(question, tokens.in_reading_order()))
    numbers = tuple(number_in(answer.text) for answer in answers)
    present = [number for number in numbers if number is not None]
    # an empty answer has no probability at all
    logs = [math.log(max(confidence_of(answer.log_probabilities), 1e-300)) for answer in answers]
    total = Generation(str(sum(present)), (math.fsum(logs),)) if present else answers[0]
    return GroupCounts(total, TokenSet.concat(token_sets).in_reading_order(), numbers)
