"""What parts that change an answer learn from: the true answer, and what the whole model said."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from geofovea.pipeline.training.lessons.dense_labels import IGNORED
from geofovea.pipeline.training.losses import answer_position, word_loss
from geofovea.pipeline.training.parts.lessons import Lessons

__all__ = ["answer_loss", "right_answers", "unpacked"]


def answer_loss(logits: Tensor, lessons: Lessons) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy of answer and end, plus the divergence from the teacher's answer.

    Args:
        logits: ``(b, q, 2, V)``, see ``at_answers``.
        lessons: What was asked. Questions that cannot be answered count for the teacher only.

    Returns:
        The sum, and both parts for the log.
    """
    place = answer_position(lessons.targets)[..., None] + torch.arange(2)
    targets = lessons.targets.gather(2, place)
    targets = targets.masked_fill(~lessons.answered[..., None], IGNORED)
    truth = word_loss(logits, targets)
    teacher = F.kl_div(
        logits[:, :, 0].log_softmax(-1).flatten(0, 1),
        lessons.teacher[:, :, 0].log_softmax(-1).flatten(0, 1),
        log_target=True,
        reduction="batchmean",
    )
    return truth + teacher, {"answer": truth.item(), "teacher": teacher.item()}


def right_answers(logits: Tensor, lessons: Lessons) -> Tensor:
    """Which answers are right, bool ``(m,)``, of those that can be known.

    Args:
        logits: ``(b, q, 2, V)``, see ``at_answers``.
        lessons: What was asked.
    """
    place = answer_position(lessons.targets)[..., None]
    answers = lessons.targets.gather(2, place)[..., 0]
    return (logits[:, :, 0].argmax(-1) == answers)[lessons.answered]


def unpacked(lessons: Lessons, questions: int | None, draw: torch.Generator) -> Lessons:
    """Each question as a lesson of its own, for parts whose vision tokens depend on it.

    Args:
        lessons: With several questions.
        questions: Of each lesson, drawn; None for all.
        draw: Decides which.
    """
    total = lessons.words.shape[1]
    numbers = torch.randperm(total, generator=draw)[: questions or total]
    count = len(numbers)

    def repeated(value: Tensor) -> Tensor:
        return value.repeat_interleave(count, 0)

    def single(value: Tensor) -> Tensor:
        return value[:, numbers].flatten(0, 1)[:, None]

    return Lessons(
        repeated(lessons.vision),
        repeated(lessons.visible),
        repeated(lessons.group),
        single(lessons.words),
        single(lessons.targets),
        single(lessons.answered),
        single(lessons.category),
        single(lessons.teacher),
    )
