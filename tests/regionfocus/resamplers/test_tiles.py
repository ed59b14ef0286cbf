"""A resampler under a budget: never more than it, whole tiles untouched, boxes of what is meant."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.resamplers.registry import (
    RESAMPLER_NAMES,
    make_resampler,
    parse_resampler,
)
from geofovea.regionfocus.resamplers.tiles import ResampledTiles

WIDTH = 6
EVERY = pytest.mark.parametrize("name", RESAMPLER_NAMES)


def resampler(name):
    torch.manual_seed(3)
    sized = {} if name == "m3" else {"width": WIDTH}
    return make_resampler(name, (6, 6), sized).requires_grad_(False)


def look(tiles=3, hidden=0, seed=0):
    """Tokens of some tiles side by side, some of which show nothing."""
    made = torch.Generator().manual_seed(seed)
    places = torch.arange(36)
    cells = torch.stack([places // 6, places % 6], 1).repeat(tiles, 1)
    tile = torch.arange(tiles).repeat_interleave(36)
    corner = torch.stack([cells[:, 1] + 6 * tile, cells[:, 0]], 1).double()
    keep = torch.randperm(len(tile), generator=made)[hidden:].sort().values
    return TokenContext(
        torch.randn(len(tile), WIDTH, generator=made)[keep],
        torch.rand(len(tile), generator=made)[keep],
        tile_index=tile[keep],
        boxes_scene=torch.cat([corner, corner + 1], 1)[keep],
        cells=cells[keep],
        text_embeds=torch.randn(3, WIDTH, generator=made),
    )


@EVERY
@given(st.integers(1, 130), st.integers(0, 60), st.integers(0, 99))
@settings(max_examples=15)
def test_no_more_tokens_come_out_than_the_budget_holds(name, budget, hidden, seed):
    context = look(hidden=hidden, seed=seed)
    choice = ResampledTiles(resampler(name)).reduce(context, budget)
    assert 1 <= len(choice.index) <= budget
    assert len(choice.features) == len(choice.boxes) == len(choice.index)
    assert choice.index.unique().tolist() == choice.index.tolist()
    assert choice.features.isfinite().all()


@EVERY
def test_a_budget_for_all_leaves_every_token_as_it_is(name):
    context = look(hidden=9)
    choice = ResampledTiles(resampler(name)).reduce(context, len(context.features))
    assert torch.equal(choice.features, context.features)
    assert torch.equal(choice.boxes, context.boxes_scene)


@EVERY
def test_no_tile_gets_more_than_the_setting(name):
    choice = ResampledTiles(resampler(name), most=4).reduce(look(), 1000)
    assert choice.info["per_tile"] == {0: 4, 1: 4, 2: 4}


def test_a_budget_below_the_number_of_tiles_leaves_out_those_of_little_weight():
    context = look()
    context.scores[:36] *= 0.01
    choice = ResampledTiles(resampler("mqt")).reduce(context, 2)
    assert choice.info["per_tile"] == {0: 0, 1: 1, 2: 1}


def test_what_one_tile_cannot_use_goes_to_another():
    """Lengths are 1, 4, 9 and 36: of 8 tokens two tiles cannot take 4 and 4 if one weighs more."""
    context = look(tiles=2)
    context.scores[:36], context.scores[36:] = 0.75, 0.25
    choice = ResampledTiles(resampler("m3")).reduce(context, 8)
    assert choice.info["per_tile"] == {0: 4, 1: 4}


def test_a_token_has_the_box_of_what_it_stands_for():
    nested = ResampledTiles(resampler("m3"), most=4).reduce(look(tiles=1), 4)
    assert nested.boxes.tolist() == [[0, 0, 3, 3], [3, 0, 6, 3], [0, 3, 3, 6], [3, 3, 6, 6]]
    assert nested.sizes.tolist() == [9, 9, 9, 9]
    latents = ResampledTiles(resampler("mqt"), most=2).reduce(look(tiles=1), 4)
    assert latents.boxes.tolist() == [[0, 0, 6, 6]] * 2


def test_a_question_is_asked_for_where_it_is_read():
    context = look()
    blind = TokenContext(
        context.features,
        tile_index=context.tile_index,
        boxes_scene=context.boxes_scene,
        cells=context.cells,
    )
    with pytest.raises(ModelError, match="quecc needs text_embeds"):
        ResampledTiles(resampler("quecc")).reduce(blind, 5)


@pytest.mark.parametrize(
    "text",
    ["mqt:0", "mqt:x", "mqt:", "mqt:-1", "perceiver", pytest.param("mqt:" + "9" * 5000, id="long")],
)
def test_a_choice_that_cannot_be_meant_is_refused(text):
    with pytest.raises(ModelError, match=r"write mqt:4|choose one of m3, tokenflex, mqt, quecc"):
        parse_resampler(text)


def test_a_choice_has_a_name_and_perhaps_a_number():
    assert parse_resampler("m3").tokens is None
    assert parse_resampler("quecc:9").tokens == 9
