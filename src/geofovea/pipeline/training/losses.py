"""What the embedded model is taught by: losses on answers, on words of questions, on attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from geofovea.errors import TrainingError
from geofovea.pipeline.training.lessons.dense_labels import IGNORED

__all__ = [
    "Losses",
    "answer_position",
    "check_finite",
    "focus_loss",
    "only_dense",
    "question_loss",
    "word_loss",
]

_MOST_GROUPS = 5


@dataclass(frozen=True, slots=True)
class Losses:
    """What one batch says: three losses (scalars) and what was answered.

    Attributes:
        answer: Cross entropy of answers and ends.
        dense: Mean cross entropy of the dense labels.
        focus: Mean of −log(attention mass on the right tokens).
        question_words: Mean of −log(probability of a word of the question), read from what the
            last word of the question has gathered below the focus layer.
        correct: bool (b, q), whether the answer word was the most likely one.
        mass: float (b, q, groups), attention mass on the right tokens; NaN where undefined.
    """

    answer: Tensor
    dense: Tensor
    focus: Tensor
    question_words: Tensor
    correct: Tensor
    mass: Tensor


def check_finite(loss: Tensor, step: int, remedy: str) -> None:
    """Refuse a loss that is not a number: the next state would hold weights of no use.

    Args:
        loss: A scalar.
        step: Whose it is, counted from 1.
        remedy: What a new run may have otherwise.

    Raises:
        TrainingError: If it is NaN or infinite.
    """
    if not bool(loss.isfinite()):
        raise TrainingError(
            f"the loss of step {step} is {loss.item()}; the state of an earlier step is kept: "
            f"start in a new folder with {remedy}"
        )


def only_dense(dense: Tensor, batch: dict[str, Tensor]) -> Losses:
    """The losses of samples without questions."""
    none = dense.new_zeros(())
    shape = batch["words"].shape[:2]
    return Losses(
        none, dense, none, none, none.new_zeros(shape), none.new_zeros((*shape, _MOST_GROUPS))
    )


def word_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy of the words that count; 0 where none does.

    Args:
        logits: ``(b, q, l, V)``.
        targets: int64 ``(b, q, l)``, ``IGNORED`` where a word does not count.
    """
    total = F.cross_entropy(
        logits.flatten(0, 2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / (targets != IGNORED).sum().clamp_min(1)


def answer_position(targets: Tensor) -> Tensor:
    """Index of the last prompt word of each question, (b, q)."""
    return (targets != IGNORED).int().argmax(-1)


def question_loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Mean of −log(probability) of the words of each question, logits (b, q, V).

    Until the name of a site has come to where the focus is computed, nothing tells which site the
    attention should fall on, and the attention cannot teach the name to come. Measured: without
    this loss it stays on any site at all.
    """
    words, last = batch["words"], answer_position(batch["targets"])[..., None]
    is_asked = torch.arange(words.shape[2], device=words.device) <= last
    negative_logs = -logits.log_softmax(-1).gather(2, words)
    return (negative_logs * is_asked).sum() / is_asked.sum().clamp_min(1)


def focus_loss(logits: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Per level: softmax over its visible tokens, mean of heads, −log of the mass that is right."""
    total, count, masses = logits.new_zeros(()), logits.new_zeros(()), []
    for group in range(_MOST_GROUPS):
        in_group = ((batch["group"] == group) & batch["visible"])[:, None]  # (b, 1, n)
        right = batch["focus"] & in_group
        # a level where everything or nothing is right teaches nothing
        defined = right.any(-1) & (in_group & ~batch["focus"]).any(-1)
        scores = logits.masked_fill(~in_group[:, None], -1e4).softmax(-1).mean(1)
        mass = (scores * right).sum(-1)
        total = total + (-(mass.clamp_min(1e-5).log()) * defined).sum()
        count = count + defined.sum()
        masses.append(mass.detach().masked_fill(~defined, float("nan")))
    return total / count.clamp_min(1), torch.stack(masses, -1)
