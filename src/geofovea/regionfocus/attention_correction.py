"""From rows of attention to a score for each vision token, without what all questions attend to.

Each row is corrected by itself before the rows become one: layers and heads have sinks of their
own, and a row that points at one token must not drown among rows that point nowhere.

Sources: attention relative to that of a neutral question as in "MLLMs Know Where to Look"
(arXiv 2502.17422); sinks and the positional trend as in `rfm.attention_debiasing`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.attention_mode import AttentionMode
from geofovea.regionfocus.position_trend import strong_trends
from geofovea.regionfocus.rfm.attention_debiasing import (
    PlaceTrend,
    constant_sinks,
    place_features,
    without_sinks,
    without_trend,
)
from geofovea.regionfocus.token_neighbors import largest_around, neighbors_of
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "corrected_rows",
    "early_shares",
    "excess_over_neutral",
    "rows_of_mode",
    "scores_from_layers",
    "scores_from_rows",
    "without_lone_peaks",
]

_TINY = 1e-30
_FLOOR = 0.001
_STEEPNESS = 3
_MOST_OVER_NEIGHBORS = 2000
_SINK_OVER_MEAN = 5
_NEIGHBOR = 3
_SLOPE = 1e-6


def scores_from_layers(
    rows: Tensor,
    neutral_rows: Tensor,
    tokens: TokenSet,
    mode: AttentionMode,
    reworded: Tensor,
    layers: tuple[int, ...],
) -> Tensor:
    """As `scores_from_rows`, from all heads of some layers.

    Args:
        rows: ``(layers, heads, n)``, shares of n tokens.
        neutral_rows: ``(k, layers, heads, n)``.
        tokens: The n tokens.
        mode: What to do.
        reworded: ``(w, layers, heads, n)``.
        layers: Which layers they are of; those that the mode reads are among them.

    Returns:
        float32 ``(n,)``, at least zero, sum 1.

    Raises:
        ModelError: See `scores_from_rows`; also if the mode names a head that there is not.
    """
    early = None
    if mode.early:
        places = [layers.index(layer) for layer in mode.early]
        prompts = torch.cat([rows[None], reworded, neutral_rows])
        early = early_shares(prompts[:, places], 1 + len(reworded))
    own = rows_of_mode(rows, layers, mode)
    neutral, again = (
        torch.stack([rows_of_mode(each, layers, mode) for each in others])
        if len(others)
        else own.new_empty((0, *own.shape))
        for others in (neutral_rows, reworded)
    )
    return scores_from_rows(own, neutral, tokens, mode, again, early)


def scores_from_rows(
    rows: Tensor,
    neutral_rows: Tensor,
    tokens: TokenSet,
    mode: AttentionMode,
    reworded: Tensor | None = None,
    early: Tensor | None = None,
) -> Tensor:
    """One score for each token.

    Args:
        rows: ``(g, n)``, shares of n tokens in each row of attention that the mode names.
        neutral_rows: ``(k, g, n)``, the same rows for each of the mode's neutral questions.
        tokens: The n tokens.
        mode: What to do.
        reworded: ``(w, g, n)``, the same rows for each of the mode's wordings of the question, and
            those of its halvings as the last; None where it has none.
        early: ``(1 + w + k, n)``, the `early_shares` of the question, its wordings and the neutral
            questions; None where the mode has no early layers.

    Returns:
        float32 ``(n,)``, at least zero, sum 1.

    Raises:
        ModelError: If there is not one row for each row and neutral question, or for each row and
            wording.
    """
    reworded = rows[None][:0] if reworded is None else reworded
    for name, count, others in (
        ("neutral questions", len(mode.neutral), neutral_rows),
        ("further readings", mode.readings, reworded),
    ):
        if others.shape != (count, *rows.shape):
            raise ModelError(
                f"{count} {name} have rows {(count, *rows.shape)}, got {tuple(others.shape)}"
            )
    shares = corrected_rows(rows, neutral_rows, tokens, mode.correction, reworded, early)
    if mode.pooling == "median" and len(shares) > 1:
        # where half of the rows agree on nothing, their mean is all that there is
        middle = shares.quantile(0.5, dim=0)
        pooled = middle if float(middle.sum()) > _TINY else shares.mean(0)
    else:
        pooled = shares.mean(0)
    return _shares(pooled)


def excess_over_neutral(rows: Tensor, neutral_rows: Tensor) -> Tensor:
    """What a token gets, and far less where neutral questions give it as much.

    A token that gets ``r``, and at least ``b`` from every neutral question, scores
    ``r · (r / (r + b))³ · (max(0, 1 - b / r) + 0.001) / 1.001``. That is about ``r`` for what
    only the question attends to, and an eight-thousandth of it for what every question attends to
    as much.

    Args:
        rows: ``(..., n)``.
        neutral_rows: ``(k, ..., n)``, with k at least 1.

    Returns:
        Numbers of at least zero, ``(..., n)``, whose proportions matter.
    """
    # the least, because a neutral question, too, has a favorite, which may be what is asked about
    least = neutral_rows.amin(0)
    increase = (1 - least / (rows + _TINY)).clamp(min=0)
    contrast = (rows / (rows + least + _TINY)) ** _STEEPNESS
    return rows * contrast * (increase + _FLOOR) / (1 + _FLOOR)


def early_shares(rows: Tensor, readings: int) -> Tensor:
    """What sinks draw in layers that have hardly read the question.

    A sink of the vision tower draws layer after layer, and may do so more for one question than for
    another. What a question is about draws the layers that have understood it. A token counts by
    the head in the middle and by the early layer that gives it the least. It is a sink if it gets
    more than five times the mean from a reading of the question. What other tokens get does not
    count: where only later layers have a sink, a thing gets so little there that what early layers
    spread over all tokens would outweigh it.

    Args:
        rows: ``(prompts, e, heads, n)``, shares in e early layers. The readings of the question
            come first, and neutral questions follow.
        readings: How many they are.

    Returns:
        At least zero, ``(prompts, n)``.
    """
    least = rows.float().median(2).values.amin(1)
    is_sink = least * least.shape[-1] > _SINK_OVER_MEAN
    # a token that the question spares is compared with all that neutral questions give it
    is_sink[readings:] = is_sink[:readings].any(0)
    return least.masked_fill(~is_sink, 0)


def without_lone_peaks(excess: Tensor, rows: Tensor, tokens: TokenSet) -> Tensor:
    """Scores that are clipped where a row attends to a token and to nothing around it.

    Attention to a thing spills to the tokens around it. Attention to a sink does not, not even
    where the sink moves with the question. A score is clipped at 2000 times the third largest share
    among the tokens that touch its own: two sinks side by side vouch for each other, and a thing
    has more around it.

    Args:
        excess: ``(..., n)``, scores of at least zero and at most the rows.
        rows: ``(..., n)``, shares.
        tokens: The n tokens.
    """
    bound = _MOST_OVER_NEIGHBORS * largest_around(rows, neighbors_of(tokens), _NEIGHBOR)
    # what is clipped keeps its order
    return torch.minimum(excess, bound + _SLOPE * excess)


def rows_of_mode(rows: Tensor, layers: tuple[int, ...], mode: AttentionMode) -> Tensor:
    """The rows ``(g, n)`` that a mode names, layer by layer and head by head.

    Args:
        rows: ``(layers, heads, n)``.
        layers: Which layers they are of; those of the mode are among them.
        mode: See there.

    Raises:
        ModelError: If the mode names a head that there is not.
    """
    if mode.heads is None:
        return torch.cat([rows[layers.index(layer)] for layer in mode.layers])
    if any(head >= rows.shape[1] for _, head in mode.heads):
        raise ModelError(
            f"the attention mode names heads up to {max(head for _, head in mode.heads)}, and "
            f"there are {rows.shape[1]} a layer, from 0; run geofovea calibrate again"
        )
    return torch.stack([rows[layers.index(layer), head] for layer, head in mode.heads])


def corrected_rows(
    rows: Tensor,
    neutral_rows: Tensor,
    tokens: TokenSet,
    correction: str,
    reworded: Tensor | None = None,
    early: Tensor | None = None,
) -> Tensor:
    """Each row corrected by itself, as shares ``(g, n)``; see `scores_from_rows`.

    Args:
        rows: ``(g, n)``.
        neutral_rows: ``(k, g, n)``.
        tokens: The n tokens.
        correction: One of ``CORRECTIONS``.
        reworded: ``(w, g, n)``.
        early: ``(1 + w + k, n)``; it counts where the correction is relative.
    """
    wordings = rows[None] if reworded is None else torch.cat([rows[None], reworded])
    return _shares(_corrected(wordings.float(), neutral_rows.float(), tokens, correction, early))


def _corrected(
    wordings: Tensor,
    neutral_rows: Tensor,
    tokens: TokenSet,
    correction: str,
    early: Tensor | None,
) -> Tensor:
    if correction == "raw":
        return wordings[0]
    if correction == "relative":
        spread, own, neutral_rows = _without_trends(wordings, neutral_rows, tokens, early)
        # what the question is about draws every wording of it, and a sink that moves draws one
        excess = excess_over_neutral(own.amin(0), neutral_rows)
        return without_lone_peaks(excess, spread.amin(0), tokens)
    rows = wordings.amin(0)
    # (k + 1, g, n): the question comes first
    logits = torch.cat([rows[None], neutral_rows]).clamp(min=_TINY).log()
    if correction == "masked":
        # each row has sinks of its own
        masked = [
            without_sinks(row[:, None], constant_sinks(row[:, None]))[0, 0]
            for row in logits.unbind(1)
        ]
        return torch.stack(masked).exp()
    return without_trend(logits[:1], _neutral_trend(logits[1:], tokens))[0].exp()


def _without_trends(
    wordings: Tensor, neutral_rows: Tensor, tokens: TokenSet, early: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Rows as if no position were liked better.

    Returns:
        What the wordings attend to, ``(w, g, n)``; what of it early layers do not attend to, as
        shares; and the same of the neutral questions, ``(k, g, n)``.
    """
    trends = strong_trends(neutral_rows.clamp(min=_TINY).log().mean(0), tokens)
    factors = (-trends).exp()
    prompts = torch.cat([wordings, neutral_rows])
    # a sink that is in early layers, too, adds as much there
    own = prompts if early is None else (prompts - early[:, None]).clamp(min=0)
    prompts, own = prompts * factors, own * factors
    count, sums = len(wordings), own.sum(-1, keepdim=True).clamp(min=_TINY)
    shares = _shares(own)
    return (prompts / sums)[:count], shares[:count], shares[count:]


def _neutral_trend(logits: Tensor, tokens: TokenSet) -> Tensor:
    """What the position of a token explains of its neutral attention, ``(g, n)``."""
    corners = tokens.boxes_scene[:, 2:].amax(0)
    features = place_features(tokens, (float(corners[0]), float(corners[1])))
    trend = PlaceTrend(heads=logits.shape[1])
    trend.observe(features, logits)
    return trend.at(features).to(logits.device)


def _shares(values: Tensor) -> Tensor:
    """Values that sum to 1 along the last axis; all alike where there is nothing."""
    sums = values.sum(-1, keepdim=True)
    return torch.where(sums > _TINY, values / sums.clamp(min=_TINY), 1 / values.shape[-1])
