"""A token budget that fits the context of a host beside the question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Host, SupportsContextRoom
from geofovea.regionfocus.budget import Budget

__all__ = ["fitting_budget"]


def fitting_budget(
    host: Host, question: str, budget: Budget, choices: Sequence[str] = ()
) -> tuple[Budget, tuple[str, ...]]:
    """The budget with no more tokens than fit, and a warning if they are fewer than asked for.

    The question is never cut.

    Raises:
        ModelError: If the question and what belongs to it leave no room at all.
    """
    if not isinstance(host, SupportsContextRoom):
        return budget, ()
    room = host.room(question, budget.tiles, choices)
    if room >= budget.tokens:
        return budget, ()
    context = host.capabilities.context
    if room < 1:
        raise ModelError(
            f"the question and the words around {budget.tiles} tiles fill the context of "
            f"{host.name} ({context} tokens): ask in fewer words, or set a smaller tile budget"
        )
    return replace(budget, tokens=room), (
        f"the token budget was cut from {budget.tokens} to {room}: more does not fit the context "
        f"of {host.name} ({context} tokens)",
    )
