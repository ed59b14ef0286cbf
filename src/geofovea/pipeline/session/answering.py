"""From what was seen to an answer, under the budget of tokens."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.pipeline.engine.metered_generator import MeteredGenerator
from geofovea.pipeline.focus.stopping import ConfidentStop
from geofovea.pipeline.focus.visual_search import SearchResult
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.session.counting import count_by_groups
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.base import Reduction
from geofovea.regionfocus.selection.kept_tokens import ContextOf, keep_tokens, plain_context
from geofovea.regionfocus.selection.whole_tiles import keep_tiles
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["Reply", "answer_from"]


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
