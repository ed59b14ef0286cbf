"""One row of attention equals that row of the stock attention, whatever the family."""

import pytest
import torch
from pipeline_toys import DECODERS, grouped_decoder

from geofovea.pipeline.inference.attention.rows import row_logits

LAYER = 2


@pytest.fixture(params=DECODERS)
def seen(request):
    """A decoder with grouped heads, the input of a layer, its rotary table, its true attention."""
    decoder = grouped_decoder(request.param, 4)
    inputs = torch.randn(2, 23, 48)
    # every sample has positions of its own, as packed questions have
    positions = torch.stack([torch.arange(23), torch.arange(23) + 5])
    caught = {}

    def catch(module, args, kwargs):
        caught["hidden"] = args[0] if args else kwargs["hidden_states"]
        caught["rotary"] = kwargs["position_embeddings"]

    layer = decoder.layers[LAYER]
    hook = layer.register_forward_pre_hook(catch, with_kwargs=True)
    with torch.no_grad():
        output = decoder(
            inputs_embeds=inputs,
            position_ids=positions,
            attention_mask=torch.ones(2, 23, dtype=torch.long),
            output_attentions=True,
        )
    hook.remove()
    return layer, caught["hidden"], caught["rotary"], output.attentions[LAYER]


@torch.no_grad()
def test_the_softmax_of_the_last_row_is_the_stock_attention(seen):
    layer, hidden, rotary, attention = seen
    last = torch.full((2, 1), 22)
    logits = row_logits(layer, hidden, rotary, last, 0, 23)
    assert logits.shape == (2, 6, 1, 23)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.softmax(-1), attention[:, :, 22:], atol=1e-5, rtol=0)
    # a flat attention would make the comparison worthless
    assert attention[:, :, 22].max() > 0.3


@torch.no_grad()
def test_a_span_of_keys_is_the_stock_attention_renormalized(seen):
    layer, hidden, rotary, attention = seen
    last = torch.full((2, 1), 22)
    span = row_logits(layer, hidden, rotary, last, 4, 11).softmax(-1)
    expected = attention[:, :, 22:, 4:15]
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(span, expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_several_rows_that_differ_by_sample_are_each_their_own(seen):
    layer, hidden, rotary, attention = seen
    rows = torch.tensor([[22, 9], [7, 20]])
    logits = row_logits(layer, hidden, rotary, rows, 0, 8)
    for sample, index in ((0, 0), (0, 1), (1, 0), (1, 1)):
        expected = attention[sample, :, rows[sample, index], :8]
        expected = expected / expected.sum(-1, keepdim=True)
        found = logits[sample, :, index].softmax(-1)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
