"""One question and how it is to be answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from geofovea.errors import QuestionError
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.inference.prompts.finished_prompt import FinishedPrompt
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_REDUCTION
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box

__all__ = ["MAX_QUESTION_LENGTH", "Asked"]

MAX_QUESTION_LENGTH = 2000
"""Of what a person types. What comes out of tables is bounded by the context of the model."""

_LONGEST = {"typed": MAX_QUESTION_LENGTH, "listed": 10**6, "prompt": 10**6}


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A question with the options of ``SceneSession.ask``, where they are explained.

    Attributes:
        kind: ``typed`` by a person, ``listed`` in a table of questions, or the finished ``prompt``
            of a benchmark or a harness, which is asked exactly as it is.
    """

    question: str
    budget: Budget | None = None
    focus: str | None = None
    reduction: str = DEFAULT_REDUCTION
    descent: str = DEFAULT_DESCENT
    route: str = "auto"
    stop: StopAt | None = None
    boxes: Sequence[Box] = ()
    concentrated: bool = True
    region: Region | None = None
    choices: Sequence[str] = ()
    focus_model: str | None = None
    kind: Literal["typed", "listed", "prompt"] = "typed"

    @property
    def may_have_company(self) -> bool:
        """Whether it costs the same beside others: time and memory are limits of all together."""
        budget = self.budget or Budget()
        limits = (budget.seconds, budget.host_ram_mb, budget.device_ram_mb)
        return self.descent != "published" and all(limit is None for limit in limits)

    def words(self) -> str:
        """The question without blanks around it; a finished prompt as it is.

        Raises:
            QuestionError: If it is empty or too long.
        """
        words = self.question.strip()
        if not words:
            raise QuestionError("the question is empty: ask something about the scene")
        if len(words) > (most := _LONGEST[self.kind]):
            raise QuestionError(
                f"the question has {len(words)} characters, at most {most} are taken: ask one "
                "thing at a time"
            )
        return FinishedPrompt(self.question) if self.kind == "prompt" else words
