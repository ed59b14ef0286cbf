"""A question as the grammars read it: without what people put around it, and amounts in digits."""

from __future__ import annotations

import re

from geofovea.datasets.scoring.number_words import AMOUNT_WORDS, amount_of
from geofovea.pipeline.relations.names import LONGEST
from geofovea.pipeline.relations.vocabulary import unit_called

__all__ = ["plain_question", "vague_amount"]

_SCENE = (
    r"(?:(?:as )?(?:shown|seen|visible) )?(?:in|on|across) (?:the|this) "
    r"(?:(?:whole|entire|satellite|aerial) )?(?:scene|image|picture|photo|map)"
)
_STRAIGHT = (
    r"(?:as the (?:crow|bird) flies|(?:in|along) a (?:straight|direct) line|in a beeline|"
    r"cent(?:er|re) to cent(?:er|re))"
)
_POLITE = (
    r"(?:please|kindly|(?:can|could|would) you(?: please)?|do you know|tell me|let me know|"
    r"say|i(?: want| need| would like|'d like) to know|i(?: am|'m) wondering|i wonder|"
    r"(?:hi|hello|hey|good (?:morning|afternoon|evening)|excuse me|so|ok|okay|well|now)(?=[,!.])|"
    r"approximately|roughly|about|exactly)"
)
_UNIT = r"((?:square |sq\.? |nautical )?[a-z]+(?:\^?2|²)?)"
_WHETHER = r"(?:if|whether|is it (?:true|correct|right|so|the case) that)"
# what a statement with a question behind it ends with: "the pond is north of the mill, isn't it"
_TAG = r"(?:isn't it|is it not|doesn't it|right|correct|is that (?:right|correct|true|so))"
_ROUGHLY = r"(?:about|around|approximately|approx\.?|roughly|some|circa|ca\.?|more or less)"
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (
            r"[ ?.!]+(?:please )?answer(?: only)?(?: with| by)? ['\"]?yes['\"]? or ['\"]?no['\"]?",
            "",
        ),
        (r"[ ?.!,]+(?:please|thanks(?: a lot)?|thank you(?: very much)?|cheers)$", ""),
        (r"[ ?.!,]+please$", ""),
        (r"^(is|are|does|do)n't ", r"\1 "),
        (r"^(what|where|which|how|who)'s ", r"\1 is "),
        (r"^(?:would you say|do you think)(?: that)? (?=the |an? )", "whether "),
        (rf"^(?:{_POLITE}[,!.]? )+", ""),
        # every number has its error, and what is called equal may differ by a tenth
        (rf"^(how (?:far|large|big|long|wide|many|much)),? {_ROUGHLY},? ", r"\1 "),
        (rf"\b{_ROUGHLY} (?=(?:an? )?\d|(?:as|the same|equally|equidistant|twice|half) )", ""),
        (r",? (?:approximately|roughly|more or less)$", ""),
        (rf"^{_STRAIGHT},? ", ""),
        (rf",? {_STRAIGHT}(?=$|,? in )", ""),
        (rf"^{_SCENE},? (?=how |what |which |where |is )", ""),
        (rf",? {_SCENE}(?=$|,)", ""),
        # "in kilometers, how far is ..." is "how far is ..., in kilometers"
        (rf"^in {_UNIT},? ((?:how|what|which) .*)$", r"\2 in \1"),
        # ... and so is "how far (in kilometers) is ..."
        (rf"^(.*?)(?: \(in {_UNIT}\),?|, in {_UNIT},) (.*)$", r"\1 \4 in \2\3"),
        (rf" \(in {_UNIT}\)$", r" in \1"),
        (rf"^((?:which|what|how much) (?:distance|area)) in {_UNIT} (.*)$", r"\1 \3 in \2"),
        # "whether the pond is north of ..." is "is the pond north of ..."
        (rf"^{_WHETHER} ([^,]+?) (?:is|lies|stands|sits) ", r"is \1 "),
        (rf"^([^,]+?) (?:is|lies|stands|sits) ([^,]+), {_TAG}$", r"is \1 \2"),
        # "of the pond and the mill, which one is ..." is "which of the pond and the mill is ..."
        (
            r"^(?:of|among|between|out of) (.*), (?:which|what)(?: one)? (is|lies|covers|has) ",
            r"which of \1 \2 ",
        ),
        (r"\bgreat(?=(?:er|est) (?:area|land|ground|space|surface)\b)", "larg"),
        (r"^which one of ", "which of "),
        (
            r"^(?:measure|calculate|compute|determine|estimate|get|find|give(?: me)?|show(?: me)?|"
            r"state|report|provide|work out) "
            r"(?=(?:the )?(?:\w+[ -]){0,2}(?:distance|area|size|length|width|bearing) )",
            "",
        ),
    )
)

