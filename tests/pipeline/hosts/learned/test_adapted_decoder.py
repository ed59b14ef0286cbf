"""A decoder with low-rank differences: shared where nothing differs, equal to what learned."""

import pytest
import torch
from pipeline_toys import grouped_decoder

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.learned.adapted_decoder import (
    adapted_decoder,
    learnable_decoder,
    low_rank_tensors,
)


@pytest.fixture(scope="module")
def decoder():
    return grouped_decoder("qwen2", layers=2)


def states(decoder):
    embeds = torch.randn(1, 5, 48, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return decoder(inputs_embeds=embeds).last_hidden_state


def test_what_has_not_learned_yet_is_the_decoder(decoder):
    learner = learnable_decoder(decoder, rank=3)
    torch.testing.assert_close(states(learner), states(decoder))
    assert not any(p.requires_grad for p in learner.norm.parameters())


def test_the_copy_computes_what_was_learned_and_leaves_the_decoder_as_it_was(decoder):
    before = states(decoder)
    learner = learnable_decoder(decoder, rank=3)
    with torch.no_grad():
        for parameter in learner.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    adapted = adapted_decoder(decoder, low_rank_tensors(learner))
    torch.testing.assert_close(states(adapted), states(learner), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(states(adapted), before, atol=1e-3)
    assert torch.equal(states(decoder), before)
    assert adapted.norm.weight is decoder.norm.weight
    assert adapted.embed_tokens.weight is decoder.embed_tokens.weight


def test_differences_of_another_decoder_are_refused(decoder):
    tensors = low_rank_tensors(learnable_decoder(decoder, rank=2))
    with pytest.raises(ModelError, match="has no matrix"):
        adapted_decoder(decoder, {f"7.{name}": value for name, value in tensors.items()})
    name = next(iter(tensors)).rpartition(".")[0]
    wrong = {f"{name}.down": torch.zeros(2, 5), f"{name}.up": torch.zeros(5, 2)}
    with pytest.raises(ModelError, match="does not fit"):
        adapted_decoder(decoder, wrong)
