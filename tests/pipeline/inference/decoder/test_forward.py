"""A decoder is given its cache by the name that its own signature has, in any release."""

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaModel

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.forward import forward


class OldName(nn.Module):
    """Up to 5.23 the argument is called so."""

    def forward(self, hidden, past_key_values=None, use_cache=None, **kwargs):
        assert not kwargs
        return hidden, past_key_values, use_cache


class NewName(nn.Module):
    """From 5.24 on it is called so; other names are swallowed."""

    def forward(self, hidden, cache=None, use_cache=None, **kwargs):
        assert not kwargs
        return hidden, cache, use_cache


class NoName(nn.Module):
    def forward(self, hidden, **kwargs):
        return hidden


class Deaf(nn.Module):
    """A decoder that takes a cache and does nothing with it."""

    layers = ()

    def forward(self, hidden, cache=None, use_cache=None):
        return hidden


@pytest.mark.parametrize("kind", [OldName, NewName])
def test_the_cache_arrives_under_either_name(kind):
    cache = DynamicCache()
    assert forward(kind(), "hidden", cache=cache) == ("hidden", cache, True)


@pytest.mark.parametrize("kind", [OldName, NewName])
def test_without_a_cache_none_is_made(kind):
    assert forward(kind(), "hidden", cache=None) == ("hidden", None, False)


def test_a_module_that_takes_no_cache_is_refused_and_not_run_without():
    with pytest.raises(ModelError, match=r"NoName\.forward takes no KV cache"):
        forward(NoName(), "hidden", cache=DynamicCache())


def test_a_decoder_that_leaves_its_cache_empty_is_noticed():
    with pytest.raises(ModelError, match="Deaf left its KV cache empty"):
        forward(Deaf(), "hidden", cache=DynamicCache())


def test_two_steps_with_the_cache_are_one_without():
    torch.manual_seed(5)
    shape = {"hidden_size": 32, "intermediate_size": 48, "vocab_size": 40}
    heads = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    decoder = LlamaModel(LlamaConfig(**shape, **heads)).eval()
    ids, cache = torch.arange(9)[None], DynamicCache(config=decoder.config)
    with torch.inference_mode():
        whole = forward(decoder, input_ids=ids, cache=None).last_hidden_state
        first = forward(decoder, input_ids=ids[:, :6], cache=cache).last_hidden_state
        then = forward(decoder, input_ids=ids[:, 6:], cache=cache).last_hidden_state
    torch.testing.assert_close(torch.cat([first, then], dim=1), whole)
