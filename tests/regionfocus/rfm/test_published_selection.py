"""Tokens, tiles and masks of the published method are the recorded ones."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from repository import SHARED

from geofovea.errors import BudgetError, GeometryError
from geofovea.regionfocus.rfm.published_selection import select_share, tiles_of_tokens, valid_tokens

REFERENCE = SHARED / "reference"
FILES = sorted(REFERENCE.glob("*unit_ops*.json"))


def selections():
    if not FILES:
        reason = f"no recorded operations in {REFERENCE}; set GEOFOVEA_SHARED"
        return [pytest.param(None, {}, marks=pytest.mark.skip(reason=reason))]
    return [
        pytest.param(path.with_suffix(".npz"), row, id=f"{path.stem}-{row['key']}")
        for path in FILES
        for row in json.loads(path.read_text(encoding="utf-8"))["select"]
    ]


@pytest.mark.parametrize(("path", "row"), selections())
def test_selected_tokens_and_their_tiles_are_the_recorded_ones(path, row):
    key, grid, blocks = row["key"], tuple(row["grid"]), tuple(row["blocks"])
    # the key is sel{i}_{f|m}_{ratio}, and scores and masks are stored per i
    case = key.split("_")[0]
    with np.load(path) as arrays:
        scores = torch.from_numpy(arrays[f"{case}_scores"])
        valid = torch.from_numpy(arrays[f"{case}_mask"]).bool() if row["masked"] else None
        index = select_share(scores, grid, valid, row["ratio"])
        assert index.tolist() == arrays[f"{key}_idx"].tolist()
        tiles = tiles_of_tokens(index, grid, blocks)
        assert tiles.tolist() == arrays[f"{key}_pos"].tolist()
    assert (len(index), len(tiles)) == (row["n_sel"], row["n_tiles"])


grids = st.tuples(st.integers(1, 9), st.integers(1, 9))


@given(grids, grids, st.floats(0, 1), st.randoms())
def test_newlines_are_kept_and_every_vote_is_for_a_tile_that_exists(grid, blocks, share, random):
    scores = torch.rand(grid[0] * grid[1], generator=_seeded(random))
    index = select_share(scores, grid, share=share)
    newlines = set(range(grid[1] - 1, len(scores), grid[1]))
    assert newlines <= set(index.tolist())
    assert index.tolist() == sorted(set(index.tolist()))
    assert len(index) <= int(len(scores) * share) + grid[0]
    rows, cols = tiles_of_tokens(index, grid, blocks).T
    assert 0 <= int(rows.min()) <= int(rows.max()) < blocks[0]
    assert 0 <= int(cols.min()) <= int(cols.max()) < blocks[1]


@given(grids, st.floats(0, 1), st.randoms())
def test_a_token_without_a_tile_is_kept_only_as_a_newline(grid, share, random):
    scores = torch.rand(grid[0] * grid[1], generator=_seeded(random))
    valid = torch.rand(len(scores), generator=_seeded(random)) < 0.5
    index = select_share(scores, grid, valid, share)
    assert all(valid[i] or i % grid[1] == grid[1] - 1 for i in index.tolist())


def test_a_token_is_valid_where_its_tile_was_encoded_and_newlines_always_are():
    valid = valid_tokens([(0, 1)], (14, 21)).view(14, 21)
    assert valid[:12, 12:].all()
    assert not valid[:, :12].any()
    assert not valid[12:, :20].any()
    assert valid[:, 20].all()


def test_impossible_shares_and_grids_are_refused():
    with pytest.raises(BudgetError, match="between 0 and 1"):
        select_share(torch.rand(4), (2, 2), share=1.5)
    with pytest.raises(GeometryError, match="needs 6 scores, got 4"):
        select_share(torch.rand(4), (2, 3))


def _seeded(random):
    return torch.Generator().manual_seed(random.getrandbits(16))