_UNIT_WORDS = r"(?P<unit>(?:square |nautical )?[a-z]+)\b"
_IN_WORDS = re.compile(
    rf"\b(?P<words>{AMOUNT_WORDS})(?P<of>(?: of)?(?: an?)?) {_UNIT_WORDS}"
    r"(?P<more> and (?:an?|one) (?:half|quarter)\b)?"
)
_HALF_SIGN = re.compile(r"(?:\b(?P<whole>\d+)(?: and a half| ?½| 1/2)|(?<!\d)(?:½|1/2))(?: an?)? ")
# "a mile" is one only where it bounds something
_BOUND = re.compile(r"\b(?:within|than|over|under|to|least|most|about|around|roughly) $")
_VAGUE = re.compile(
    r"\b(?:within|than|over|under|about|only|just|to|is) (?P<amount>(?:a few|few|several|"
    r"a couple of|a couple|a handful of|some|many|dozens of|tens of|hundreds of|thousands of)"
    rf"(?: (?:dozen|hundred|thousand))?) {_UNIT_WORDS}"
)


def vague_amount(question: str) -> str | None:
    """The words of a bound that is no number, such as ``a few hundred meters``; else None.

    Args:
        question: English, in any case and spacing.
    """
    vague = _VAGUE.finditer(plain_question(question))
    units = ((match["amount"], match["unit"]) for match in vague)
    return next((f"{amount} {unit}" for amount, unit in units if unit_called(unit)), None)


def _in_digits(text: str) -> str:
    """A text with its amounts in digits: ``half a kilometer`` is ``0.5 kilometer``."""

    def half(match: re.Match[str]) -> str:
        return f"{int(match['whole'] or 0) + 0.5:g} "

    def digits(match: re.Match[str]) -> str:
        words = match["words"]
        is_bare = words in ("a", "an") and not match["more"]
        if is_bare and not _BOUND.search(match.string[: match.start()]):
            return match[0]
        # half a mile, and half of it, but not "two of a mile"
        is_share = re.search(r"(?:half|thirds?|quarters?)(?: an?)?$", words) is not None
        number = re.sub(r" an?$", "", words) if is_share else words
        amount = amount_of(f"{number}{match['more'] or ''}")
        is_number = amount is not None and (is_share or not match["of"])
        if not is_number or unit_called(match["unit"]) is None:
            return match[0]
        return f"{amount:.6g} {match['unit']}"

    return _IN_WORDS.sub(digits, _HALF_SIGN.sub(half, text))


def plain_question(question: str) -> str:
    """A question in lower case, without courtesies and without what every answer is anyway.

    Amounts in words become digits. Distances are straight lines, and what is asked about lies in
    the scene. ``Please tell me how far the pond is from the mill, as the crow flies`` is ``how far
    the pond is from the mill``.

    Returns:
        The words; empty where there are too many to be read.
    """
    if len(question) > LONGEST:
        return ""
    text = " ".join(question.lower().replace("’", "'").split()).rstrip(" ?.!")
    text = _in_digits(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.rstrip(" ?.!,")
