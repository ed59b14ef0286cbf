"""Nested pooling: recorded scales, worked examples, the fixed form on any grid."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, load, near, vector_files

from geofovea.errors import GeometryError
from geofovea.regionfocus.resamplers.nested import Nested, TokenFlex, released_pool, swiglu

GRID = torch.arange(16.0)[:, None]
seeds = st.integers(0, 9999)


def everything(tokens):
    return torch.ones(tokens.shape[:2], dtype=torch.bool)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("file", vector_files("m3_pool_", folder=SECOND))
def test_scales_are_those_of_the_reference(file):
    parameters, inputs, outputs = load(file)
    for scale in parameters["scales"]:
        near(released_pool(inputs["x"], parameters["side"], scale), outputs[f"s{scale}"])


def test_a_released_scale_may_give_another_number_of_tokens():
    assert len(released_pool(noise(100, 2), 10, 30)) == 100
    with pytest.raises(GeometryError, match="scales of 1 to 16, not 17"):
        released_pool(GRID, 4, 17)


def test_a_grid_is_pooled_as_in_the_worked_example():
    pooled = Nested((4, 4))(GRID[None], everything(GRID[None]), 4)[0]
    assert pooled.flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    one = torch.ones(1, 1)
    near(swiglu(pooled, one, one, one).flatten(), [5.77589, 20.02751, 110.24696, 156.24942])


def test_the_lengths_are_the_squares_that_divide_the_grid_and_all_of_it():
    assert Nested((6, 6)).counts == (1, 4, 9, 36)
    assert Nested((4, 6)).counts == (1, 4, 24)
    assert Nested((5, 7)).counts == (1, 35)


@given(seeds)
def test_all_tokens_are_the_tokens_themselves(seed):
    tokens = noise(2, 12, 3, seed=seed)
    assert torch.equal(Nested((3, 4))(tokens, everything(tokens), 12), tokens)


@given(seeds)
def test_hidden_tokens_do_not_count(seed):
    tokens = noise(1, 36, 3, seed=seed)
    visible = torch.rand(1, 36, generator=torch.Generator().manual_seed(seed)) > 0.4
    other = torch.where(visible[..., None], tokens, 99.0)
    first, second = (Nested((6, 6))(x, visible, 4) for x in (tokens, other))
    torch.testing.assert_close(first, second)


def test_an_untrained_correction_is_none():
    tokens = noise(2, 36, 4)
    torch.manual_seed(0)
    torch.testing.assert_close(
        TokenFlex((6, 6), 4)(tokens, everything(tokens), 9),
        Nested((6, 6))(tokens, everything(tokens), 9),
    )


@given(st.sampled_from([1, 4, 9, 36]))
def test_tokens_that_are_equal_stay_equal_at_every_length(count):
    torch.manual_seed(1)
    flex = TokenFlex((6, 6), 4)
    torch.nn.init.normal_(flex.last.weight)
    made = flex(torch.full((1, 36, 4), 0.7), torch.ones(1, 36, dtype=torch.bool), count)
    torch.testing.assert_close(made, made[:, :1].expand_as(made))
