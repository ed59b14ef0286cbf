"""A question as the grammars read it: without what people put around it."""

from __future__ import annotations

import re

from geofovea.pipeline.relations.names import LONGEST

__all__ = ["plain_question"]

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


def plain_question(question: str) -> str:
    """A question in lower case, without courtesies and without what every answer is anyway.

    Distances are straight lines, and what is asked about lies in the scene. ``Please tell me how
    far the pond is from the mill, as the crow flies`` is ``how far the pond is from the mill``.

    Returns:
        The words; empty where there are too many to be read.
    """
    if len(question) > LONGEST:
        return ""
    text = " ".join(question.lower().replace("’", "'").split()).rstrip(" ?.!")
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.rstrip(" ?.!,")
