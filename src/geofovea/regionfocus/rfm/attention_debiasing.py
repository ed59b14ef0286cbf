"""A host's attention without what it pays whatever it is asked: sinks, and favorite positions.

Sources: visual attention sinks as in VAR, "See What You Are Told: Visual Attention Sink in Large
Multimodal Models" (arXiv 2503.03321); a positional trend that is subtracted as in attention
debiasing (arXiv 2508.17807); pseudo-labels from attention without sinks as in SD-RPN (arXiv
2509.16944). Ours is that a sink is told by what it does: a token that draws attention whatever the
question is about. That needs several questions about the same tokens and no knowledge of the model.

Both corrections move attention among vision tokens only: the share of a row that falls on the image
as a whole stays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "PLACE_FEATURES",
    "PlaceTrend",
    "constant_sinks",
    "place_features",
    "without_sinks",
    "without_trend",
]

PLACE_FEATURES = 10
"""Numbers that a trend may depend on, see `place_features`."""
_FEWEST_QUESTIONS = 4
_UNMOVED_QUESTIONS = 0.25
_WANTED_MORE = 2.0


def constant_sinks(logits: Tensor, factor: float = 4.0) -> Tensor:
    """Which vision tokens draw attention whatever is asked, question by question.

    A token is constant if even for the quarter of the questions that like it least it gets more
    than ``factor`` times the mean share. It is a sink for the questions that give it less than
    twice what those give: a question that wants more of it may be about it.

    Args:
        logits: ``(q, heads, n)`` over the vision tokens, for q questions about different places.
        factor: See above.

    Returns:
        bool ``(q, n)``; none where there are fewer than four questions.

    Raises:
        GeometryError: If the factor is not above 1, so that most tokens could be sinks.
    """
    if not factor > 1:
        raise GeometryError(
            f"a sink draws more than the mean: the factor must be > 1, got {factor}"
        )
    questions, _, count = logits.shape
    if questions < _FEWEST_QUESTIONS:
        return torch.zeros(questions, count, dtype=torch.bool, device=logits.device)
    shares = logits.float().softmax(-1).mean(1)
    constant = shares.quantile(_UNMOVED_QUESTIONS, 0)
    return (constant > factor / count) & (shares < _WANTED_MORE * constant)


def without_sinks(logits: Tensor, sinks: Tensor) -> Tensor:
    """Logits in which sinks get what the least liked other token gets.

    Args:
        logits: ``(q, heads, n)``.
        sinks: bool ``(q, n)``; for a question for which all are sinks, none is.
    """
    sinks = (sinks & ~sinks.all(-1, keepdim=True))[:, None]
    lowest = logits.masked_fill(sinks, torch.inf).amin(-1, keepdim=True)
    return _with_the_mass_of(torch.where(sinks, lowest, logits), logits)


def without_trend(logits: Tensor, trend: Tensor) -> Tensor:
    """Logits ``(q, heads, n)`` minus the trend ``(heads, n)``."""
    return _with_the_mass_of(logits - trend, logits)


def place_features(tokens: TokenSet, size: tuple[float, float]) -> Tensor:
    """What a trend may depend on, float64 ``(n, 10)``: all products of up to two of three numbers.

    They are the center's x and y over the scene and the place in the sequence, each in [-1, 1].

    Args:
        tokens: The n tokens in the order in which a decoder sees them.
        size: ``(width, height)`` of the scene in pixels.
    """
    x, y = (tokens.centers_scene / torch.tensor(size, dtype=torch.float64) * 2 - 1).unbind(1)
    r = torch.linspace(-1, 1, len(tokens), dtype=torch.float64)
    return torch.stack([torch.ones_like(r), x, y, r, x * x, y * y, r * r, x * y, x * r, y * r], 1)


class PlaceTrend:
    """How attention depends on a token's place alone: least squares over many questions.

    Attributes:
        moments: float64 ``(p, p)``, sums over tokens of products of features.
        products: float64 ``(p, heads)``, sums of features times centered logits.
    """

    _RIDGE = 1e-4

    def __init__(self, heads: int, features: int = PLACE_FEATURES) -> None:
        """Start with no observation: the trend is 0 everywhere."""
        self.moments = torch.zeros(features, features, dtype=torch.float64)
        self.products = torch.zeros(features, heads, dtype=torch.float64)

    def observe(self, features: Tensor, logits: Tensor) -> None:
        """Add the logits ``(q, heads, n)`` of some questions over tokens ``(n, p)``."""
        mean = logits.double().cpu().mean(0)
        centered = mean - mean.mean(-1, keepdim=True)
        self.moments += features.T @ features
        self.products += features.T @ centered.T

    def at(self, features: Tensor) -> Tensor:
        """The trend ``(heads, n)``, float32, at tokens with features ``(n, p)``."""
        size = len(self.moments)
        # keeps directions that were never observed at 0
        ridge = self._RIDGE * (self.moments.diagonal().mean() + 1)
        weights = torch.linalg.solve(
            self.moments + ridge * torch.eye(size, dtype=torch.float64), self.products
        )
        trend: Tensor = (features @ weights).T.float()
        return trend


def _with_the_mass_of(logits: Tensor, before: Tensor) -> Tensor:
    """Shift rows so that what falls on all of their tokens together stays as it was."""
    return logits + (before.logsumexp(-1, keepdim=True) - logits.logsumexp(-1, keepdim=True))
