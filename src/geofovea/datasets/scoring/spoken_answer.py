r"""What a model answers, without what it thinks aloud and without the marks around its answer.

Models think between marks of their own: tags (``<think>``), square brackets, triangles, special
words, channels, and spare words of their vocabulary (MedGemma). Servers and harnesses leave them in
more often than not. All ways into an answer use this one reading: endpoints, models in process, and
answers files that are scored.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = [
    "THOUGHT_CLOSES",
    "THOUGHT_OPENS",
    "SpokenAnswer",
    "closing_mark",
    "opens_thought",
    "spoken_answer",
]

_THOUGHT_WORDS = (
    r"(?:(?!no_|end_|begin_|start_)[a-z]{1,20}[:_])?"
    r"(?:think(?:ing)?|thoughts?|reason(?:ing)?|analysis|reflection|rationale|"
    r"scratch_?pad|inner_monologue|chain_of_thought|cot)"
)
THOUGHT_OPENS = (
    rf"<\s*{_THOUGHT_WORDS}(?:\s[^<>]*)?(?<!/)>|\[{_THOUGHT_WORDS}\]|◁\s*{_THOUGHT_WORDS}\s*▷"
    rf"|<\|(?:(?:begin|start)_(?:of_)?)?{_THOUGHT_WORDS}(?:_(?:begin|start))?\|>"
    rf"|<\|channel>\s*(?:{_THOUGHT_WORDS})\b|<unused94>(?:\s*{_THOUGHT_WORDS}\b)?"
)
"""A pattern, without regard to case, of what opens a thought."""
THOUGHT_CLOSES = (
    rf"<\s*/\s*{_THOUGHT_WORDS}\s*>|\[/{_THOUGHT_WORDS}\]|◁\s*/\s*{_THOUGHT_WORDS}\s*▷"
    rf"|<\|(?:/|end_(?:of_)?){_THOUGHT_WORDS}\|>|<\|{_THOUGHT_WORDS}_end\|>|<channel\|>|<unused95>"
)
"""Likewise of what closes one."""
_OPEN = re.compile(THOUGHT_OPENS, re.IGNORECASE)
_CLOSE = re.compile(THOUGHT_CLOSES, re.IGNORECASE)
_SPECIAL_OPEN = re.compile(r"<\|(begin|start)?(_of)?_?(.*?)_?(begin|start)?\|>", re.IGNORECASE)
_NO_THOUGHT = re.compile(rf"<\s*{_THOUGHT_WORDS}\s*/>\s*", re.IGNORECASE)
"""A tag that opens and closes at once."""
_ESCAPED = re.compile(rf"&lt;(\s*/?\s*(?:{_THOUGHT_WORDS}|answer)\s*)&gt;", re.IGNORECASE)
"""Tags as gateways write them that make text fit for HTML."""
_WIDE = re.compile(r"<\uff5c([^<>\uff5c]{1,60})\uff5c>")
"""Special words with bars of full width, and a low block between their words."""
_BARE_OPEN = re.compile(r"<\|think(?:ing)?\|>", re.IGNORECASE)
"""Some close this one with the word that ends a message."""
_BARE_CLOSE = re.compile(rf"<\|end\|>|{_CLOSE.pattern}", re.IGNORECASE)

_CHANNEL = re.compile(
    r"(?:<\|start\|>[^<]{0,80})?<\|channel\|>\s*(?P<name>\w+)[^<]{0,80}"
    r"(?:<\|constrain\|>[^<]{0,80})?<\|message\|>"
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
# channels whose special words were left out when the ids became text
_GLUED_FINAL = re.compile(r"^\s*(?:analysis|commentary).*assistant\s*final", re.DOTALL)
_GLUED_THOUGHT = re.compile(r"^\s*analysis[A-Z]")
_PHRASES = (
    ("here is my thought process:", "here is my response:"),
    ("here are my reasoning steps:", "[begin final response]"),
    ("thinking...\n", "...done thinking."),
)

_ANSWER = r"(?:final_?)?(?:answer|response|output|solution|result)|conclusion|final"
_WRAPPED = re.compile(
    rf"<\s*(?P<tag>{_ANSWER})(?:\s[^<>]*)?>(?P<in_tag>.*?)(?:<\s*/\s*(?P=tag)\s*>|$)"
    r"|<\|begin_of_box\|>(?P<in_box>.*?)(?:<\|end_of_box\|>|$)"
    r"|<\|begin_of_solution\|>(?P<in_solution>.*?)(?:<\|end_of_solution\|>|$)"
    r"|<\|start_response\|>(?P<in_response>.*?)(?:<\|end_response\|>|$)"
    r"|\[begin final response\](?P<in_final>.*?)(?:\[end final response\]|$)"
    r"|\$*\\boxed\{(?P<in_boxed>(?:[^{}]|\{[^{}]{0,500}\}){0,500})\}\$*",
    re.DOTALL | re.IGNORECASE,
)
_STRAY = re.compile(
    rf"<\s*/\s*(?:{_ANSWER})\s*>|<\|end_of_box\|>|<\|end_of_solution\|>|<\|end_response\|>"
    r"|\[end final response\]",
    re.IGNORECASE,
)
_IN_LATEX = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{([^{}]*)\}")
_END = re.compile(
    r"(?:</s>|<eos>|<pad>|<end_of_utterance>|<end_of_turn>|<turn\|>|<\|[A-Za-z][\w-]{0,40}\|>)\Z"
)
_LONGEST_END = 50
_MARK = re.compile(
    r"<\|[^<>|]{1,40}\|?>|<[a-z_]{1,40}\|>|</?[A-Za-z][\w:.-]{0,40}(?:\s[^<>]{0,80})?>"
    r"|\[/?[A-Z][A-Z_ ]{2,30}\]|◁[^◁▷]{1,30}▷"
)
# most answers are one word, and millions of them are judged
_MAY_HOLD_MARKS = re.compile(
    r"[<\[◁\\]|&lt;|^\s*(?:analysis|commentary|here |thinking\.)", re.IGNORECASE
)
_MARK_ENDS = {"<": ">", "[": "]", "◁": "▷", "&": "gt;"}
"""What a mark begins with, and what ends one."""
_CHANNEL_BEGINS = re.compile(
    r"<\|(?:start|channel)\|>(?!.*<\|message\|>)|<\|channel>\s*\w*\Z", re.DOTALL
)
_LONGEST_MARK = 120
_MOST_MARKS = 8
"""One in the other, or one behind the other; texts of others may hold any number."""


@dataclass(frozen=True, slots=True)
class SpokenAnswer:
    """An answer as it is meant.

    Attributes:
        text: What stands behind the thoughts, out of its box; empty where the thoughts never end.
        unthought: The same with the marks around the answer left in their places.
        thought_aloud: Whether there were thoughts.
        is_endless: Whether the thoughts never end, so that nothing was answered.
        mark: A mark of a kind that is not known and stands in the text still; or empty.
    """

    text: str
    unthought: str
    thought_aloud: bool = False
    is_endless: bool = False
    mark: str = ""

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a careful reader should know about it."""
        messages = []
        if self.is_endless:
            messages.append(
                "the model thought aloud and never came to an answer: the answer is empty"
            )
        elif self.thought_aloud and not self.text:
            messages.append("the model thought aloud and answered nothing: the answer is empty")
        if self.mark:
            messages.append(
                f"the answer holds {self.mark!r}, a mark that is not known: parts of it may be "
                "thoughts"
            )
        return tuple(messages)


