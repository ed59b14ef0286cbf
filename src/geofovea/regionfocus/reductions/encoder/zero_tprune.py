"""Zero-TPrune: importance from the attention graph, then from likeness to the important.

Wang et al., "Zero-TPrune: Zero-Shot Token Pruning through Leveraging of the Attention Graph in
Pre-Trained Transformers", CVPR 2024 (arXiv id not given by our source; no code was released).

Acts inside the vision encoder at chosen layers, or on the whole attention of an encoder layer.
Needs the attention matrix and the keys. A weighted PageRank over each head's attention gives
importance (I-stage); of the less important half, the most alike to one of the more important half
go (S-stage). A light vote of one iteration comes first, then the S-stage, then the I-stage.

Time O(iterations · heads · n²) and O(n²d/4), memory O(heads · n²) for the n tokens of a tile.

There is no reference to be faithful to; worked examples hold. What our source left open and we
chose: the variance of the head filter is taken of importance times n (it could never reach .01
otherwise), all heads count when none passes, equal values go by index, and the stages share what
is to be dropped evenly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.base import LayerView, Place
from geofovea.regionfocus.reductions.encoder.schedule import acting_layers, geometric_counts
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.merging import matched_rows, nearest
from geofovea.regionfocus.scoring import top_indices

__all__ = [
    "ZeroTPrune",
    "ZeroTPruneEncoder",
    "ZeroTPruneRun",
    "combine_heads",
    "drop_alike",
    "head_filter",
    "page_rank",
    "zero_tprune",
]

_MOST_TOKENS = 8192
_VARIANCES = (0.01, 0.7)


def page_rank(attention: Tensor, iterations: int, *, has_class: bool = False) -> Tensor:
    """Importance of each token in each head, float32 ``(heads, n)``, rows sum to one.

    Args:
        attention: ``(heads, n, n)``, rows are queries and sum to one.
        iterations: How often importance flows along the attention, at least 1.
        has_class: Whether token 0 is a class token, which begins with sqrt(n) times the weight.

    Raises:
        ModelError: If there is no iteration, or there are more than 8192 tokens.
    """
    n = attention.shape[-1]
    if iterations < 1 or n > _MOST_TOKENS:
        raise ModelError(
            f"Zero-TPrune needs at least one iteration and takes up to {_MOST_TOKENS} tokens with "
            f"all their attention, got {iterations} and {n}; reduce tile by tile, or choose "
            "flowcut"
        )
    start = torch.ones(n, device=attention.device)
    if has_class:
        start[0] = n**0.5
    ranks = (start / start.sum()).expand(len(attention), 1, n)
    for _ in range(iterations):
        ranks = ranks @ attention.float()
    return ranks[:, 0]


def head_filter(ranks: Tensor, variances: tuple[float, float] = _VARIANCES) -> Tensor:
    """Heads that say something, bool ``(heads,)``: all, where none does.

    ``ranks`` is ``(heads, n)``; its variance over tokens, at a mean of one, must lie in
    ``variances``: below it a head sees all alike, above it one token only.
    """
    spread = (ranks * ranks.shape[-1]).var(-1, correction=0)
    passes = (spread >= variances[0]) & (spread <= variances[1])
    return passes if bool(passes.any()) else torch.ones_like(passes)


def combine_heads(ranks: Tensor, variances: tuple[float, float] = _VARIANCES) -> Tensor:
    """Importance over the heads that pass the filter: root of the mean square, ``(n,)``."""
    return ranks[head_filter(ranks, variances)].square().mean(0).sqrt()


def drop_alike(keys: Tensor, importance: Tensor, r: int) -> Tensor:
    """Drop the ``r`` of the less important half that are most alike to the other half.

    Args:
        keys: ``(n, d)``.
        importance: ``(n,)``.
        r: How many; cut to the size of the less important half.

    Returns:
        The tokens that stay, int64, ascending.
    """
    n = len(keys)
    order = top_indices(importance, n)
    upper, lower = order[: n - n // 2], order[n - n // 2 :]
    stays = torch.ones(n, dtype=torch.bool, device=keys.device)
    if len(lower) and r > 0:
        rows = matched_rows(keys)
        lower = lower.sort().values  # equal likeness goes by index
        alike, _ = nearest(rows[lower], rows[upper])
        stays[lower[top_indices(alike, r)]] = False
    return stays.nonzero()[:, 0]


def zero_tprune(
    attention: Tensor,
    keys: Tensor,
    k: int,
    iterations: int,
    alike_share: float = 0.5,
    *,
    has_class: bool = False,
) -> Tensor:
    """Both stages: ``k`` of n tokens, int64 ascending.

    Args:
        attention: ``(heads, m, m)``; m is n, or n + 1 with a class token.
        keys: ``(n, d)``.
        k: How many to keep, 1 to n.
        iterations: Of the I-stage.
        alike_share: Share of the tokens to drop that go in the S-stage.
        has_class: Whether token 0 of the attention is a class token.
    """
    n = len(keys)
    first = int(has_class)
    attention = torch.nan_to_num(attention.float(), nan=0.0)
    vote = combine_heads(page_rank(attention, 1, has_class=has_class))[first:]
    stays = drop_alike(keys, vote, int((n - k) * alike_share))
    if len(stays) == k:
        return stays
    index = stays
    if has_class:
        index = torch.cat([stays.new_zeros(1), stays + 1])
    # what is left attends to what is left: rows sum to one again
    graph = attention[:, index[:, None], index]
    graph = graph / graph.sum(-1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    importance = combine_heads(page_rank(graph, iterations, has_class=has_class))[first:]
    return stays[top_indices(importance, k)].sort().values


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise ModelError(f"alike_share is a share of the dropped tokens, 0 to 1, got {share}")


@dataclass(frozen=True, slots=True)
class ZeroTPrune(PerTile):
    """Both stages on the attention of one encoder layer.

    Attributes:
        layer: Encoder layer of the attention; -1 for the last there is.
        iterations: Of the I-stage.
        alike_share: Share of the dropped tokens that go in the S-stage.

    Raises:
        ModelError: If ``alike_share`` is not a share.
    """

    layer: int = -1
    iterations: int = 5
    alike_share: float = 0.5
    name: ClassVar[str] = "zero_tprune"
    stage: ClassVar = "encoder_output"
    requires: ClassVar[frozenset[str]] = frozenset({"attention"})
    uses: ClassVar[frozenset[str]] = frozenset({"keys"})

    def __post_init__(self) -> None:
        _check_share(self.alike_share)

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        maps = context.attention
        layer = max(maps, default=-1) if maps and self.layer == -1 else self.layer
        if not maps or layer not in maps:
            raise ModelError(
                f"these tokens have attention of layers {sorted(maps or {})}, Zero-TPrune asks "
                f"for {self.layer}; choose one of those, or -1 for the last"
            )
        attention = context.attention_of(layer)
        if n > _MOST_TOKENS:
            page_rank(attention, 1)  # refuses
        # a class token took part in the softmax, so rows do not sum to one
        attention = torch.nan_to_num(attention.float(), nan=0.0)
        tiny = torch.finfo(torch.float32).tiny
        attention = attention / attention.sum(-1, keepdim=True).clamp_min(tiny)
        keys = context.features if context.keys is None else context.keys
        keep = zero_tprune(
            attention, keys.to(attention.device), k, self.iterations, self.alike_share
        )
        return TokenChoice(keep.cpu())


@dataclass(frozen=True, slots=True)
class ZeroTPruneEncoder:
    """Both stages at a few layers, dropping the same share at each.

    Attributes:
        layers: Where it acts; one, two and three quarters of the way unless given.
        alike_share: Share of the dropped tokens that go in the S-stage.

    Raises:
        ModelError: If ``alike_share`` is not a share.
    """

    layers: tuple[int, ...] | None = None
    alike_share: float = 0.5
    name: ClassVar[str] = "zero_tprune"
    place: ClassVar[Place] = "block"
    is_proportional: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_share(self.alike_share)

    def start(self, n: int, k: int, layers: int) -> ZeroTPruneRun:
        """See `EncoderReduction`.

        Raises:
            BudgetError: If it should act at layers that do not run.
        """
        acts = acting_layers(layers, self.layers)
        counts = dict(zip(acts, geometric_counts(n, k, len(acts)), strict=True))
        # attention mixes slowly in early layers and needs hardly any iteration in late ones
        iterations = {at: 30 if 3 * at < layers else 5 if 3 * at < 2 * layers else 1 for at in acts}
        return ZeroTPruneRun(counts, iterations, self.alike_share)


@dataclass(frozen=True, slots=True)
class ZeroTPruneRun:
    """One image on its way through the encoder."""

    counts: dict[int, int]
    iterations: dict[int, int]
    alike_share: float

    def needs(self, layer: int) -> frozenset[str]:
        """See `EncoderRun`."""
        return frozenset({"attention", "keys"}) if layer in self.counts else frozenset()

    def step(self, view: LayerView) -> TokenChoice | None:
        """See `EncoderRun`."""
        k = self.counts[view.layer]
        if len(view.hidden) <= k:
            return None
        keep = zero_tprune(
            view.require("attention"),
            view.mean_key,
            k,
            self.iterations[view.layer],
            self.alike_share,
            has_class=view.has_class,
        )
        return TokenChoice(keep.cpu())
