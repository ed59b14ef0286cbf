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
    r"say|i (?:want|need|would like|'d like) to know|approximately|roughly|about|exactly)"
)
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (
            r"[ ?.!]+(?:please )?answer(?: only)?(?: with| by)? ['\"]?yes['\"]? or ['\"]?no['\"]?",
            "",
        ),
        (r"[ ?.!,]+please$", ""),
        (r"^(what|where|which|how|who)'s ", r"\1 is "),
        (rf"^(?:{_POLITE},? )+", ""),
        (rf"^{_STRAIGHT},? ", ""),
        (rf",? {_STRAIGHT}(?=$|,? in )", ""),
        (rf"^{_SCENE},? (?=how |what |which |where |is )", ""),
        (rf",? {_SCENE}$", ""),
        # "in kilometers, how far is ..." is "how far is ..., in kilometers"
        (r"^in ((?:square )?[a-z]+),? ((?:how|what|which) .*)$", r"\2 in \1"),
        # "of the pond and the mill, which one is ..." is "which of the pond and the mill is ..."
        (
            r"^(?:of|among|between|out of) (.*), (?:which|what)(?: one)? (is|lies|covers|has) ",
            r"which of \1 \2 ",
        ),
        (r"^which one of ", "which of "),
        (
            r"^(?:measure|calculate|compute|determine|estimate|get|find|give(?: me)?|show(?: me)?) "
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
