"""The descents by name, all called in one way."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from geofovea.errors import ModelError
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.best_first import descend_best_first
from geofovea.regionfocus.search.descent import Encode, descend
from geofovea.regionfocus.search.diversity import Diversity
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.search.stopping import StopRule
from geofovea.regionfocus.search.tile_budget import AllToBestSplit
from geofovea.tiling.pyramid import Pyramid

__all__ = ["DESCENTS", "walk"]

DESCENTS: dict[str, Callable[..., Descent]] = {
    "geometric": descend,
    "geometric_chained": partial(descend, chained=True),
    "all_to_best": partial(descend, chained=True, split=AllToBestSplit()),
    "best_first": descend_best_first,
}
"""Level by level with the scores of each level, the same with scores of chains, with as many tiles
as can be for native, and best first."""


def walk(
    name: str,
    pyramid: Pyramid,
    budget_tiles: int,
    encode: Encode,
    focus: Focus,
    *,
    diversity: Diversity | None = None,
    stop: StopRule | None = None,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Descent:
    """Descend by the named policy; see `geofovea.regionfocus.search.descent.descend`.

    Raises:
        ModelError: If there is no such descent.
    """
    if name not in DESCENTS:
        raise ModelError(f"unknown descent {name!r}; choose one of {', '.join(DESCENTS)}")
    return DESCENTS[name](
        pyramid,
        budget_tiles,
        encode,
        focus,
        diversity=diversity,
        stop=stop,
        deadline=deadline,
        clock=clock,
    )
