"""What stands around an image, and around a thought, in the stock prompts of a model."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

__all__ = ["CHAT_ML", "ImageMarkers", "MarkerIds", "PromptStyle", "ThoughtMarks"]

CHAT_ML = "<|im_start|>user\n{image}\n{question}<|im_end|>\n<|im_start|>assistant\n"
"""The prompt of many decoders of Qwen's kind."""


@dataclass(frozen=True, slots=True)
class ImageMarkers:
    """Special words that a family's stock prompts put around vision tokens.

    Attributes:
        before: In front of the first tile.
        open: In front of each tile.
        close: Behind each tile.
        after: Behind the last tile.
        between: Between two tiles, behind what closes the first of them.
        row: Between two rows of tokens of a tile.
    """

    before: str = ""
    open: str = ""
    close: str = ""
    after: str = ""
    between: str = ""
    row: str = ""


@dataclass(frozen=True, slots=True)
class MarkerIds:
    """`ImageMarkers` as token ids."""

    before: list[int]
    open: list[int]
    close: list[int]
    after: list[int]
    between: list[int] = field(default_factory=list)
    row: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ThoughtMarks:
    """How a model writes a thought.

    Attributes:
        opening: Ids that open it; empty where the prompt has done so.
        closing: Ids that close it.
        behind: Ids between a closed thought and the answer.
        most: Tokens of the longest thought.
        text_behind: What ids of a thought write behind the mark that closes it; None where they do
            not close it. A mark of several tokens may end within a token that writes more.
    """

    opening: tuple[int, ...]
    closing: tuple[int, ...]
    behind: tuple[int, ...]
    most: int
    text_behind: Callable[[Sequence[int]], str | None]

    @property
    def reach(self) -> int:
        """Places that a thought and its marks take at most."""
        return self.most + len(self.opening) + len(self.closing) + len(self.behind)


@dataclass(frozen=True, slots=True)
class PromptStyle:
    """What the prompts of a model are by its family and its configuration.

    Attributes:
        markers: What stands around the vision tokens.
        template: The prompt, where neither settings nor processor nor tokenizer bring one.
        vocabulary: How many ids the model has vectors for.
        image_id: What stands for an image in its stock prompts; None where that is not known.
        by_word: Other prompts for tokenizers that know some special word, which goes before; the
            first whose word is known counts.
        chat_image: The word by which chat templates stand for an image, and what the processor
            writes in its place, with ``{image}`` for the vision tokens and what is around them;
            None where that is the word of `image_id` alone.
        marks_in_chats: Whether chat templates write the markers, and the processor does not: what
            a template leaves out is then not there.
    """

    markers: ImageMarkers
    template: str
    vocabulary: int
    image_id: int | None = None
    by_word: tuple[tuple[str, str], ...] = ()
    chat_image: tuple[str, str] | None = None
    marks_in_chats: bool = False

    def template_for(self, special_words: Collection[str]) -> str:
        """The prompt for a tokenizer with these special words."""
        return next(
            (template for word, template in self.by_word if word in special_words), self.template
        )
