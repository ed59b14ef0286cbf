"""One question and how it is to be answered."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Literal

from geofovea._arguments import check_flag, shown
from geofovea.errors import BudgetError, QuestionError
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.inference.prompts.finished_prompt import FinishedPrompt
from geofovea.pipeline.relations.superlatives import Measurable
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.region import Region, checked_region
from geofovea.tiling.pyramid import Box

__all__ = [
    "MAX_QUESTION_LENGTH",
    "MOST_CHOICES",
    "AskRequest",
    "budget_of",
    "checked_budget",
    "checked_choices",
    "is_blank",
    "limited",
    "requests_of",
    "unusual_limits",
    "writable",
]

MAX_QUESTION_LENGTH = 2000
"""Of what a person types. What comes out of tables is bounded by the context of the model."""

MOST_CHOICES = 26
_LONGEST_CHOICE = 500

_LONGEST = {"typed": MAX_QUESTION_LENGTH, "listed": 10**6, "prompt": 10**6}


@dataclass(frozen=True, slots=True, eq=False)
class AskRequest:
    """A question with the arguments of ``SceneSession.ask``, where they are explained.

    Attributes:
        options: How it is answered.
        kind: ``typed`` by a person, ``listed`` in a table of questions, or the finished ``prompt``
            of a benchmark or a harness, which is asked exactly as it is.
        measure: What has to be computed from where places lie, with no answer of the model in its
            stead; None lets the words and the options decide.
        stated: Names of the limits that somebody chose, so that one that is equal to the model's
            own for one answer limits a search, too; None where that is not known.
    """

    question: str
    budget: Budget | None = None
    options: AnswerOptions = field(default_factory=AnswerOptions)
    boxes: Sequence[Box] = ()
    concentrated: bool = True
    region: Region | None = None
    choices: Sequence[str] = ()
    kind: Literal["typed", "listed", "prompt"] = "typed"
    measure: Measurable | None = None
    stated: frozenset[str] | None = None

    def __post_init__(self) -> None:
        checked_budget(self.budget)
        checked_region(self.region)
        check_flag("concentrated", self.concentrated, QuestionError)

    @property
    def can_be_batched(self) -> bool:
        """Whether it costs the same beside others: time and memory are limits of all together."""
        budget = self.budget or Budget()
        limits = (budget.seconds, budget.host_ram_mb, budget.device_ram_mb)
        return self.options.descent != "published" and all(limit is None for limit in limits)

    def words(self) -> str:
        """The question without blanks around it; a finished prompt as it is.

        Raises:
            QuestionError: If it is not text, is empty or too long, or holds what cannot be encoded.
        """
        words = writable(self.question, "the question").strip()
        if is_blank(words):
            raise QuestionError("the question is empty: ask something about the scene")
        if len(words) > (most := _LONGEST[self.kind]):
            raise QuestionError(
                f"the question has {len(words)} characters, at most {most} are taken: ask one "
                "thing at a time"
            )
        return FinishedPrompt(self.question) if self.kind == "prompt" else words


def writable(text: object, what: str) -> str:
    """A text that can be written down.

    Args:
        text: As it was given.
        what: What it is, for the message.

    Raises:
        QuestionError: If it is not text, or holds half a character, as bytes of another encoding
            become on the command line.
    """
    if not isinstance(text, str):
        raise QuestionError(f"{what} is a text, got {text!r:.60}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise QuestionError(
            f"{what} holds {text[error.start]!r} at place {error.start + 1}, which is no character:"
            " write it in UTF-8"
        ) from error
    return text


def is_blank(text: str) -> bool:
    """Whether a text shows nothing: blanks, and letters that cannot be seen."""
    return all(letter.isspace() or unicodedata.category(letter) in ("Cc", "Cf") for letter in text)


def checked_budget(budget: Budget | None) -> Budget | None:
    """The budget itself.

    Raises:
        BudgetError: If it is something else, such as a number of tiles.
    """
    value: object = budget
    if value is None or isinstance(value, Budget):
        return budget
    raise BudgetError(
        f"budget is a geofovea.Budget, got {shown(value)}; for a number of tiles give tiles="
    )


def budget_of(
    host: Host, budget: Budget | None, tiles: int | None = None, tokens: int | None = None
) -> Budget | None:
    """A budget with some limits replaced; None, the host's own, where nothing was given.

    Raises:
        BudgetError: If it is not a budget, or a limit is impossible.
    """
    limits = {"tiles": tiles, "tokens": tokens}
    changes = {name: limit for name, limit in limits.items() if limit is not None}
    return replace(checked_budget(budget) or host.default_budget, **changes) if changes else budget


def unusual_limits(budget: Budget, host: Host) -> set[str]:
    """Names of the limits that are not just the model's own for one answer."""
    usual = host.default_budget
    names = (limit.name for limit in fields(budget))
    return {name for name in names if getattr(budget, name) != getattr(usual, name)}


def limited(
    request: AskRequest,
    host: Host,
    budget: Budget | None,
    tiles: int | None = None,
    tokens: int | None = None,
) -> AskRequest:
    """A request under a budget with some limits replaced, which are stated.

    Of the budget itself, those limits are stated that are not just the model's own for one answer.

    Raises:
        BudgetError: If it is not a budget, or a limit is impossible.
    """
    limits = budget_of(host, budget, tiles, tokens)
    beside = {"tiles": tiles, "tokens": tokens}
    stated = {name for name, limit in beside.items() if limit is not None}
    if stated and limits is not None:
        stated |= unusual_limits(limits, host)
    return replace(request, budget=limits, stated=frozenset(stated) or None)


def checked_choices(choices: Sequence[str]) -> tuple[str, ...]:
    """Choices as a model may see them; none stay none.

    Raises:
        QuestionError: If there is only one or too many, or one is empty, too long or repeated.
    """
    if isinstance(choices, str):
        raise QuestionError(f"choices are a list of answers, got the one text {choices!r:.60}")
    if not isinstance(choices, Iterable):
        raise QuestionError(f"choices are a list of answers, got {shown(choices)}")
    cleaned = tuple(" ".join(writable(str(one), "a choice").split()) for one in choices)
    if not cleaned:
        return ()
    if not 2 <= len(cleaned) <= MOST_CHOICES:
        raise QuestionError(f"give 2 to {MOST_CHOICES} choices, got {len(cleaned)}")
    for choice in cleaned:
        if not choice or len(choice) > _LONGEST_CHOICE:
            raise QuestionError(
                f"a choice has 1 to {_LONGEST_CHOICE} characters, got {choice!r:.60}"
            )
    if len(set(cleaned)) != len(cleaned):
        raise QuestionError(f"give each choice once, got {', '.join(cleaned)}")
    return cleaned


def requests_of(questions: Sequence[str | AskRequest]) -> list[AskRequest]:
    """A request for each question; what is not a question is refused when it is its turn.

    Raises:
        QuestionError: If the questions are one text, whose letters would be asked.
    """
    if isinstance(questions, str):
        raise QuestionError(
            f"questions are a list of texts, got the one text {questions!r:.60}: use ask(), or put "
            "it into a list"
        )
    return [each if isinstance(each, AskRequest) else AskRequest(each) for each in questions]
