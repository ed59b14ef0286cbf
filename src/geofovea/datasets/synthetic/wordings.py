"""How questions about a synthetic world are worded, and whether a question is worded so."""

from __future__ import annotations

import random
import re
import unicodedata
from functools import cache

from geofovea.datasets.synthetic.vocabulary import COLORS, DIRECTIONS, SITES, SPELLINGS, THINGS

__all__ = [
    "CHANGE_FORMS",
    "COMPARE",
    "FORMS",
    "LATER_FORMS",
    "LAWN_FORM",
    "PRESENCE",
    "ROOF_FORM",
    "VERIFY",
    "as_written_in_training",
    "is_of_untaught_kind",
    "is_worded_as_taught",
    "other_wording",
]

FORMS = {
    "count": (
        "How many {thing}s are at the {site}?",
        "What is the number of {thing}s at the {site}?",
    ),
    "object background": (
        "What is the {thing} at the {site} standing on?",
        "What is the surface under the {thing} at the {site}?",
    ),
    "object category": (
        "What is the {color} object at the {site}?",
        "What category is the {color} object at the {site}?",
    ),
    "object color": (
        "What is the color of the {thing} at the {site}?",
        "What color is the {thing} at the {site}?",
    ),
    "object shape": (
        "What is the shape of the hall at the {site}?",
        "What shape is the hall at the {site}?",
    ),
    "object status": (
        "What is the status of the {thing} at the {site}?",
        "Is the {thing} at the {site} parked moving or damaged?",
    ),
    "rural or urban": (
        "Is the hall at the {site} located in a rural or urban area?",
        "Is the hall at the {site} in a rural or urban area?",
    ),
}
"""Two wordings of each category but *reasoning*, which has `VERIFY` and `COMPARE`."""

VERIFY = "Is the {thing} at the {site} {color}?"
COMPARE = "Is the {site} {direction} of the {other}?"
LAWN_FORM = "Is the lawn at the {site} healthy?"
ROOF_FORM = "Is the roof of the hall at the {site} a lawn?"
PRESENCE = "Is there a {phrase} in the picture?"

LATER_FORMS = {
    "count": ("How many {thing}s does the {site} have?",),
    "object background": ("Which surface is the {thing} at the {site} on?",),
    "object category": ("Which kind of object at the {site} is {color}?",),
    "object color": ("Which color does the {thing} at the {site} have?",),
    "object shape": ("Which shape does the hall at the {site} have?",),
    "object status": ("Which status does the {thing} at the {site} have?",),
    "rural or urban": ("Does the hall at the {site} lie in a rural or urban area?",),
    "verify": (
        "Does the {thing} at the {site} have the color {color}?",
        "Does the {thing} at the {site} show the color {color}?",
    ),
    "compare": (
        "Does the {site} lie {direction} of the {other}?",
        "Is the {site} further {direction} than the {other}?",
    ),
    "presence": (
        "Is any {phrase} visible in this picture?",
        "Does this picture show a {phrase}?",
    ),
}
"""Wordings that training adds. No bench asks in them, so that its questions stay as they were.

Each has a word that models without them do not know, and that they name instead of answering.
"""

CHANGE_FORMS = {
    "appeared": (
        "What appeared at the {site}?",
        "What is new at the {site}?",
        "Which object appeared at the {site}?",
    ),
    "gone": (
        "What is gone from the {site}?",
        "Which object is gone from the {site}?",
        "What is gone at the {site}?",
    ),
    "new count": (
        "How many new {thing}s are at the {site}?",
        "How many {thing}s appeared at the {site}?",
        "What is the number of new {thing}s at the {site}?",
    ),
    "changed": (
        "Did the {thing} at the {site} change its {attribute}?",
        "Did the {attribute} of the {thing} at the {site} change?",
        "Is the {attribute} of the {thing} at the {site} changed?",
    ),
    "new site": ("Which site is new?", "What site is new?", "Which site appeared?"),
}
"""Wordings of questions about two dates; a bench asks in the first."""

_MARKS = " .,:;!?\u00a1\u00bf\u037e\u061f\u3002"
"""Marks at the ends of a question: of Latin, Spanish, Greek, Arabic and Chinese."""

_MEANT = {
    "thing": THINGS,
    "site": SITES,
    "other": SITES,
    "color": tuple(COLORS),
    "direction": DIRECTIONS,
    "attribute": ("color", "status"),
    "phrase": (*THINGS, *(f"{color} {thing}" for color in COLORS for thing in THINGS)),
}


def is_worded_as_taught(question: str) -> bool:
    """Whether a question is one of the forms above, whatever its case, spelling and punctuation."""
    return _known_forms().fullmatch(_plain(question)) is not None


def is_of_untaught_kind(question: str) -> bool:
    """Whether a question is one that the synthetic world asks and no shipped model has learned."""
    return re.fullmatch(_form_of(ROOF_FORM), _plain(question)) is not None


def as_written_in_training(question: str) -> str:
    """A question in the characters of those above, and with the mark that each of them ends with.

    People leave the mark out, and phones and other scripts have letters, blanks and marks that
    look alike or cannot be seen. A model that learned from these forms alone takes them for words
    that it does not know, and without the mark it waits for the rest of the question.
    """
    alike = unicodedata.normalize("NFKC", question)
    visible = "".join(
        " " if unicodedata.category(letter) == "Cc" else letter
        for letter in alike
        if unicodedata.category(letter) != "Cf"
    )
    return " ".join(visible.split()).strip(_MARKS) + "?"


def _plain(text: str) -> str:
    words = re.sub(r"[?.,!]", " ", as_written_in_training(text).lower()).split()
    return " ".join(SPELLINGS.get(word, word) for word in words)


@cache
def _known_forms() -> re.Pattern[str]:
    taught = (wording for some in _wordings().values() for wording in some)
    # roofs are not among them: lessons with roofs left the part for near infrared at chance
    return re.compile("|".join(map(_form_of, [LAWN_FORM, *taught])))


@cache
def _form_of(wording: str) -> str:
    """A pattern for a wording with any of the words that it may hold."""
    form = _plain(wording)
    for name, words in _MEANT.items():
        form = form.replace(f"{{{name}}}", f"(?:{'|'.join(words)})")
    return form


def other_wording(question: str, rng: random.Random) -> str:
    """A question in one of the wordings of its kind, drawn at random; others stay as they are.

    Args:
        question: As the forms of this module have it.
        rng: Decides which wording.
    """
    for wordings in _wordings().values():
        for wording in wordings:
            names = _pattern(wording).fullmatch(question)
            if names:
                return rng.choice(wordings).format(**names.groupdict())
    return question


@cache
def _wordings() -> dict[str, tuple[str, ...]]:
    """Every wording of every kind of question."""
    first = FORMS | {"verify": (VERIFY,), "compare": (COMPARE,), "presence": (PRESENCE,)}
    return {kind: (*first[kind], *LATER_FORMS[kind]) for kind in first} | CHANGE_FORMS


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(wording)))
