"""DeepStack: recorded numbers, the worked example, and groups that are the children of places."""

import numpy as np
import pytest
import torch
from layer_views import toy_view
from reduction_vectors import SECOND, close, load, noise, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.deepstack import DeepStack, dealt_groups, stacked_groups
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

PYRAMID = Pyramid(128, 128, 32)
PARENT = Tile(1, 1, 0)
CHILDREN = tuple(Tile(0, row, col) for row in (2, 3) for col in (0, 1))


def tokens(*tiles, grid=4, seed=0):
    features = noise(len(tiles), grid * grid, 16, seed=seed)
    return tokens_of_tiles(features, (grid, grid), tiles, PYRAMID)


@pytest.mark.parametrize("file", vector_files("deepstack_", folder=SECOND))
def test_groups_and_layers_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    groups = dealt_groups(
        inputs["local_tiles"], params["crops"], params["grid"], params["sampling"]
    )
    assert torch.equal(groups, outputs["groups"])
    method = DeepStack(start=params["start"], interval=params["interval"])
    visual = params["image_start"] + torch.arange(params["grid"] ** 2)
    hidden, depth = inputs["x"], len(inputs["maps"])
    for layer, weight in enumerate(inputs["maps"]):
        number = method.group_before(layer, depth, len(groups))
        if number is not None:
            hidden = hidden.index_add(0, visual, groups[number])
        hidden = torch.tanh(hidden @ weight)
        close(hidden, outputs["hidden"][layer])


def test_tokens_are_dealt_as_in_the_worked_example():
    picture = torch.arange(16).reshape(4, 4)
    tiles = picture.reshape(2, 2, 2, 2).transpose(1, 2).reshape(4, 4, 1)
    dealt = {d: dealt_groups(tiles, (2, 2), 2, d)[..., 0].tolist() for d in ("2d", "grid", "1d")}
    assert dealt["2d"] == [[0, 2, 8, 10], [1, 3, 9, 11], [4, 6, 12, 14], [5, 7, 13, 15]]
    assert dealt["grid"] == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert dealt["1d"] == [list(range(i, 16, 4)) for i in range(4)]
    for groups in dealt.values():
        assert sorted(place for group in groups for place in group) == list(range(16))
    with pytest.raises(ModelError, match="2d, grid or 1d"):
        dealt_groups(tiles, (2, 2), 2, "3d")
    with pytest.raises(ModelError, match=r"\(6, 4\)"):
        dealt_groups(tiles, (2, 3), 2)


def test_nothing_is_added_to_a_prompt_without_vision_tokens():
    nothing = tokens(PARENT).select(torch.zeros(16, dtype=torch.bool))
    groups, is_filled = stacked_groups(nothing, tokens(*CHILDREN))
    assert (groups.shape, is_filled.shape) == ((4, 0, 16), (4, 0))


def test_a_parent_gets_its_own_children_as_the_release_deals_them():
    coarse, fine = tokens(PARENT), tokens(*CHILDREN, seed=1)
    groups, is_filled = stacked_groups(coarse, fine)
    torch.testing.assert_close(groups, dealt_groups(fine.features.reshape(4, 16, 16), (2, 2), 4))
    assert bool(is_filled.all())
    # in any order of the prompt, and without those that are dropped
    some = torch.tensor([9, 2, 14])
    torch.testing.assert_close(stacked_groups(coarse.select(some), fine)[0], groups[:, some])


def test_a_child_changes_its_parent_alone_and_missing_ones_are_zero():
    coarse, fine = tokens(PARENT), tokens(*CHILDREN[1:], seed=1)
    groups, is_filled = stacked_groups(coarse, fine)
    assert int(is_filled.sum()) == len(fine)
    assert bool((groups[~is_filled] == 0).all())
    fine.features[5] += 1
    changed = (stacked_groups(coarse, fine)[0] != groups).any(2)
    # the sixth token of the tile at the top right: second row and column there
    assert changed.nonzero().tolist() == [[3, 2]]


@pytest.mark.parametrize(
    ("width", "height", "grid", "level"),
    [(128, 128, 4, 1), (128, 128, 3, 1), (100, 75, 4, 1), (97, 130, 2, 2), (128, 96, 1, 2)],
)
def test_quarters_hold_the_means_of_what_lies_in_them(width, height, grid, level):
    """Clipped scenes, one token a tile, and a level that was skipped."""
    pyramid, found = Pyramid(width, height, 32), []
    for each in (level, 0):
        span = 32 * 2**each
        rows, cols = range(-(-height // span)), range(-(-width // span))
        tiles = [Tile(each, row, col) for row in rows for col in cols]
        features, step = noise(len(tiles), grid * grid, 3, seed=each), span / grid
        corners = [
            (tile.col * span + i % grid * step, tile.row * span + i // grid * step)
            for tile in tiles
            for i in range(grid * grid)
        ]
        inside = [corner for corner in corners if corner[0] < width and corner[1] < height]
        found.append((tokens_of_tiles(features, (grid, grid), tiles, pyramid), inside, step))
    (coarse, coarse_corners, step), (fine, fine_corners, _) = found
    assert (len(coarse), len(fine)) == (len(coarse_corners), len(fine_corners))
    members = {}
    for (x, y), feature in zip(fine_corners, fine.features.numpy(), strict=True):
        for place, (left, top) in enumerate(coarse_corners):
            right, below = ((x - left) * 2 + 1e-6) // step, ((y - top) * 2 + 1e-6) // step
            if {right, below} <= {0, 1}:
                members.setdefault((int(right + 2 * below), place), []).append(feature)
    groups, is_filled = stacked_groups(coarse, fine)
    assert {tuple(slot) for slot in is_filled.nonzero().tolist()} == set(members)
    for slot, features in members.items():
        np.testing.assert_allclose(groups[slot], np.mean(features, 0), rtol=1e-4, atol=1e-5)


def test_groups_enter_one_layer_after_the_other_and_none_where_nothing_is_kept_out():
    coarse, fine = tokens(PARENT), tokens(*CHILDREN, seed=1)
    few = coarse.select(torch.arange(5))
    method = DeepStack().beside(fine).of(few)
    plans = [method.plan(toy_view(layer)) for layer in range(6)]
    assert [plan.added is None for plan in plans] == [True, False, False, False, False, True]
    assert all(plan.is_stock for plan in plans)
    assert torch.equal(plans[2].added, method.groups[1])
    entering = [n for n in range(4) if DeepStack().group_before(n, 4) is not None]
    assert entering == [0, 1, 2, 3]
    assert DeepStack().of(few).plan(toy_view(2)).added is None
    zero = DeepStack(maps=(torch.zeros(16, 16),) * 4).beside(fine).of(few)
    assert not zero.plan(toy_view(2)).added.any()
    with pytest.raises(ModelError, match="5 vision tokens"):
        method.of(coarse).plan(toy_view(2))


def test_settings_that_mean_nothing_are_refused():
    for settings, match in (
        ({"start": -1}, "from 0"),
        ({"interval": 0}, "interval=0"),
        ({"maps": ()}, "4 groups"),
    ):
        with pytest.raises(ModelError, match=match):
            DeepStack(**settings)
