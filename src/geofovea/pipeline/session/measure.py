"""``geofovea.measure``: one call from a path and two names to a distance."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from geofovea.pipeline.answers.measurement import Measurement
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.relations.grammar import PlaceQuestion
from geofovea.pipeline.session.ask import budget_of, host_of
from geofovea.pipeline.session.model_choice import AUTO
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.strategies import DEFAULT_DESCENT
from geofovea.tiling.opening import open_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import xarray

__all__ = ["measure"]


def measure(
    scene: Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset | xarray.DataTree,
    question: str | PlaceQuestion,
    *,
    model: str | Host = AUTO,
    budget: Budget | None = None,
    tiles: int | None = None,
    tokens: int | None = None,
    focus: str | None = None,
    descent: str = DEFAULT_DESCENT,
    focus_model: str | None = None,
    endpoint: EndpointSettings | str | None = None,
) -> Measurement:
    """Compute how named places lie to one another, how far, or how large they are.

    For many measurements of one scene, ``SceneSession.measure`` keeps what they share; its
    docstring explains the arguments that are not here.

    Args:
        scene: A scene, its path, or an xarray object.
        question: Such as ``distance from the pond to the school``.
        model: As for ``geofovea.ask``, like the limits and ways of looking that follow.
        budget: Limits on tiles, tokens, time and memory.
        tiles: Most tiles to encode, in place of the budget's.
        tokens: Most vision tokens for the decoder, in place of the budget's.
        focus: What finds the places.
        descent: How it goes from coarse to fine.
        focus_model: Of the focus ``similarity``.
        endpoint: Where ``openai:NAME`` is.

    Raises:
        QuestionError: If the question asks for no measure.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
    """
    started = time.perf_counter()
    raster = scene if isinstance(scene, Scene) else open_scene(scene)
    seconds = time.perf_counter() - started
    host = host_of(model, raster, endpoint)
    session = SceneSession(raster, host, open_seconds=seconds)
    return session.measure(
        question,
        budget=budget_of(host, budget, tiles, tokens),
        focus=focus,
        descent=descent,
        focus_model=focus_model,
    )
