"""Stvit inside an encoder: recorded numbers, worked examples, bounds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import close, read, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.encoder.stvit import (
    STViTEncoder,
    associate,
    cell_for,
    upsample,
)

seeds = st.integers(0, 999)


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 4), st.integers(1, 4))
def test_masked_super_tokens_keep_a_constant_map_and_share_each_token_once(h, w, ch, cw):
    found = associate(torch.full((3, h, w), 2.5), (ch, cw), 2)
    torch.testing.assert_close(found.shares.sum(-1), torch.ones(h, w))
    torch.testing.assert_close(found.supers, torch.full_like(found.supers, 2.5))
    torch.testing.assert_close(upsample(found), torch.full((3, h, w), 2.5))


@given(st.integers(1, 3), st.integers(1, 3), seeds)
def test_super_tokens_of_a_mirrored_map_are_mirrored(ch, cw, seed):
    # cells begin at the left edge, so mirroring holds for whole cells
    features = torch.randn(4, 2 * ch, 3 * cw, generator=torch.Generator().manual_seed(seed))
    found, mirrored = (associate(x, (ch, cw)).supers for x in (features, features.flip(2)))
    torch.testing.assert_close(mirrored.flip(2), found)


@given(st.integers(1, 12), st.integers(1, 150))
def test_cells_give_at_most_the_budget_and_all_of_it_where_they_can(side, k):
    h, w = cell_for((side, side), k)
    assert -(-side // h) * -(-side // w) <= k
    if k >= side * side:
        assert (h, w) == (1, 1)


def test_an_impossible_super_token_is_refused():
    with pytest.raises(ModelError, match="at least 1 x 1"):
        associate(torch.zeros(2, 3, 3), (0, 1))
    with pytest.raises(ModelError, match="square grid of patches, got 8"):
        STViTEncoder().start(8, 2, 3)


@pytest.mark.parametrize("path", vector_files("stvit_"))
def test_stvit_gathers_and_gives_back_as_published(path):
    data, params = read(path)
    cell = tuple(params["stoken_size"])
    found = associate(data["in_x"], cell, params["n_iter"], is_masked=False)
    close(upsample(found), data["out_y"], 1e-5)
