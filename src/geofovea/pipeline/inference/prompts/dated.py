"""A prompt that shows several dates: each is an image of its own behind the words that date it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geofovea.pipeline.inference.prompts.embeds import PromptLayout, PromptSequence
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.inference.prompts.template import PromptIds
from geofovea.regionfocus.dated_tokens import DatedTokens

__all__ = ["dated_sequence"]


def dated_sequence(
    layout: PromptLayout,
    ids: PromptIds,
    dated: DatedTokens,
    word_ids: Callable[[str], list[int]],
) -> PromptSequence:
    """Embed a prompt with the tokens of several dates, one date after the other.

    The stock prompt of a model with several images has the same order: words, image, words, image,
    question. Positions go on from one date to the next as they do between words.

    Args:
        layout: How the model's prompts are put together.
        ids: The words around the image of the prompt; those behind it come after the last date.
        dated: The dates.
        word_ids: Ids of words in the middle of a text.
    """
    last = len(dated.sets) - 1
    parts = []
    for number, (label, tokens) in enumerate(zip(dated.labels, dated.sets, strict=True)):
        words = word_ids(label)
        before = [*ids.before, *words] if number == 0 else words
        after = ids.after if number == last else []
        parts.append(layout.sequence(PromptIds(before, after), tokens if len(tokens) else None))
    return _joined(parts, layout.sight)


def _joined(parts: Sequence[PromptSequence], sight: Sight) -> PromptSequence:
    positions, visual, length, position = [], [], 0, 0
    for part in parts:
        positions.append(part.positions + position)
        visual.append(part.visual + length)
        length += len(part)
        position += part.next_position
    places = torch.cat(visual)
    deep = [part.deep for part in parts if part.deep is not None]
    return PromptSequence(
        torch.cat([part.embedded for part in parts], dim=1),
        torch.cat(positions, dim=-1),
        places,
        torch.cat(deep, dim=1) if deep else None,
        position,
        sight.blocks(length, places, _tile_numbers(parts)),
        tuple(number for part in parts for number in part.words),
    )


def _tile_numbers(parts: Sequence[PromptSequence]) -> Tensor:
    """The number of the tile of each vision token, where tiles are told apart: none twice."""
    numbers, following = [torch.zeros(0, dtype=torch.int64)], 0
    for part in parts:
        if part.blocks is not None and len(part.visual):
            own = part.blocks[part.visual]
            numbers.append(own + following)
            following += int(own.max()) + 1
    return torch.cat(numbers)
