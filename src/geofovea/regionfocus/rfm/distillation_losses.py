"""What a region focus module learns by: a host's rows of attention, and boxes where there are any.

Sources: the released training code of LRS-VQA for the three losses on rows (a divergence over the
whole row, one at temperature 2 over the vision tokens, and the squared error of the logits, the
last two on halved logits); −log of the mass inside a box is what the embedded model learns its own
focus by.

A *row* is the attention logits of the last prompt token in one layer: one number per head and key.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["TEMPERATURE", "RowLosses", "box_loss", "box_mass", "row_losses"]

TEMPERATURE = 2.0
_NOWHERE = -1e9
"""A logit whose probability is 0 and whose logarithm is a number."""
_LEAST_MASS = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class RowLosses:
    """The three losses of one layer, scalars, means over questions and heads.

    Attributes:
        row: Divergence KL(host ‖ module) over the whole row.
        image: The same over the vision tokens alone, at ``TEMPERATURE``.
        logits: Mean squared difference of the logits, divided by ``TEMPERATURE``.
    """

    row: Tensor
    image: Tensor
    logits: Tensor

    @property
    def total(self) -> Tensor:
        """Their sum."""
        return self.row + self.image + self.logits


def row_losses(
    logits: Tensor, targets: Tensor, valid: Tensor, image: slice, *, whole_row: bool = True
) -> RowLosses:
    """Losses of a module's rows against those of its host.

    Args:
        logits: ``(q, heads, s)``, the module's logits.
        targets: ``(q, heads, s)``, the host's, or what was made of them.
        valid: bool ``(q, s)``, False on padding behind a question.
        image: The places of the vision tokens.
        whole_row: Whether keys outside the image count; without them ``row`` is over the image,
            at temperature 1.
    """
    valid = valid[:, None].expand_as(targets)
    if not whole_row:
        logits, targets, valid = logits[..., image], targets[..., image], valid[..., image]
        image = slice(None)
    squares = ((logits - targets) / TEMPERATURE).square() * valid
    return RowLosses(
        row=_divergence(
            logits.masked_fill(~valid, _NOWHERE),
            targets.masked_fill(~valid, _NOWHERE),
        ),
        image=_divergence(logits[..., image] / TEMPERATURE, targets[..., image] / TEMPERATURE),
        logits=squares.sum() / valid.sum().clamp_min(1),
    )


def box_mass(logits: Tensor, right: Tensor) -> Tensor:
    """The share of attention, mean of heads, on the right tokens, ``(q,)``.

    Args:
        logits: ``(q, heads, n)`` over the vision tokens.
        right: bool ``(q, n)``, the tokens that share area with a box of the question.
    """
    return (logits.softmax(-1).mean(1) * right).sum(-1)


def box_loss(logits: Tensor, right: Tensor) -> Tensor:
    """Mean of −log of `box_mass`, a scalar; 0 where no question tells right tokens from wrong.

    Args:
        logits: See `box_mass`.
        right: See `box_mass`. A question for which all tokens are right, or none, says nothing.
    """
    says_something = right.any(-1) & ~right.all(-1)
    losses = -box_mass(logits, right).clamp_min(_LEAST_MASS).log() * says_something
    return losses.sum() / says_something.sum().clamp_min(1)


def _divergence(logits: Tensor, targets: Tensor) -> Tensor:
    """KL(wanted ‖ found) of logits over the last axis, the mean of all others."""
    by_row = F.kl_div(
        logits.log_softmax(-1), targets.log_softmax(-1), reduction="none", log_target=True
    ).sum(-1)
    return torch.mean(by_row)
