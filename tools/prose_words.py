"""Which words our prose avoids: British spellings, and words that only we would use."""

from __future__ import annotations

import re

# stems before -our, which Americans write -or
_OUR = "arm behavi clam col endeav fav flav hon hum lab neighb parl rum sav tum vap vig"
# stems before -ise, which Americans write -ize
_ISE = (
    "analog apolog categor central character computer crystall custom digit emphas equal final "
    "formal general generic harmon initial item legal local mater maxim memor minim mobil modern "
    "neutral normal optim organ parallel penal polar popular prior public quant random recogn "
    "regular reorgan serial special specific standard summar symbol synchron synthes "
    "token util vector visual"
)
_PLAIN = {
    "analyse": "analyze", "analysed": "analyzed", "analysing": "analyzing",
    "artefact": "artifact", "artefacts": "artifacts", "burnt": "burned", "catalogue": "catalog",
    "catalogues": "catalogs", "centre": "center", "centred": "centered", "centres": "centers",
    "cheque": "check", "defence": "defense", "fibre": "fiber", "fulfil": "fulfill",
    "grey": "gray", "greyish": "grayish", "greys": "grays", "greyscale": "grayscale",
    "judgement": "judgment", "kilometre": "kilometer", "kilometres": "kilometers",
    "learnt": "learned", "licence": "license", "licences": "licenses", "likeable": "likable",
    "litre": "liter", "metre": "meter", "metres": "meters", "micrometre": "micrometer",
    "micrometres": "micrometers", "millimetre": "millimeter", "mould": "mold",
    "offence": "offense", "practise": "practice", "programme": "program",
    "programmes": "programs", "sceptical": "skeptical", "spelt": "spelled", "storey": "story",
    "sulphur": "sulfur", "theatre": "theater", "towards": "toward", "tyre": "tire",
    "whilst": "while", "cancelled": "canceled", "cancelling": "canceling",
    "labelled": "labeled", "labelling": "labeling", "levelled": "leveled",
    "modelled": "modeled", "modelling": "modeling", "signalled": "signaled",
    "travelled": "traveled", "travelling": "traveling", "tunnelled": "tunneled",
    "unlabelled": "unlabeled",
}  # fmt: skip


def _american() -> dict[str, str]:
    words = dict(_PLAIN)
    for stem in _OUR.split():
        for end in ("", "s", "ed", "ing", "ful", "less", "able", "hood", "hoods", "ite", "ites"):
            words[f"{stem}our{end}"] = f"{stem}or{end}"
    for stem in _ISE.split():
        for end in ("e", "es", "ed", "er", "ers", "ing", "ation", "ations", "able"):
            words[f"{stem}is{end}"] = f"{stem}iz{end}"
    return words


AMERICAN: dict[str, str] = _american()
"""British spellings, in lower case, and what to write instead.

``harbour`` is not among them: the synthetic scenes have a site of that name.
"""

BRITISH_WORD = re.compile(
    r"(?<![\w/.-])(" + "|".join(sorted(AMERICAN, key=len, reverse=True)) + r")(?![\w/]|\.\w)",
    re.IGNORECASE,
)

PHRASES: dict[str, str] = {
    "first of all": "first",
    "for ever": "forever",
    "go on with": "continue with",
    "goes on where": "resumes where",
    "goes on with": "continues with",
    "going on with": "continuing with",
    "of somebody else": "of others",
}
"""Phrases that can be replaced wherever they stand."""

HOUSE_WORDS: dict[str, str] = PHRASES | {
    r"a question in company|questions in company": "questions answered together",
    r"dearness|dearer|dearest": "cost, more expensive",
    r"how sure is not known": "confidence unknown",
    r"map of the house|the house": "the architecture, the project",
    r"seen from above": "visible on the overview",
    r"sureness": "confidence",
    r"the way in": "the path of the search",
    r"who works": "where to run",
    r"whereof|thereof|therefrom|whereby|wherein": "a plainer word",
}
"""Patterns of words that a reader would stumble over, and what to write instead."""

HOUSE_WORD = re.compile(
    r"\b(" + "|".join(f"(?:{pattern})" for pattern in HOUSE_WORDS) + r")\b", re.IGNORECASE
)
REPLACEABLE = re.compile(f"{BRITISH_WORD.pattern}|\\b(?:{'|'.join(PHRASES)})\\b", re.IGNORECASE)
"""What can be replaced without a look at the sentence."""


def american(word: str) -> str:
    """The American spelling of a British word, or the plain form of a phrase, with its capitals."""
    plain = AMERICAN.get(word.lower()) or PHRASES[" ".join(word.lower().split())]
    if word.isupper():
        return plain.upper()
    return plain.capitalize() if word[0].isupper() else plain


def instead_of(phrase: str) -> str:
    """What to write instead of a house word."""
    for pattern, better in HOUSE_WORDS.items():
        if re.fullmatch(pattern, phrase, re.IGNORECASE):
            return better
    raise KeyError(phrase)