def spoken_answer(raw: str) -> SpokenAnswer:
    """Read what a model wrote; a text without any marks is its own answer, blanks around aside."""
    if not _MAY_HOLD_MARKS.search(raw):
        return SpokenAnswer(raw.strip(), raw)
    without_thoughts, has_thoughts, is_endless = _without_thoughts(_usual_marks(raw))
    text = _unwrapped(without_thoughts).strip()
    # where nothing was taken away, blanks stay as they were written too
    without_thoughts = without_thoughts.strip() if has_thoughts else raw
    mark = _MARK.search(text)
    return SpokenAnswer(text, without_thoughts, has_thoughts, is_endless, mark[0] if mark else "")


def opens_thought(begun: str) -> bool | None:
    """Whether an answer begins with a thought.

    Args:
        begun: Its first words, with the special ones.

    Returns:
        None where the words may be the beginning of a mark, and more of them would tell.
    """
    text = _usual_marks(begun).lstrip().rstrip("\ufffd")
    if channel := _CHANNEL.match(text):
        return channel["name"].lower() != "final"
    lower = text.lower()
    if _OPEN.match(text) or any(lower.startswith(phrase) for phrase, _ in _PHRASES):
        return True
    if any(phrase.startswith(lower) for phrase, _ in _PHRASES):
        return None
    may_go_on = _CHANNEL_BEGINS.match(text) or _MARK_ENDS.get(text[0], text[0]) not in text
    return None if may_go_on and len(text) <= _LONGEST_MARK else False


