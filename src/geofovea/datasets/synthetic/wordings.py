"""How questions about a synthetic world are worded, and whether a question is worded so."""

from __future__ import annotations

import re
from functools import cache

from geofovea.datasets.synthetic.vocabulary import COLORS, DIRECTIONS, SITES, SPELLINGS, THINGS

__all__ = ["COMPARE", "FORMS", "VERIFY", "is_worded_as_taught"]

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

_MEANT = {
    "thing": THINGS,
    "site": SITES,
    "other": SITES,
    "color": tuple(COLORS),
    "direction": DIRECTIONS,
}


def is_worded_as_taught(question: str) -> bool:
    """Whether a question is one of the forms above, whatever its case, spelling and punctuation."""
    return _known_forms().fullmatch(_plain(question)) is not None


def _plain(text: str) -> str:
    words = re.sub(r"[?.,!]", " ", text.lower()).split()
    return " ".join(SPELLINGS.get(word, word) for word in words)


@cache
def _known_forms() -> re.Pattern[str]:
    wordings = [wording for pair in FORMS.values() for wording in pair] + [VERIFY, COMPARE]
    forms = []
    for wording in wordings:
        form = _plain(wording)
        for name, words in _MEANT.items():
            form = form.replace(f"{{{name}}}", f"(?:{'|'.join(words)})")
        forms.append(form)
    return re.compile("|".join(forms))
