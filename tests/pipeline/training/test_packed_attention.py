"""Packed questions get what a full attention matrix with its mask would give them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.pipeline.training.packed_attention import packed_attention


def full_attention(query, key, value, seen, scaling, length):
    """The oracle: every pair of tokens, those that may not see each other masked."""
    total, prefix = query.shape[2], seen.shape[1]
    owner = torch.arange(total - prefix) // length
    owner = torch.cat([owner.new_full((prefix,), -1), owner])
    related = (owner[:, None] == owner[None]) | (owner[None] == -1)
    mask = torch.ones(total, total, dtype=torch.bool).tril() & related
    keys = torch.cat([seen, seen.new_ones(len(seen), total - prefix)], 1)
    mask = mask[None, None] & keys[:, None, None]
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=scaling
    ).transpose(1, 2)


@given(
    prefix=st.integers(1, 9),
    questions=st.integers(1, 4),
    length=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_packed_attention_is_masked_full_attention(prefix, questions, length, seed):
    generator = torch.Generator().manual_seed(seed)
    query, key, value = torch.randn(3, 2, 3, prefix + questions * length, 8, generator=generator)
    seen = torch.rand(2, prefix, generator=generator) < 0.7
    seen[:, 0] = True
    packed, weights = packed_attention(
        torch.nn.Identity(), query, key, value, seen, scaling=0.3, question_length=length
    )
    assert weights is None
    torch.testing.assert_close(packed, full_attention(query, key, value, seen, 0.3, length))


def test_packed_attention_without_its_mask_says_so():
    nothing = torch.zeros(1, 1, 2, 4)
    with pytest.raises(TypeError, match="mask of its prefix"):
        packed_attention(
            torch.nn.Identity(), nothing, nothing, nothing, None, scaling=1.0, question_length=1
        )
