"""How many there are of something at one place: found one by one in the tiles of the search.

Only models whose errors of detection were measured count so; the others read the number from all
tokens at once.
"""

from __future__ import annotations

from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.focus.visual_search import BASELINES, SearchResult
from geofovea.pipeline.hosts.base import Host, SupportsPresence
from geofovea.pipeline.relations.counts import parse_place_count
from geofovea.pipeline.session.doors import door_to
from geofovea.pipeline.session.plan import AnswerPlan
from geofovea.pipeline.session.reducer import ReducedAnswer
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["count_at_place"]


def count_at_place(
    session: object,
    host: Host,
    plan: AnswerPlan,
    result: SearchResult,
    budget: Budget,
    usage: QuestionUsage,
    calls: EngineCalls,
) -> ReducedAnswer | None:
    """The answer to a question for a number at one place.

    Args:
        session: A ``SceneSession``.
        host: Its model.
        plan: The question, and how it is to be answered.
        result: What was looked at.
        budget: What is left; its tokens hold all native tiles, or nothing is counted.
        usage: What the question spends.
        calls: How tiles and the host are asked.

    Returns:
        None where the model has to answer: the question asks for something else, the search did not
        come down to one place, the budget is too small, the options leave it to the model, or its
        errors of detection are unknown.
    """
    thing = _thing(plan, host)
    shown = None if thing is None else _shown(result)
    if shown is None or len(shown.tiles) * host.grid[0] * host.grid[1] > budget.tokens:
        return None
    counted: ReducedAnswer = door_to("places.counting", "count_shown")(
        session, thing, shown, plan.request, budget, usage, calls
    )
    return counted


def _thing(plan: AnswerPlan, host: Host) -> str | None:
    """What is to be counted one by one; None where the model reads the number."""
    options, focus = plan.request.options, plan.search.focus
    is_left = options.geometry == "off" or plan.choices or plan.request.kind == "prompt"
    # what stops early has asked the model already, and the others are about how it reads tokens
    studied = (options.stop, options.skip, options.resampler)
    is_studied = any(studied) or options.reduction != DEFAULT_REDUCTION
    if is_left or is_studied or focus in BASELINES or focus == "oracle":
        return None
    is_measured = isinstance(host, SupportsPresence) and host.presence.confusion is not None
    return parse_place_count(plan.question) if is_measured else None


def _shown(result: SearchResult) -> TokenSet | None:
    """What was seen of one place at native resolution; None where it is none, or several."""
    finest = result.relevant.looks[-1]
    is_one = result.route is not None and result.route.word == "one"
    return finest.tokens if is_one and finest.level == 0 and len(finest.tokens) else None
