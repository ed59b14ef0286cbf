"""What reductions inside an encoder are shown in tests: worked examples, and random contexts."""

from __future__ import annotations

import torch
from reduction_vectors import CLS as CLASS_ATTENTION
from reduction_vectors import X

from geofovea.regionfocus.reductions.context import TokenContext

__all__ = ["CLASS_ATTENTION", "ONES", "X", "adjacency", "near", "random_context"]

ONES = torch.ones(8)


def near(values, expected, tolerance=2e-5):
    """Compare with numbers printed to five digits; type and shape are those of the numbers."""
    torch.testing.assert_close(values, torch.tensor(expected), rtol=0, atol=tolerance)


def adjacency(groups, count):
    """Which of ``n`` tokens are in which of ``count`` groups, ``(count, n)``."""
    return torch.nn.functional.one_hot(groups, count).T.float()


def random_context(n, seed, dtype=torch.float32, **more):
    """A context of ``n`` tokens with scores, one class row and one layer of attention."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, 6, generator=generator).to(dtype)
    row = torch.rand(1, n, generator=generator).to(dtype)
    graph = torch.randn(2, n, n, generator=generator).to(dtype).softmax(-1)
    scores = torch.rand(n, generator=generator)
    return TokenContext(features, scores, cls_attention={3: row}, attention={3: graph}, **more)
