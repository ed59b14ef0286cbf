"""Virtual unmerging: a decoder attends to merged tokens as if they had never merged.

Second half of DyMU (see ``dymu``). Acts in the attention of every decoder layer; needs its queries,
keys and values before rotation, and where each original token went.

Queries, keys and values of m merged tokens are repeated for their n members, rotated to the
original positions, and attended to over all n; the outputs of a group are averaged. The result is
exact, and costs the attention over n: it saves the projections and the MLP only. Time O(n²d),
memory O(n²) for the scores, so n is bounded.

``fixed`` equals ``faithful`` here.

No name of a reduction reaches this module: it replaces the attention of a decoder, and our hosts
run stock layers. The reductions of ``dymu`` work without it. It stands here, compared with the
released code, for a host that can swap its attention.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["virtual_attention", "virtual_scores"]

_MOST_TOKENS = 8192


def virtual_scores(
    queries: Tensor, keys: Tensor, groups: Tensor, rotary: tuple[Tensor, Tensor], scaling: float
) -> Tensor:
    """Attention logits over the n original tokens, from m merged ones.

    Args:
        queries: ``(b, heads, m, dh)``, before rotation.
        keys: ``(b, heads, m, dh)``, before rotation.
        groups: int64 ``(n,)``, the merged token of each original one.
        rotary: Cosines and sines ``(b, n, dh)`` of the original positions, in halves as
            ``transformers`` has them.
        scaling: What the logits are multiplied by.

    Returns:
        float32 ``(b, heads, n, n)``, before mask and softmax.

    Raises:
        ModelError: If there are more than 8192 original tokens.
    """
    if len(groups) > _MOST_TOKENS:
        raise ModelError(
            f"virtual unmerging holds all attention scores of up to {_MOST_TOKENS} tokens, got "
            f"{len(groups)}; attend to the merged tokens, or unmerge tile by tile"
        )
    cos, sin = (part[:, None].float() for part in rotary)
    spread_queries = _rotate(queries.float()[:, :, groups], cos, sin)
    spread_keys = _rotate(keys.float()[:, :, groups], cos, sin)
    return spread_queries @ spread_keys.transpose(-1, -2) * scaling


def virtual_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    groups: Tensor,
    rotary: tuple[Tensor, Tensor],
    scaling: float,
    *,
    is_causal: bool = True,
) -> Tensor:
    """Attention outputs of m merged tokens, as means over their members, ``(b, heads, m, dh)``.

    See `virtual_scores` for the arguments and errors; ``values`` is ``(b, heads, m, dh)``. With
    ``is_causal`` an original token sees those before it and itself.
    """
    scores = virtual_scores(queries, keys, groups, rotary, scaling)
    if is_causal:
        future = torch.ones(len(groups), len(groups), dtype=torch.bool, device=scores.device)
        scores = scores.masked_fill(future.triu(1), -torch.inf)
    spread = scores.softmax(-1) @ values.float()[:, :, groups]
    total = torch.zeros_like(values, dtype=torch.float32).index_add_(2, groups, spread)
    members = torch.bincount(groups, minlength=values.shape[2]).clamp_min(1)
    return (total / members[:, None]).to(values.dtype)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate the pairs of first and second half by the angles of ``cos`` and ``sin``."""
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin
