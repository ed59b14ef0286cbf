"""What is asked of the map, and which of its names call things, to be looked for tile by tile."""

from __future__ import annotations

from collections.abc import Callable

from geofovea.pipeline.focus.shown_names import ShownNames
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.relations.place_question import NamedThing, PlaceQuestion, ThingQuestion
from geofovea.pipeline.relations.things import is_known_thing
from geofovea.pipeline.session.doors import ClassQuestion
from geofovea.pipeline.session.measuring import asks_of_places
from geofovea.pipeline.session.place_counts import asks_of_part
from geofovea.pipeline.session.plan import AnswerPlan
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.scene import Scene

__all__ = ["asks_of_map"]


def asks_of_map(
    plan: AnswerPlan, host: Host, scene: Scene, pyramid: Pyramid
) -> PlaceQuestion | ClassQuestion | None:
    """What a plan asks of the places of a scene; None where the model answers it.

    Where names call things, and the host can judge whether a tile shows them, it is a question
    about these. The demo models judge by the dual encoder beside them, and others by yes against
    no. With answers to choose from it is a question about places as any other.

    Raises:
        ModelError: If it has to be measured, and the focus looks for no named place; or if the dual
            encoder of the model is damaged.
    """
    question = asks_of_places(plan) or asks_of_part(plan, host)
    if not isinstance(question, PlaceQuestion) or plan.choices:
        return question
    calls_thing = _judge(host, scene, pyramid)
    things = tuple(NamedThing.called(name) for name in question.places if calls_thing(name))
    return ThingQuestion(question, things) if things else question


def _judge(host: Host, scene: Scene, pyramid: Pyramid) -> Callable[[str], bool]:
    """What tells whether a name calls a thing that a host can judge in a tile."""
    can = host.capabilities
    if can.choices and can.domain == "general":
        return lambda name: is_known_thing(NamedThing.called(name).phrase)
    named = ShownNames.of(host, scene, pyramid)
    return lambda name: named is not None and named.thing_called(name) is not None
