"""What a page asks: the JSON that arrives is checked, and made into a request of a session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import shapely

from geofovea.errors import BudgetError, GeometryError, QuestionError
from geofovea.pipeline.places.find import checked_phrase
from geofovea.pipeline.session.measuring import check_measurable
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.request import AskRequest, checked_choices
from geofovea.pipeline.viewer.place_work import SEARCH_TILES, TASKS, PageTask, Task
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.region import PIXELS, Region, region_from_crs
from geofovea.tiling.scene import Scene

__all__ = ["JOB_FIELDS", "BadJobError", "JobRequest"]

_KEYS = ("scene", "question", "region", "budget", "choices", "task", "sweep", "before")
_MOST_CORNERS = 1000
_LIMITS = tuple(field.name for field in fields(Budget))
JOB_FIELDS = frozenset((*_KEYS, *_LIMITS))
"""What whoever asks can say, and whoever serves does not."""


class BadJobError(QuestionError):
    """A job that no page would send: a part of it is missing, or of the wrong kind."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """A question in the words of a page.

    Attributes:
        scene: Id of the scene.
        question: What is asked.
        region: ``{"box": [x0, y0, x1, y1]}`` or ``{"polygon": [[x, y], ...]}`` in scene pixels;
            None for the whole scene.
        budget: Limits by name, none above those of the server; None for the server's.
        choices: Answers to choose from.
        task: ``ask`` the question, ``find`` or ``count`` what it names, or list the ``changes`` of
            what it names since an earlier scene; of everything if it is empty. Agents also
            ``measure``: the answer is computed, or there is none.
        sweep: Whether finding looks at every native tile, and not only at the likeliest.
        before: Id of the earlier scene, for ``changes`` and ``compare``; the latter comes from
            agents alone.
    """

    scene: str
    question: str
    region: Mapping[str, Any] | None = None
    budget: Mapping[str, Any] | None = None
    choices: tuple[str, ...] = ()
    task: Task = "ask"
    sweep: bool = False
    before: str = ""

    @classmethod
    def from_json(cls, body: Any) -> JobRequest:
        """Read the body of a request.

        Raises:
            BadJobError: If it is not one.
        """
        if not isinstance(body, dict) or not set(body) <= set(_KEYS):
            raise BadJobError(f"a job is an object with {', '.join(_KEYS)}; got other members")
        scene, question = body.get("scene"), body.get("question")
        if not isinstance(scene, str) or not isinstance(question, str):
            raise BadJobError("a job names a scene and a question, both texts")
        task = _task(body.get("task", "ask"))
        return cls(
            scene,
            question,
            region=_object_or_none("region", body.get("region")),
            budget=_object_or_none("budget", body.get("budget")),
            choices=_choices(body.get("choices") or ()),
            task=task,
            sweep=_sweep(body.get("sweep", False), task),
            before=_before(body.get("before", ""), scene, task),
        )

    def request(self, scene: Scene, most: Budget, options: AnswerOptions) -> AskRequest:
        """The request of a session; all that can be refused at once is refused here.

        Args:
            scene: What it is about.
            most: The most that may be spent.
            options: How the server answers.

        Raises:
            QuestionError: If the question is empty or too long, asks for no measure where it has
                to, or the choices cannot be meant.
            BudgetError: If a limit is impossible, or above the server's.
            GeometryError: If the region is not a polygon, or outside the scene.
        """
        if self.task != "ask" and self.choices:
            raise BadJobError("choices are for questions: leave them out for other tasks")
        request = AskRequest(
            self._words(),
            self._spending(most),
            options,
            region=None if self.region is None else _region(self.region, scene),
            choices=checked_choices(self.choices),
        )
        if self.task == "measure":
            return replace(request, measure=check_measurable(request.words()))
        if self.task != "changes":
            request.words()
        return request

    def _words(self) -> str:
        if self.task in ("find", "count") or (self.task == "changes" and self.question):
            return checked_phrase(self.question)
        return self.question

    def _spending(self, most: Budget) -> Budget:
        limits = dict(self.budget or {})
        if self.task in ("find", "changes") and not self.sweep and limits.get("tiles") is None:
            limits["tiles"] = min(SEARCH_TILES, most.tiles)
        return _budget(limits, most)


def _object_or_none(name: str, value: Any) -> dict[str, Any] | None:
    if value is not None and not isinstance(value, dict):
        raise BadJobError(f"{name} is an object or null")
    return value


def _choices(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise BadJobError("choices are a list of texts")
    return tuple(value)


def _task(value: Any) -> PageTask:
    for task in TASKS:
        if value == task:
            return task
    raise BadJobError(f"task is one of {', '.join(TASKS)}, got {value!r:.60}")


def _sweep(value: Any, task: Task) -> bool:
    if not isinstance(value, bool) or (value and task != "find"):
        raise BadJobError("sweep is true or false, and true for find alone")
    return value


def _before(value: Any, scene: str, task: Task) -> str:
    if not isinstance(value, str) or bool(value) != (task == "changes"):
        raise BadJobError("before names the earlier scene, for the task changes alone")
    if value == scene:
        raise BadJobError("a change lies between two scenes: name another one as before")
    return value


def _budget(limits: Mapping[str, Any], most: Budget) -> Budget:
    unknown = set(limits) - set(_LIMITS)
    if unknown:
        raise BudgetError(f"a budget limits {', '.join(_LIMITS)}; got {min(unknown)!r:.60}")
    values = {name: getattr(most, name) for name in _LIMITS}
    for name, value in limits.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BudgetError(f"a limit is a number, got {value!r:.60} for {name}")
        allowed = values[name]
        if allowed is not None and value > allowed:
            raise BudgetError(f"this server allows {name} up to {allowed}, got {value}")
        values[name] = value
    return Budget(**values)


def _region(place: Mapping[str, Any], scene: Scene) -> Region:
    if set(place) == {"box"}:
        shape = shapely.box(*_numbers(place["box"], 4))
    elif set(place) == {"polygon"}:
        corners = place["polygon"]
        if not isinstance(corners, list) or not 3 <= len(corners) <= _MOST_CORNERS:
            raise GeometryError(f"a polygon has 3 to {_MOST_CORNERS} corners")
        shape = shapely.Polygon([_numbers(corner, 2) for corner in corners])
    else:
        raise GeometryError(
            'a region is {"box": [x0, y0, x1, y1]} or {"polygon": [[x, y], ...]} in scene pixels'
        )
    return region_from_crs(scene, shape, PIXELS)


def _numbers(values: Any, count: int) -> Sequence[float]:
    is_list = isinstance(values, list) and len(values) == count
    plain = is_list and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not plain or not all(abs(v) < 1e9 and math.isfinite(v) for v in values):
        raise GeometryError(f"a place is {count} numbers in scene pixels, got {values!r:.60}")
    return [float(value) for value in values]
