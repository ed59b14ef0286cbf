"""From what was seen to an answer, under the budget of tokens.

A number over several places comes from a model that gives numbers alone: it is asked once for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from geofovea.datasets.scoring.number_words import number_in
from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.focus.stopping import ConfidentStop
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.hosts.base import Speaker
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.selection.allocation import even_shares
from geofovea.regionfocus.selection.kept_tokens import (
    ContextOf,
    keep_tokens,
    plain_context,
    reduce_look,
)
from geofovea.regionfocus.selection.places import groups_of, look_at
from geofovea.regionfocus.selection.whole_tiles import keep_tiles
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["GroupCounts", "Reply", "answer_from", "count_by_groups"]


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """An answer and what it was read from.

    Attributes:
        generation: The answer.
        tokens: The tokens that it was read from, in reading order.
        tokens_llm: Vision tokens that reached the decoder, those of probes included.
        warnings: What a careful reader should know.
    """

    generation: Generation
    tokens: TokenSet
    tokens_llm: int
    warnings: tuple[str, ...] = ()


def answer_from(
    generator: MeteredGenerator,
    question: str,
    result: SearchResult,
    budget: Budget,
    reduction: Reduction,
    sure: ConfidentStop | None = None,
    image_tokens: int | None = None,
    context_of: ContextOf = plain_context,
) -> Reply:
    """Choose tokens and let the model answer; a count over an area is added up from its places.

    Args:
        generator: Asks the model.
        question: What is asked.
        result: What was seen.
        budget: Its tokens are never exceeded, those that ``sure`` has spent included.
        reduction: Chooses tokens.
        sure: What asked on the way, with its answer if that was sure enough.
        image_tokens: What one tile costs a host that takes whole tiles; None for others.
        context_of: What the reduction may know of the tokens of a look.

    Raises:
        ModelError: If the reduction requires what the tokens do not have.
    """
    spent = sure.spent if sure else 0
    if sure and sure.generation and sure.tokens is not None:
        return Reply(sure.generation, sure.tokens, spent)
    remaining = budget.tokens - spent
    if image_tokens is not None:
        # it counts over several pictures by itself, and one more question is one more call
        whole = keep_tiles(result.relevant, remaining, image_tokens)
        return Reply(generator.generate(question, whole), whole, spent + len(whole))
    # a number to choose from is not added up of numbers to choose from
    may_count = not generator.choices
    if may_count and result.route and result.route.is_count and result.places:
        counts = count_by_groups(
            generator, question, result.relevant, remaining, reduction, context_of
        )
        if counts:
            used = spent + len(counts.tokens)
            answered = sum(number is not None for number in counts.numbers)
            warning = (
                f"the number is a sum over {answered} of {len(counts.numbers)} places that were "
                "looked at closely; the rest of the scene was not counted"
            )
            return Reply(counts.generation, counts.tokens, used, (warning,))
    tokens, _ = keep_tokens(result.relevant, remaining, reduction, result.places, context_of)
    return Reply(generator.generate(question, tokens), tokens, spent + len(tokens))


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
