"""A prompt on its way through a decoder that drops some of its vision tokens."""

from __future__ import annotations

from typing import Any

import torch

from geofovea.pipeline.inference.decoder.pruned import DecoderRun
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["pruned_run", "vision_lengths"]


def pruned_run(
    decoder: Any, sequence: PromptSequence, tokens: TokenSet, reduction: DecoderReduction
) -> DecoderRun:
    """The run of a prompt with compact positions of one axis.

    Args:
        decoder: The text model.
        sequence: The prompt.
        tokens: Its vision tokens.
        reduction: What drops them.
    """
    visual = sequence.visual.cpu()
    first, count = (int(visual[0]), int(visual[-1] - visual[0]) + 1) if len(visual) else (0, 0)
    # words between tiles lie in the image for the run, and are never dropped
    protected = torch.ones(count, dtype=torch.bool)
    protected[visual - first] = False
    carried = {"levels": tokens.levels}
    if tokens.importance is not None:
        carried["importance"] = tokens.importance
    for name, values in carried.items():
        carried[name] = values.new_zeros(count)
        carried[name][visual - first] = values
    return DecoderRun(
        decoder,
        reduction=reduction,
        first=first,
        count=count,
        carried=carried,
        protected=protected if bool(protected.any()) else None,
    )


def vision_lengths(run: DecoderRun, sequence: PromptSequence) -> tuple[int, ...]:
    """Vision tokens that ran through each layer, without the words between tiles."""
    words = int(sequence.visual[-1] - sequence.visual[0]) + 1 - len(sequence.visual)
    return tuple(length - words for length in run.vision_lengths)
