"""The words around the vision tokens: a template, a chat template, or a family's own.

Chat templates come with a model and are programs of others. They run within bounds (see
``chat_template``), see a stand-in for the question and never the question itself, and what they
print is used only if the image and the question stand in it once, in this order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property, partial
from typing import Any

from geofovea.datasets.scoring.spoken_answer import THOUGHT_OPENS, closing_mark
from geofovea.errors import ModelError
from geofovea.pipeline.inference.prompts.chat_prompt import (
    chat_prompt,
    opened_thought,
    without_open_thought,
)
from geofovea.pipeline.inference.prompts.finished_prompt import FinishedPrompt
from geofovea.pipeline.inference.prompts.markers import (
    ImageMarkers,
    MarkerIds,
    PromptStyle,
    ThoughtMarks,
)

__all__ = ["PromptIds", "PromptTemplate"]

_MAX_PROMPTS = 64
_MARKS_BEGIN = ("<", "[", "◁")
_MARK = re.compile(r"(<[^<>]+>|\[[A-Z_]+\])")
_TURN = re.compile(r"<\|[^<>|]+\|>")
"""Words around a turn of a chat, which not all tokenizers call special."""


@dataclass(frozen=True, slots=True)
class PromptIds:
    """A prompt as token ids; vision tokens go between ``before`` and ``after``."""

    before: list[int]
    after: list[int]


class PromptTemplate:
    """Writes the prompts of one model.

    Attributes:
        marks: What stands around the vision tokens.
        thought_ids: Single tokens that open a thought.
        closes_thought: Whether the model would think first, and its thought is closed empty.
        thought: How it writes the thought that it gets room for; None where it gets none.
        ignores_chat: Whether the model brings a chat template, and the prompt is none of its.
        chat_lacks_images: Whether its chat template is for texts alone, and was given the image in
            the text of the question.
    """

    def __init__(
        self,
        tokenizer: Any,
        style: PromptStyle,
        template: str | None,
        instruction: str,
        thought_tokens: int = 0,
        written: Callable[[str], str] | None = None,
    ) -> None:
        """Choose the template.

        Args:
            tokenizer: The model's.
            style: What is known of the model's stock prompts.
            template: From the settings; None takes the chat template, or else the family's.
            instruction: Added to every question.
            thought_tokens: Tokens that the model may think before it answers; 0 lets it not.
            written: Writes a question as the model has learned to read one; None leaves it.

        Raises:
            ModelError: If it shall think and its template knows of no thought, or the tokenizer
                lacks a special word of the family's prompts.
        """
        self._tokenizer = tokenizer
        self._vocabulary_size = style.vocabulary
        self._prompts: dict[tuple[bool, str, str | None], PromptIds] = {}
        self._instruction = instruction
        self._written = written
        # models that were trained here read one word before each image, whatever a tokenizer adds
        self._is_own = template is not None
        self._marks = style.markers
        self._image = _image_word(tokenizer, style.image_id)
        # where no word stands for an image, none of the ids does
        self._image_id = -1 if self._image is None or style.image_id is None else style.image_id
        # some tokenizers have the words of images among the ordinary ones
        own = {self._image or "", *_MARK.findall("".join(astuple(style.markers)))}
        # blanks among them would be looked for in every text, and found forever
        words = filter(str.strip, _special_words(tokenizer) | own)
        self._special_words = sorted(words, key=len, reverse=True)
        self.thought_ids = self._thought_ids()
        thinks = thought_tokens > 0
        usual = style.template_for(self._special_words)
        found = (
            None if template else chat_prompt(tokenizer, self._image, style, usual, thinks=thinks)
        )
        self.chat_lacks_images = found is not None and not found.knows_images
        if found is not None and found.is_bare:
            self._marks = ImageMarkers()
        chat = found.text if found else None
        self.ignores_chat = not (template or chat) and bool(
            getattr(tokenizer, "chat_template", None)
        )
        full = template or chat or usual
        self._template, self.closes_thought = (
            (full, False) if thinks else without_open_thought(full, self._possible_marks)
        )
        self.closes_thought |= found is not None and found.is_switched_off
        self.thought = self._thought_marks(full, thought_tokens) if thinks else None
        # some templates write the word that begins a text by themselves, PaliGemma's behind images
        begin = str(tokenizer.bos_token or "")
        first = self._template if chat else self._template.removeprefix("{image}")
        self._adds_special = not (begin and first.startswith(begin))
        self.marks = self._marker_ids()

    @cached_property
    def _possible_marks(self) -> dict[str, int]:
        """Words of the tokenizer that look like marks of something, with their ids."""
        # a copy of a hundred thousand words and more, so only once
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        return {word: number for word, number in vocabulary.items() if word[:1] in _MARKS_BEGIN}

    def _thought_ids(self) -> set[int]:
        """Single tokens that open a thought."""
        opens = re.compile(THOUGHT_OPENS, re.IGNORECASE)
        return {number for word, number in self._possible_marks.items() if opens.fullmatch(word)}

    def _marker_ids(self) -> MarkerIds:
        marks = self._marks
        return MarkerIds(
            before=self._mark_ids(marks.before),
            open=self._mark_ids(marks.open),
            close=self._mark_ids(marks.close),
            after=self._mark_ids(marks.after),
            between=self._mark_ids(marks.between),
            row=self._mark_ids(marks.row),
        )

    def _thought_marks(self, prompt: str, most: int) -> ThoughtMarks:
        """How the model writes the thought that its prompt, or its template, speaks of."""
        thought = opened_thought(prompt, getattr(self._tokenizer, "chat_template", None))
        thought = thought or self._own_thought()
        if thought is None:
            raise ModelError(
                "the chat template of this model neither opens a thought nor can switch one off, "
                "and its tokenizer has no words around one, so there is nothing to give room to: "
                "load it with thinking='off', or take a checkpoint that thinks"
            )
        mark, is_open = thought
        close = closing_mark(mark, self._possible_marks)
        opening, closing = (tuple(self._encode(word, special=False)) for word in (mark, close))
        if not closing or self._tokenizer.unk_token_id in (*opening, *closing):
            raise ModelError(
                f"the tokenizer of this model has no words {mark} and {close}, so "
                "that the end of a thought would not be noticed: load it with thinking='off', or "
                "copy or download it again, tokenizer included"
            )
        return ThoughtMarks(
            () if is_open else opening,
            closing,
            tuple(self._encode("\n\n", special=False)),
            most,
            partial(self._behind_mark, close, list(closing)),
        )

    def _own_thought(self) -> tuple[str, bool] | None:
        """The mark of a thought that the tokenizer has words for, of which no template speaks.

        Some models open their thoughts by themselves, and no word of a prompt keeps them from it.
        """
        words = {number: word for word, number in self._possible_marks.items()}
        marks = (words[number] for number in sorted(self.thought_ids))
        known = self._possible_marks
        return next(((mark, False) for mark in marks if closing_mark(mark, known) in known), None)

    def _behind_mark(self, close: str, closing: list[int], ids: Sequence[int]) -> str | None:
        """See `ThoughtMarks`."""
        if list(ids[-len(closing) :]) == closing:
            return ""
        if len(closing) == 1 or not ids:
            return None
        # each token of the mark writes a letter of it at least
        _, found, behind = self._tokenizer.decode(ids[-len(close) :]).partition(close)
        return behind if found else None

    def ids(self, question: str, instruction: str | None = None) -> PromptIds:
        """The prompt of a question; special words in it are left out.

        The instruction of the settings is added unless another is given or the prompt is finished.
        """
        # a descent asks for the prompt of one question at every look
        # a finished prompt is equal to the question of the same words
        key = (isinstance(question, FinishedPrompt), question, instruction)
        if key not in self._prompts:
            if len(self._prompts) >= _MAX_PROMPTS:
                self._prompts.clear()
            self._prompts[key] = self._render(question, instruction)
        return self._prompts[key]

    def _render(self, question: str, instruction: str | None) -> PromptIds:
        text = self.plain(question)
        if self._written is not None and not isinstance(question, FinishedPrompt):
            text = self._written(text)
        if instruction is not None:
            text += instruction
        elif not isinstance(question, FinishedPrompt):
            text += self._instruction
        parts = [part.replace("{question}", text) for part in self._template.split("{image}")]
        return self._around_image(*parts) or PromptIds(
            self._encode(parts[0], special=self._adds_special),
            self._encode(parts[1], special=False),
        )

    def _around_image(self, before: str, after: str) -> PromptIds | None:
        """What stands around the image in the whole text; None if the image is not found in it.

        Tokenizers of LLaMA's kind may split words behind a special word otherwise than at the
        beginning of a text, so the two sides of the image are not encoded each on its own.
        """
        if self._image is None:
            return None
        marks = self._marks
        image = f"{marks.before}{marks.open}{self._image}{marks.close}{marks.after}"
        ids = self._encode(f"{before}{image}{after}", special=self._adds_special)
        first = [*self.marks.before, *self.marks.open]
        last = [*self.marks.close, *self.marks.after]
        if ids.count(self._image_id) != 1:
            return None
        place = ids.index(self._image_id)
        start, end = place - len(first), place + 1 + len(last)
        if ids[max(0, start) : place] != first or ids[place + 1 : end] != last:
            return None
        begun = ids[:start]
        if not begun and self._is_own:
            begun = self._encode("", special=self._adds_special)
        return PromptIds(begun, ids[end:])

    @property
    def shows_first(self) -> bool:
        """Whether the question comes after the image only."""
        return "{question}" not in self._template.split("{image}")[0]

    def plain(self, text: str) -> str:
        """A text without words that mean something special to the tokenizer.

        A finished prompt stays as it is otherwise; a question keeps its line ends, and single
        blanks.
        """
        is_finished = isinstance(text, FinishedPrompt)
        # what is left may form such a word anew
        while any(word in text for word in self._special_words):
            for word in self._special_words:
                text = text.replace(word, " ")
        lines = text.strip().splitlines()
        return text if is_finished else "\n".join(" ".join(line.split()) for line in lines)

    def omitted_words(self, question: str) -> tuple[str, ...]:
        """What a careful reader should know about words of a question that `plain` leaves out."""
        words = [word for word in self._special_words if word in question]
        if not words:
            return ()
        return (
            f"the question holds {', '.join(words[:8])}, which would mean something special to the "
            "model: it was asked without",
        )

    def word_ids(self, text: str) -> list[int]:
        """Ids of some words in the middle of a text."""
        return self._encode(text, special=False)

    def letter_ids(self, letter: str) -> list[int]:
        """Every single token that prints as this letter; empty if the vocabulary has none."""
        single_ids = {
            ids[-1]
            for text in (letter, f" {letter}")
            if (ids := self._encode(text, special=False))
            and ids[-1] != self._tokenizer.unk_token_id
            and self._tokenizer.decode([ids[-1]]).strip() == letter
        }
        return sorted(single_ids)

    def words_of(self, question: str) -> list[str]:
        """The words of a question as the model reads them, in lower case."""
        text = question if self._written is None else self._written(question)
        return text.lower().replace("?", " ").split()

    def unknown_words(self, question: str) -> list[str]:
        """Words that the tokenizer can only map to its unknown token."""
        unknown = self._tokenizer.unk_token_id
        if unknown is None:
            return []
        words = self.words_of(question)
        return [w for w in words if unknown in self._encode(w, special=False)]

    def _mark_ids(self, marks: str) -> list[int]:
        ids: list[int | None] = []
        for part in filter(None, _MARK.split(marks)):
            if _MARK.fullmatch(part):
                ids.append(self._tokenizer.convert_tokens_to_ids(part))
            else:
                ids += self._encode(part, special=False)
        whole = [i for i in ids if i is not None]
        if len(whole) < len(ids) or self._tokenizer.unk_token_id in whole:
            raise ModelError(
                f"the tokenizer of this model has no special words {marks!r}, which its family "
                "puts around images; copy or download the model again, tokenizer included"
            )
        return whole

    def _encode(self, text: str, *, special: bool) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special) if text else []
        if special and not ids and self._tokenizer.bos_token_id is not None:
            return [self._tokenizer.bos_token_id]
        # the word of an image is never looked up
        if (
            most := max((i for i in ids if i != self._image_id), default=0)
        ) >= self._vocabulary_size:
            raise ModelError(
                f"the tokenizer writes {self._tokenizer.decode([most])!r} as number {most}, and "
                f"its model knows {self._vocabulary_size}; copy or download both again, "
                "from one place"
            )
        return ids


def _special_words(tokenizer: Any) -> set[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    words = ((str(token.content), token.special) for token in added.values())
    special = {word for word, is_special in words if is_special or _TURN.fullmatch(word)}
    return special | {str(word) for word in tokenizer.all_special_tokens}


def _image_word(tokenizer: Any, number: int | None) -> str | None:
    """The word that stands for an image in a family's stock prompts, if the tokenizer has it."""
    if number is None or not 0 <= number < len(tokenizer):
        return None
    word: object = tokenizer.convert_ids_to_tokens(number)
    return word if isinstance(word, str) else None