def closing_mark(mark: str, known: Collection[str]) -> str:
    """What closes a thought that a mark opens.

    Args:
        mark: A match of `THOUGHT_OPENS`.
        known: Words of the model; where several close such a thought, it is one of these.
    """
    closing = _closing_marks(mark)
    return next((each for each in closing if each in known), closing[0])


def _closing_marks(mark: str) -> tuple[str, ...]:
    """The likeliest first."""
    if mark.startswith("<|channel>"):
        return ("<channel|>",)
    if mark.startswith("<unused94>"):
        return ("<unused95>",)
    if special := _SPECIAL_OPEN.fullmatch(mark):
        before, of, word, behind = special.groups()
        if before:
            return (f"<|end{of or ''}_{word}|>",)
        # some close this one with the word that ends a message
        return (f"<|{word}_end|>",) if behind else (f"<|/{word}|>", f"<|end_{word}|>", "<|end|>")
    if tag := re.fullmatch(r"<\s*([^\s<>]+)[^<>]*>", mark):
        return (f"</{tag[1]}>",)
    return (f"{mark[0]}/{mark[1:].lstrip()}",)


def _usual_marks(raw: str) -> str:
    """The text with marks in the spelling that is looked for."""
    text = _ESCAPED.sub(r"<\1>", raw)
    text = _WIDE.sub(lambda mark: f"<|{mark[1].replace(chr(0x2581), '_')}|>", text)
    return _NO_THOUGHT.sub("", text)


def _without_thoughts(raw: str) -> tuple[str, bool, bool]:
    """The text without thoughts, whether there were any, and whether they never end."""
    text, has_channels, is_endless = _final_channel(raw)
    if is_endless:
        return "", True, True
    parts: list[str] = []
    place, has_thoughts = 0, has_channels
    while opened := _OPEN.search(text, place):
        close = _BARE_CLOSE if _BARE_OPEN.fullmatch(opened[0]) else _CLOSE
        closed = close.search(text, opened.end())
        between = text[place : opened.start()]
        if closed is None and between.strip() and not has_thoughts and not between.endswith("\n"):
            # in the middle of a sentence it is one of its words
            break
        parts.append(between)
        has_thoughts = True
        if closed is None:
            before = "".join(parts)
            return before, True, not before.strip()
        place = closed.end()
    text = _joined((*parts, text[place:]))
    # the prompt may have opened the thoughts
    behind = 0
    for closed in _CLOSE.finditer(text):
        behind, has_thoughts = closed.end(), True
    return text[behind:], has_thoughts, False


def _joined(parts: Iterable[str]) -> str:
    """Texts from around thoughts; two words do not become one."""
    pieces: list[str] = []
    for part in filter(None, parts):
        if pieces and pieces[-1][-1].isalnum() and part[0].isalnum():
            pieces.append(" ")
        pieces.append(part)
    return "".join(pieces)


def _final_channel(raw: str) -> tuple[str, bool, bool]:
    """What was said in the final channel; all where there are no channels."""
    if headers := list(_CHANNEL.finditer(raw)):
        finals = []
        for header in headers:
            end = _CHANNEL_END.search(raw, header.end())
            if header["name"].lower() == "final":
                finals.append(raw[header.end() : end.start() if end else len(raw)])
        return "".join(finals), True, not finals
    if glued := _GLUED_FINAL.match(raw):
        return raw[glued.end() :], True, False
    if _GLUED_THOUGHT.match(raw):
        return "", True, True
    lower = raw.lower()
    for begins, ends in _PHRASES:
        if lower.lstrip().startswith(begins):
            place = lower.rfind(ends)
            # a square bracket opens the answer's own box, a phrase is no part of it
            start = place if ends.startswith("[") else place + len(ends)
            return (raw[start:], True, False) if place >= 0 else ("", True, True)
    return raw, False, False


def _unwrapped(text: str) -> str:
    """What stands in the last box of an answer, and in a box within that, without end marks."""
    for _ in range(_MOST_MARKS):
        boxes = deque(_WRAPPED.finditer(text), maxlen=1)
        if not boxes:
            break
        last = boxes[0]
        inside = (value for name, value in last.groupdict().items() if name != "tag")
        text = next(value for value in inside if value is not None)
        text = _IN_LATEX.sub(r"\1", text)
    return _without_end_marks(_STRAY.sub("", text).rstrip())


def _without_end_marks(text: str) -> str:
    """A text without the words by which a model ends, such as ``</s>``, or blanks at its end."""
    for _ in range(_MOST_MARKS):
        end = _END.search(text, max(0, len(text) - _LONGEST_END))
        if end is None:
            break
        text = text[: end.start()].rstrip()
    return text
