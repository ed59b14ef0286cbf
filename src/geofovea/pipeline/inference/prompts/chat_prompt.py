"""Turns a model's chat template into a prompt with places for an image and a question.

Chat templates are programs of others. They see a stand-in for the question and never the
question itself, and what they print is used only if image and question stand in it once, in this
order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from geofovea.pipeline.inference.prompts.chat_template import rendered_chats
from geofovea.pipeline.inference.prompts.markers import ImageMarkers

__all__ = ["THOUGHT_MARKS", "chat_prompt", "opened_thought", "without_open_thought"]

_STAND_IN = "GEOFOVEAQUESTION"
# what writes more is no prompt, and left out
_LONGEST_CHAT = 20_000
THOUGHT_MARKS = ("<think>", "<thinking>", "<thought>", "<reasoning>")
"""What opens a thought in the vocabularies of models that think."""
_SWITCH = "enable_thinking"
_MARK = f"(?P<mark>{'|'.join(THOUGHT_MARKS)})"
# some templates write the first words of a thought, or of the thought that they close
_BEGUN = r"[^<{}]{0,500}"
_OPEN_THOUGHT = re.compile(rf"{_MARK}{_BEGUN}\Z")
_CLOSED_THOUGHT = re.compile(rf"{_MARK}{_BEGUN}</(?:think|thinking|thought|reasoning)>\s*\Z")


def chat_prompt(
    tokenizer: Any,
    image: str | None,
    marks: ImageMarkers,
    chat_image: tuple[str, str] | None = None,
    *,
    thinks: bool = False,
) -> str | None:
    """A tokenizer's chat template as a prompt with ``{image}`` and ``{question}``; or None.

    Args:
        tokenizer: The model's.
        image: The word that stands for an image; None where there is no such word.
        marks: What stands around the vision tokens.
        chat_image: See `PromptStyle`.
        thinks: Whether the model gets room to think, where the template can switch it off.
    """
    if image is None or not getattr(tokenizer, "chat_template", None):
        return None
    around = f"{marks.before}{marks.open}{image}{marks.close}{marks.after}"
    if chat_image is not None:
        around = image = chat_image[0]
    contents: Sequence[Any] = (
        [{"type": "image"}, {"type": "text", "text": _STAND_IN}],
        f"{image}\n{_STAND_IN}",
    )
    try:
        template: object = tokenizer.get_chat_template()
    except ValueError:
        # it has several, and none is for plain chats
        return None
    if not isinstance(template, str):
        return None
    words = tokenizer.special_tokens_map
    for rendered in rendered_chats(template, words, contents):
        if prompt := _with_places(rendered, [around, image]):
            written = prompt
            if not thinks:
                written = _answering_at_once(prompt, template, words, contents, [around, image])
            return written.replace("{image}", chat_image[1]) if chat_image else written
    return None


def _answering_at_once(
    prompt: str,
    template: str,
    words: Mapping[str, Any],
    contents: Sequence[Any],
    images: Sequence[str],
) -> str:
    """A prompt as a template that can switch thinking off writes it then, if that ends a thought.

    Models with such templates think unless they are told not to, whether or not their prompts open
    the thought for them, and a short answer has no room for it.
    """
    if _SWITCH not in template:
        return prompt
    for rendered in rendered_chats(template, {**words, _SWITCH: False}, contents):
        closed = _with_places(rendered, images)
        if closed and _CLOSED_THOUGHT.search(closed):
            return closed
    return prompt


def without_open_thought(prompt: str) -> tuple[str, bool]:
    """A prompt that ends outside of any thought, and whether it ends with a closed one.

    What a model writes behind a prompt that opens a thought is no answer. The empty thought is the
    one that Qwen's own templates write where thinking is switched off.
    """
    if opened := _OPEN_THOUGHT.search(prompt):
        mark = opened["mark"]
        return f"{prompt[: opened.start()]}{mark}\n\n</{mark[1:]}\n\n", True
    return prompt, _CLOSED_THOUGHT.search(prompt) is not None


def opened_thought(prompt: str, template: object) -> tuple[str, bool] | None:
    """The mark of the thought that a model begins with, and whether its prompt opens it; or None.

    Args:
        prompt: What its template writes where thinking is not switched off.
        template: The template.
    """
    if opened := _OPEN_THOUGHT.search(prompt):
        return opened["mark"], True
    if not isinstance(template, str) or _SWITCH not in template:
        return None
    return next(((mark, False) for mark in THOUGHT_MARKS if mark in template), None)


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
