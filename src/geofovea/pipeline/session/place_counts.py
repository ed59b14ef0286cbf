"""How many there are of something at one place: found one by one in the tiles of the search.

In a part of the scene, and around a named place, they are counted as by ``count``.

Only models whose errors of detection were measured count so; the others read the number from all
tokens at once.
"""

from __future__ import annotations

from dataclasses import replace

from geofovea.datasets.scoring.number_words import number_in
from geofovea.pipeline.focus.visual_search import SearchResult, VisualSearch
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.relations.counts import PartCount, parse_part_count, parse_place_count
from geofovea.pipeline.relations.surroundings import unread_area
from geofovea.pipeline.session.doors import door_to
from geofovea.pipeline.session.doubt import answer_in_two_looks, reads_places_alone
from geofovea.pipeline.session.measuring import leaves_all_to_model
from geofovea.pipeline.session.plan import AnswerPlan
from geofovea.pipeline.session.reducer import ReducedAnswer, Reducer
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["area_warnings", "asks_of_part", "counted_or_read"]

_SEVERAL = 2


def counted_or_read(
    session: object,
    host: Host,
    plan: AnswerPlan,
    result: SearchResult,
    budget: Budget,
    search: VisualSearch,
    reducer: Reducer,
) -> ReducedAnswer:
    """The answer from what was looked at: a number at one place is counted, the rest is read.

    The model also reads the number where the search did not come down to one place, the budget is
    too small, the options leave it to the model, or its errors of detection are unknown. Where
    several are found, it reads the number as well, and the larger one is the answer: both ways miss
    things of a crowd rather than invent them.

    Args:
        session: A ``SceneSession``.
        host: Its model.
        plan: The question, and how it is to be answered.
        result: What was looked at.
        budget: What is left; its tokens hold all native tiles, or nothing is counted.
        search: Looked; its calls ask the host, and its usage counts what the question spends.
        reducer: Lets the model answer.
    """
    thing = _thing(plan, host)
    shown = None if thing is None else _shown(result)
    if shown is None or len(shown.tiles) * host.grid[0] * host.grid[1] > budget.tokens:
        return answer_in_two_looks(plan, result, budget, search, reducer)
    counted: ReducedAnswer = door_to("places.counting", "count_shown")(
        session, thing, shown, plan.request, budget, search.usage, search.calls
    )
    left = budget.tokens - counted.reply.tokens_llm
    if int(counted.reply.generation.text) < _SEVERAL or left < 1:
        return counted
    return _larger(counted, reducer.answer(result, replace(budget, tokens=left)))


def asks_of_part(plan: AnswerPlan, host: Host) -> PartCount | None:
    """What a plan asks to be counted in a part of the scene; None where the model answers it."""
    return parse_part_count(plan.question) if reads_places_alone(plan, host) else None


def area_warnings(plan: AnswerPlan) -> tuple[str, ...]:
    """A sentence about an area that a question names and that the model has to make out itself."""
    if leaves_all_to_model(plan) or (words := unread_area(plan.question)) is None:
        return ()
    return (
        f"{words!r} was left to the model, which may answer about another area: only numbers, "
        "presence and extremes are computed within a part of the scene, on one side of a named "
        "place or within a distance of it; limit other questions with region=",
    )


def _larger(counted: ReducedAnswer, read: ReducedAnswer) -> ReducedAnswer:
    """The answer with the larger number, with what both took."""
    number, found = number_in(read.reply.generation.text), int(counted.reply.generation.text)
    warnings, better = counted.reply.warnings, counted
    if number is not None and number > found:
        note = f"the model read {number} from all tokens together; {found} were found one by one"
        warnings, better = (note, *warnings[1:]), read
    return replace(
        better,
        reply=replace(
            better.reply,
            tokens_llm=counted.reply.tokens_llm + read.reply.tokens_llm,
            warnings=(*warnings, *read.reply.warnings),
        ),
        stages=read.stages,
        tokens_end=counted.tokens_end + read.tokens_end,
        runs=(*counted.runs, *read.runs),
    )


def _thing(plan: AnswerPlan, host: Host) -> str | None:
    """What is to be counted one by one; None where the model reads the number."""
    return parse_place_count(plan.question) if reads_places_alone(plan, host) else None


def _shown(result: SearchResult) -> TokenSet | None:
    """What was seen of one place at native resolution; None where it is none, or several."""
    finest = result.relevant.looks[-1]
    is_one = result.route is not None and result.route.word == "one"
    return finest.tokens if is_one and finest.level == 0 and len(finest.tokens) else None
