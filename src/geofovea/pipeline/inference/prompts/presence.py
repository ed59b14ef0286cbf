"""Questions to a model about whether something is in a picture, and how many there are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from geofovea.errors import ModelError

__all__ = ["PresenceWords", "singular_of"]

_QUESTION = "Is any {phrase} visible in this picture?"
_ANSWERS = ("yes", "no")
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class PresenceWords:
    """The words by which one model is asked.

    Attributes:
        question: Asks whether something is there; ``{phrase}`` is what is looked for, and
            ``{plural}`` the same in the plural.
        answers: What can be answered. The last one denies; every other says that it is there. Where
            all are whole numbers, they say how many there are.
        attribute: Asks whether something that is there is as its adjectives say, with ``{noun}``
            and ``{attribute}``, answered with yes or no. None asks for the whole phrase at once,
            which most models understand.
        confusion: Hits, misses, false alarms and native tiles of a measurement of its errors; None
            where nobody has measured them.
        share: The least share of its attention that falls on a place which the scene shows, in
            (0, 1]; None where nobody has measured it.

    Raises:
        ModelError: If the questions lack their places, there are fewer than two answers, or the
            share is none.
    """

    question: str = _QUESTION
    answers: tuple[str, ...] = _ANSWERS
    attribute: str | None = None
    confusion: tuple[int, int, int, int] | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.answers, tuple):
            raise ModelError(f"presence answers are a list of texts, got {self.answers!r:.60}")
        texts = (self.question, *self.answers, self.attribute or "")
        if not all(isinstance(text, str) and len(text) <= _LONGEST for text in texts):
            raise ModelError(f"presence words are texts of at most {_LONGEST} characters: {self}")
        if "{phrase}" not in self.question and "{plural}" not in self.question:
            raise ModelError(
                f"the presence question {self.question!r} must contain {{phrase}} or {{plural}}"
            )
        if len(set(self.answers)) != len(self.answers) or len(self.answers) < 2:
            raise ModelError(
                f"presence answers are two or more different texts, got {self.answers}"
            )
        needs = ("{noun}", "{attribute}")
        if self.attribute is not None and not all(name in self.attribute for name in needs):
            raise ModelError(
                f"the attribute question {self.attribute!r} must contain {{noun}} and {{attribute}}"
            )

        if self.share is not None and not (_is_number(self.share) and 0 < self.share <= 1):
            raise ModelError(f"a presence share is a number in (0, 1], got {self.share!r:.60}")
        if self.confusion is not None and not _are_counts(self.confusion):
            raise ModelError(
                f"a confusion is four counts (hits, misses, false alarms, tiles), got "
                f"{self.confusion!r:.60}"
            )

    @property
    def numbers(self) -> tuple[int, ...] | None:
        """How many each answer stands for; None where the answers are not numbers."""
        if all(answer.isascii() and answer.isdecimal() for answer in self.answers):
            return tuple(int(answer) for answer in self.answers)
        return None

    def ask(self, phrase: str) -> str:
        """The question whether something is there."""
        return self.question.replace("{phrase}", phrase).replace("{plural}", plural_of(phrase))

    def parts(self, phrase: str) -> tuple[str, tuple[str, ...]]:
        """What is asked for first, and the adjectives that are asked about after it."""
        *adjectives, noun = phrase.split()
        return (phrase, ()) if self.attribute is None else (noun, tuple(adjectives))

    def ask_attribute(self, noun: str, adjective: str) -> str:
        """The question whether something is as an adjective says."""
        question = self.attribute or ""
        return question.replace("{noun}", singular_of(noun)).replace("{attribute}", adjective)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_counts(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 4
        and all(type(value) is int and value >= 0 for value in values)
        and min(values[0], values[3]) > 0
    )


_IRREGULAR = {
    "bus": "buses",
    "gas": "gases",
    "leaf": "leaves",
    "man": "men",
    "movie": "movies",
    "person": "people",
    "quay": "quays",
    "series": "series",
    "species": "species",
    "wharf": "wharves",
    "woman": "women",
} | {
    f"{before}{word}": f"{before}{word}"
    for word in ("craft", "sheep", "fish")
    for before in ("", "air", "water", "space", "hover")
}
"""Plurals that follow none of the rules below, by their singular."""
_IRREGULAR_SINGULARS = {plural: singular for singular, plural in _IRREGULAR.items()}


def plural_of(phrase: str) -> str:
    """A phrase whose last word is in the plural; one that ends with an s is taken for one."""
    start, _, noun = phrase.rpartition(" ")
    before = f"{start} " if start else ""
    if noun in _IRREGULAR_SINGULARS:
        return phrase
    if noun in _IRREGULAR:
        return f"{before}{_IRREGULAR[noun]}"
    if re.search(r"[a-z][^aeiou\W]y$", noun):
        return f"{before}{noun[:-1]}ies"
    if re.search(r"(?:x|ch|sh)$", noun):
        return f"{phrase}es"
    return phrase if phrase.endswith("s") else f"{phrase}s"


def singular_of(noun: str) -> str:
    """A noun without the ending of its plural: ``trucks``, ``churches``, ``cities``, ``buses``."""
    start, _, last = noun.rpartition(" ")
    before = f"{start} " if start else ""
    if last in _IRREGULAR or last in _IRREGULAR_SINGULARS:
        return f"{before}{_IRREGULAR_SINGULARS.get(last, last)}"
    if re.search(r"[a-z]{2}ies$", noun):
        return f"{noun[:-3]}y"
    if re.search(r"(?:x|ch|sh|ss)es$", noun):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith("ss") else noun
