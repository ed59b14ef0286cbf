"""Weights between those of two models: a further run loses less of what its start could do."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from geofovea.errors import ConfigurationError
from geofovea.pipeline.training.starting import known_words, start_from
from geofovea.pipeline.training.student import Student

__all__ = ["average_with_start", "checked_share"]

_WORD_TABLES = ("llava.model.language_model.embed_tokens.weight", "llava.lm_head.weight")


def checked_share(keep: float) -> float:
    """The share of its start that a model may keep.

    Raises:
        ConfigurationError: If it is not at least 0 and below 1.
    """
    if not (math.isfinite(keep) and 0 <= keep < 1):
        raise ConfigurationError(f"keep={keep} should be at least 0 and below 1")
    return keep


@torch.no_grad()
def average_with_start(student: Student, start: Path, keep: float) -> None:
    """Move the weights of a student back toward those of the model that its run started from.

    Each weight becomes ``keep`` times that of the start plus ``1 - keep`` times its own. Words that
    the start does not know keep the vectors that they learned. Source: Wortsman et al., Robust
    fine-tuning of zero-shot models, CVPR 2022 (WiSE-FT).

    Args:
        student: What the run made; changed in place. Its heads, which no model has, stay.
        start: Folder of the model that the run started from.
        keep: Share of the start's weights, at least 0 and below 1.

    Raises:
        ConfigurationError: If ``keep`` is no such share.
        ModelError: If the folder holds no model of the student's shape and words.
    """
    checked_share(keep)
    before = Student(student.shape)
    start_from(before, start)
    words = known_words(start)
    earlier = dict(before.named_parameters())
    for name, weight in student.named_parameters():
        if name.startswith(("dense_head", "heard_head")):
            continue
        rows = slice(words) if name in _WORD_TABLES else slice(None)
        weight[rows].lerp_(earlier[name][rows].to(weight), keep)
