"""A decoder is given its cache by the name that its own signature has, in any release."""

import pytest
import torch
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaModel

from geofovea.errors import CancelledError, ModelError
from geofovea.pipeline.inference.decoder.forward import forward
from geofovea.pipeline.system.cancellation import cancellable


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


@pytest.fixture
def decoder():
    torch.manual_seed(5)
    shape = {"hidden_size": 32, "intermediate_size": 48, "vocab_size": 40}
    heads = {"num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaModel(LlamaConfig(**shape, **heads)).eval()


def test_two_steps_with_the_cache_are_one_without(decoder):
    ids, cache = torch.arange(9)[None], DynamicCache(config=decoder.config)
    with torch.inference_mode():
        whole = forward(decoder, input_ids=ids, cache=None).last_hidden_state
        first = forward(decoder, input_ids=ids[:, :6], cache=cache).last_hidden_state
        then = forward(decoder, input_ids=ids[:, 6:], cache=cache).last_hidden_state
    torch.testing.assert_close(torch.cat([first, then], dim=1), whole)


class Layers:
    """Counts the layers of a decoder that ran, and ends the question after so many."""

    def __init__(self, decoder, most=None):
        self.ran, self._most = 0, most
        self._hooks = [each.register_forward_hook(self._count) for each in decoder.layers]

    def _count(self, *_):
        self.ran += 1

    def check(self):
        if self._most is not None and self.ran >= self._most:
            raise CancelledError("nobody waits")


@pytest.mark.parametrize("has_cache", [True, False])
@pytest.mark.parametrize("most", [1, 3])
def test_a_prompt_ends_between_two_layers_and_the_next_one_is_as_ever(decoder, has_cache, most):
    embedded = torch.randn(1, 9, 32)
    with torch.inference_mode():
        whole = forward(decoder, inputs_embeds=embedded, cache=None).last_hidden_state
        layers = Layers(decoder, most)
        cache = DynamicCache(config=decoder.config) if has_cache else None
        with cancellable(layers.check), pytest.raises(CancelledError, match="nobody waits"):
            forward(decoder, inputs_embeds=embedded, cache=cache)
        assert layers.ran == most
        again = forward(decoder, inputs_embeds=embedded, cache=None).last_hidden_state
    assert torch.equal(again, whole)
    assert not any(layer._forward_pre_hooks for layer in decoder.layers)


def test_a_prompt_that_may_be_ended_is_run_to_the_same_numbers(decoder):
    embedded, layers = torch.randn(1, 9, 32), Layers(decoder)
    with torch.inference_mode():
        whole = forward(decoder, inputs_embeds=embedded, cache=None).last_hidden_state
        with cancellable(layers.check):
            watched = forward(decoder, inputs_embeds=embedded, cache=None).last_hidden_state
    assert torch.equal(watched, whole)
    assert not any(layer._forward_pre_hooks for layer in decoder.layers)
