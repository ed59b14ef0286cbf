"""Numbers in English: whole ones in digits and in words, and the halves and quarters of amounts."""

from __future__ import annotations

import re

__all__ = ["AMOUNT_WORDS", "amount_of", "number_in", "number_of"]

_UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NUMBERS = {word: value for value, word in enumerate(_UNITS)} | {
    word: 10 * value for value, word in enumerate(_TENS, 2)
}
_MOST_DIGITS = 18

_DIGIT_WORD = "|".join(_UNITS[1:10])
_BELOW_HUNDRED = rf"(?:{'|'.join(_TENS)})(?:[\s-]+(?:{_DIGIT_WORD}))?|(?:{'|'.join(_UNITS)})"
_IN_WORDS = (
    rf"(?:{_DIGIT_WORD})[\s-]+hundred(?:\s+(?:and\s+)?(?:{_BELOW_HUNDRED}))?|{_BELOW_HUNDRED}"
)
_IN_DIGITS = r"\d{1,3}(?:,\d{3})+(?!\d|,\d)(?:\.\d+)?|\d+(?:\.\d+)?"
_WORDS = re.compile(_IN_WORDS)
_NUMBER = re.compile(rf"(?P<digits>{_IN_DIGITS})|\b(?P<words>{_IN_WORDS})\b")
# what makes a number that stands beside it another one
_MAGNITUDE = re.compile(r"\b(?:hundred|thousand|million|billion|dozen)s?\b")

_SHARES = {"half": 2, "third": 3, "quarter": 4}
_SHARE = rf"(?P<share>{'|'.join(_SHARES)})s?"
_FRACTION = re.compile(rf"(?:(?P<whole>.+) and )?(?:(?P<count>an?|{_DIGIT_WORD})[ -])?{_SHARE}")
_AMOUNT_WORD = rf"(?:{'|'.join((*_UNITS, *_TENS, 'hundred', 'thousand', 'an?', *_SHARES))})s?"

AMOUNT_WORDS = rf"{_AMOUNT_WORD}(?:[ -](?:and[ -])?{_AMOUNT_WORD})*"
"""A pattern of words before a unit: ``half``, ``one and a half``, ``three quarters``."""


def number_of(text: str) -> int | None:
    """The whole number that a text is, in digits or in lower-case words up to 999; else None.

    Words that make no number together are none: neither ``two three`` nor ``two and three`` is 5.
    """
    if re.fullmatch(rf"-?[0-9]{{1,{_MOST_DIGITS}}}", text):
        return int(text)
    if _WORDS.fullmatch(text) is None:
        return None
    before, hundred, after = text.rpartition("hundred")
    total = 100 * _NUMBERS[before.strip(" -\t\n")] if hundred else 0
    return total + sum(_NUMBERS[word] for word in re.split(r"[\s-]+", after) if word in _NUMBERS)


def amount_of(words: str) -> float | None:
    """What stands before a unit, as a number: ``a``, ``half``, ``two and a half``, ``a thousand``.

    Args:
        words: In lower case, as `AMOUNT_WORDS` matches them.

    Returns:
        None where they make no number together.
    """
    if fraction := _FRACTION.fullmatch(words):
        whole = amount_of(fraction["whole"]) if fraction["whole"] else 0.0
        count = amount_of(fraction["count"]) if fraction["count"] else 1.0
        if whole is None or count is None:
            return None
        return whole + count / _SHARES[fraction["share"]]
    text = re.sub(r"^an?(?=$| )", "one", words)
    thousands = re.fullmatch(r"(.+) thousand", text)
    number = number_of(thousands[1] if thousands else text)
    return None if number is None else number * (1000.0 if thousands else 1.0)


def number_in(text: str) -> int | None:
    """The first number of a text, where it is a whole one.

    Digits may be set off by commas. Words are understood up to 999.

    Returns:
        None for a text without a number, or one whose first number has a fraction, more than 18
        digits, or a magnitude that is not understood, such as ``two thousand``.
    """
    lower = text.lower()
    match = _NUMBER.search(lower)
    if match is None or _MAGNITUDE.search(lower[: match.start()] + lower[match.end() :]):
        return None
    if match["digits"] is None:
        return number_of(match["words"])
    whole, _, fraction = match["digits"].replace(",", "").partition(".")
    is_whole = not fraction.strip("0") and len(whole) <= _MOST_DIGITS
    return int(whole) if is_whole else None
