"""Where tokens stand: by their cells, their grid or their boxes, and with rows missing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.cells import cells_of


def context_of(cells, pitch=(28.0, 28.0), corner=(0.0, 0.0)):
    """Tokens that are known by their boxes alone."""
    start = cells.flip(1).double() * torch.tensor(pitch) + torch.tensor(corner)
    boxes = torch.cat([start, start + torch.tensor(pitch)], 1)
    return TokenContext(torch.zeros(len(cells), 1), boxes_scene=boxes)


def grid(rows, cols):
    return torch.cartesian_prod(torch.arange(rows), torch.arange(cols))


@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.sampled_from((0.1, 1 / 3, 28.0, 448.0)),
    st.floats(-1e6, 1e6),
)
def test_boxes_of_a_whole_grid_are_its_rows_and_columns(rows, cols, pitch, corner):
    cells = grid(rows, cols)
    assert torch.equal(cells_of(context_of(cells, (pitch, pitch), (corner, corner))), cells)


@pytest.mark.parametrize("missing", [0, 2, 5])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_missing_row_or_column_leaves_a_hole(missing, axis):
    cells = grid(6, 6)
    left = cells[cells[:, axis] != missing]
    found = cells_of(context_of(left, (14.0, 28.0)))
    # where the first is missing, they are counted from the next one
    assert torch.equal(found, left - left.amin(0))
    # what stood on both sides of the hole are no neighbors
    across = found[:, axis].unique().diff()
    assert across.max() == (2 if missing == 2 else 1)


def test_a_single_token_stands_at_the_origin():
    assert cells_of(context_of(torch.tensor([[3, 4]]))).tolist() == [[0, 0]]


def test_tokens_without_a_place_are_refused():
    with pytest.raises(ModelError, match="needs the grid, the cells or the boxes"):
        cells_of(TokenContext(torch.zeros(3, 1)))
