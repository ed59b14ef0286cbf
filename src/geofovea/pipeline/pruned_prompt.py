"""A prompt on its way through a decoder that drops some of its vision tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.decoder_pruning import DecoderRun
from geofovea.pipeline.prompt_sequence import PromptSequence
from geofovea.regionfocus.reductions.decoder_stage import DecoderReduction

__all__ = ["pruned_run", "vision_lengths"]


def pruned_run(
    decoder: Any, sequence: PromptSequence, levels: Tensor, reduction: DecoderReduction
) -> DecoderRun:
    """The run of a prompt with compact positions of one axis.

    Args:
        decoder: The text model.
        sequence: The prompt.
        levels: int64 ``(n,)``, the level of each of its vision tokens.
        reduction: What drops them.
    """
    visual = sequence.visual.cpu()
    first, count = (int(visual[0]), int(visual[-1] - visual[0]) + 1) if len(visual) else (0, 0)
    # words between tiles lie in the image for the run, and are never dropped
    protected = torch.ones(count, dtype=torch.bool)
    protected[visual - first] = False
    level_in_run = torch.zeros(count, dtype=torch.int64)
    level_in_run[visual - first] = levels
    return DecoderRun(
        decoder,
        reduction=reduction,
        first=first,
        count=count,
        levels=level_in_run,
        protected=protected if bool(protected.any()) else None,
    )


def vision_lengths(run: DecoderRun, sequence: PromptSequence) -> tuple[int, ...]:
    """Vision tokens that ran through each layer, without the words between tiles."""
    words = int(sequence.visual[-1] - sequence.visual[0]) + 1 - len(sequence.visual)
    return tuple(length - words for length in run.vision_lengths)
