"""MQT: recorded tokens of the release, nested queries, what keys of content change."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, load, near, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.resamplers.mqt import Mqt, resized_positions

WHOLE = torch.ones(2, 36, dtype=torch.bool)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def resampler(**settings):
    torch.manual_seed(5)
    return Mqt((6, 6), 12, queries=8, **settings).requires_grad_(False)


def released(parameters, inputs):
    """The resampler with the weights of the reference."""
    side, width = parameters["tgt_side"], parameters["kv_dim"]
    made = Mqt(
        (side, side),
        width,
        queries=parameters["grid"] ** 2,
        heads=parameters["heads"],
        keys="position",
        output=inputs["w_proj"],
    ).requires_grad_(False)
    made.query.copy_(inputs["w_query"])
    made.query_position.copy_(inputs["w_pos_embed"])
    made.key_position.copy_(resized_positions(inputs["w_pos_embed"], side))
    made.mean.zero_()
    for name, norm in (("q", made.norm_query), ("k", made.norm_key), ("v", made.norm_value)):
        norm.weight.copy_(inputs[f"w_ln_{name}.weight"])
        norm.bias.copy_(inputs[f"w_ln_{name}.bias"])
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    made.attention.load_state_dict({name: inputs[f"w_attn.{name}"] for name in names})
    return made


@pytest.mark.parametrize("file", vector_files("mqt_", folder=SECOND))
def test_tokens_are_those_of_the_reference(file):
    parameters, inputs, outputs = load(file)
    made = released(parameters, inputs)
    near(resized_positions(inputs["w_pos_embed"], parameters["tgt_side"]), outputs["pos_resized"])
    visible = torch.ones(1, len(inputs["x"]), dtype=torch.bool)
    for count, name in ((len(outputs["tokens"]), "tokens"), (parameters["m"], "tokens_m")):
        near(made(inputs["x"][None], visible, count)[0], outputs[name])


@given(st.integers(1, 8))
def test_few_queries_make_the_first_tokens_of_many(count):
    tokens, made = noise(2, 36, 12), resampler()
    torch.testing.assert_close(made(tokens, WHOLE, count), made(tokens, WHOLE, 8)[:, :count])


def test_equal_tokens_make_equal_outputs_where_keys_are_positions():
    tokens = torch.full((1, 36, 12), 0.3)
    made = resampler(keys="position")(tokens, WHOLE[:1], 4)[0]
    torch.testing.assert_close(made, made[:1].expand_as(made))


def test_the_attention_of_positions_does_not_see_the_picture_and_that_of_content_does():
    """A share of a token in the output is a number that positions fix, and content does not."""
    tokens = noise(1, 36, 12)
    moved = tokens.clone()
    moved[:, 0] *= 3  # norms of values stay, those of keys with positions do not
    for keys, is_equal in (("position", True), ("content", False)):
        made = resampler(keys=keys)
        made.mean.zero_()
        first, second = (made(x, WHOLE[:1], 8) for x in (tokens, moved))
        assert torch.allclose(first, second, atol=1e-5) == is_equal


def test_hidden_tokens_are_not_read():
    tokens, visible, made = noise(1, 36, 12), torch.arange(36)[None] < 20, resampler()
    other = torch.where(visible[..., None], tokens, 7.0)
    torch.testing.assert_close(made(tokens, visible, 5), made(other, visible, 5))


def test_a_width_that_heads_do_not_divide_is_refused():
    with pytest.raises(ModelError, match="a width of 10 and 3 heads"):
        Mqt((6, 6), 10)
