"""Turns a model's chat template into a prompt with places for an image and a question.

Chat templates are programs of others. They see a stand-in for the question and never the
question itself, and what they print is used only if image and question stand in it once, in this
order.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from geofovea.datasets.scoring.spoken_answer import (
    THOUGHT_CLOSES,
    THOUGHT_OPENS,
    closing_mark,
)
from geofovea.pipeline.inference.prompts.chat_template import rendered_chats
from geofovea.pipeline.inference.prompts.markers import PromptStyle

__all__ = [
    "ChatPrompt",
    "chat_prompt",
    "opened_thought",
    "without_open_thought",
]

_STAND_IN = "GEOFOVEAQUESTION"
# what writes more is not a prompt, and left out
_LONGEST_CHAT = 20_000
# names by which templates of several makers ask whether a model may think
_SWITCHES = ("enable_thinking", "thinking")
_SWITCH = re.compile(r"\b(?:" + "|".join(_SWITCHES) + r")\b")
_MARK = f"(?P<mark>{THOUGHT_OPENS})"
# some templates write the first words of a thought, or of the thought that they close
_BEGUN = r"[^<{}:\[◁]{0,80}"
_OPEN_THOUGHT = re.compile(rf"{_MARK}{_BEGUN}\Z", re.IGNORECASE)
_CLOSED_THOUGHT = re.compile(rf"{_MARK}{_BEGUN}(?:{THOUGHT_CLOSES})\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ChatPrompt:
    """What a chat template writes for one image and one question.

    Attributes:
        text: With ``{image}`` and ``{question}``.
        knows_images: Whether the template writes the image; one for texts alone is given it in the
            text of the question.
        is_bare: Whether nothing stands around the image, though templates of the family have its
            marks there.
        is_switched_off: Whether the template was told to write it for a model that would think and
            shall not.
    """

    text: str
    knows_images: bool
    is_bare: bool
    is_switched_off: bool = False


def chat_prompt(
    tokenizer: Any, image: str | None, style: PromptStyle, usual: str, *, thinks: bool = False
) -> ChatPrompt | None:
    """A tokenizer's chat template as a prompt, or None.

    Args:
        tokenizer: The model's.
        image: The word that stands for an image; None where there is no such word.
        style: What is known of the model's stock prompts.
        usual: The prompt of the family for this tokenizer.
        thinks: Whether the model gets room to think, where the template can switch it off.
    """
    if image is None or not getattr(tokenizer, "chat_template", None):
        return None
    marks = style.markers
    around = f"{marks.before}{marks.open}{image}{marks.close}{marks.after}"
    if style.chat_image is not None:
        around = image = style.chat_image[0]
    in_text = around if style.marks_in_chats else image
    contents: Sequence[Any] = (
        [{"type": "image"}, {"type": "text", "text": _STAND_IN}],
        f"{in_text}{_between(usual, style)}{_STAND_IN}",
    )
    try:
        template: object = tokenizer.get_chat_template()
    except ValueError:
        # it has several, and none is for plain chats
        return None
    if not isinstance(template, str):
        return None
    words = tokenizer.special_tokens_map
    # a template is a process of its own, so all that may be wanted is written at once
    switches = (False, True) if _SWITCH.search(template) else ()
    told = ({}, *(dict.fromkeys(_SWITCHES, switch) for switch in switches))
    chats = rendered_chats(template, words, contents, told)
    plain, switched = chats[:2], chats[4:] if thinks else chats[2:4]
    for rendered, knows_images in zip(plain, (True, False), strict=True):
        if prompt := _with_places(rendered, [around, image]):
            is_bare = style.marks_in_chats and around not in rendered
            told_so = _switched(switched, [around, image], thinks=thinks) or prompt
            is_off = not thinks and told_so != prompt
            if style.chat_image is not None:
                told_so = told_so.replace("{image}", style.chat_image[1])
            return ChatPrompt(told_so, knows_images, is_bare, is_off)
    return None


def _between(usual: str, style: PromptStyle) -> str:
    """The blanks between an image and a question in the usual prompt of a family."""
    between = usual.partition("{image}")[2].partition("{question}")[0]
    if style.chat_image is not None:
        # the processor writes these
        between = between.removeprefix(style.chat_image[1].partition("{image}")[2])
    return between if not between.strip() else "\n"


def _switched(chats: Sequence[str], images: Sequence[str], *, thinks: bool) -> str | None:
    """A prompt as a template writes it that is told whether its model may think; None without.

    Models with such templates think, or do not, unless they are told, whether or not their prompts
    open the thought for them, and a short answer has no room for it.
    """
    # what is written for a model that thinks has no closed thought, and for others no open one
    wrong = _CLOSED_THOUGHT if thinks else _OPEN_THOUGHT
    prompts = (_with_places(rendered, images) for rendered in chats)
    return next((prompt for prompt in prompts if prompt and not wrong.search(prompt)), None)


def without_open_thought(prompt: str, words: Collection[str] = ()) -> tuple[str, bool]:
    """A prompt that ends outside of any thought, and whether it ends with a closed one.

    What a model writes behind a prompt that opens a thought is no answer. The empty thought is the
    one that Qwen's own templates write where thinking is switched off.

    Args:
        prompt: With places for image and question.
        words: Of the model; where several could close the thought, it is one of these.
    """
    if opened := _OPEN_THOUGHT.search(prompt):
        mark = opened["mark"]
        return f"{prompt[: opened.start()]}{mark}\n\n{closing_mark(mark, words)}\n\n", True
    return prompt, _CLOSED_THOUGHT.search(prompt) is not None


def opened_thought(prompt: str, template: object) -> tuple[str, bool] | None:
    """The mark of the thought that a model begins with, and whether its prompt opens it; or None.

    Args:
        prompt: What its template writes where thinking is not switched off.
        template: The template.
    """
    if opened := _OPEN_THOUGHT.search(prompt):
        return opened["mark"], True
    if not isinstance(template, str) or not _SWITCH.search(template):
        return None
    named = re.search(THOUGHT_OPENS, template, re.IGNORECASE)
    return (named[0], False) if named else None


def _with_places(rendered: str, images: Sequence[str]) -> str | None:
    """A rendered chat with places for image and question; None if it cannot be told where."""
    is_clear = (
        0 < len(rendered) <= _LONGEST_CHAT
        and "{image}" not in rendered
        and "{question}" not in rendered
        and rendered.count(_STAND_IN) == 1
        and rendered.count(images[-1]) == 1
        and rendered.index(images[-1]) < rendered.index(_STAND_IN)
    )
    if not is_clear:
        return None
    image = next(text for text in images if text in rendered)
    return rendered.replace(image, "{image}").replace(_STAND_IN, "{question}")
