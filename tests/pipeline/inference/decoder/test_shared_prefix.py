"""Rows of many questions equal those of the stock model, and nothing quadratic is ever made."""

import pytest
import torch
from pipeline_toys import DECODERS, QUESTION, grouped_decoder, llava_host, random_llava
from torch.utils._python_dispatch import TorchDispatchMode

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.region_focus import DistilledFocus
from geofovea.pipeline.inference.decoder.inputs import DecoderInput
from geofovea.pipeline.inference.decoder.shared_prefix import (
    layer_rows,
    pack_prompts,
    with_linear_attention,
)

IMAGE = 19


@pytest.fixture(params=DECODERS)
def decoder(request):
    return grouped_decoder(request.param, 3)


def prompts(*lengths, shared=True, width=48):
    torch.manual_seed(1)
    image = torch.randn(1, 1 + IMAGE, width)
    return [
        DecoderInput(
            torch.cat([image if shared else torch.randn_like(image), torch.randn(1, n, width)], 1),
            1,
            IMAGE,
        )
        for n in lengths
    ]


@torch.no_grad()
@pytest.mark.parametrize("shared", [True, False])
def test_rows_of_all_layers_are_those_of_the_stock_attention(decoder, shared):
    given = prompts(5, 1, 9, shared=shared)
    packs = pack_prompts(given, torch.float32)
    assert len(packs) == (1 if shared else 3)
    found = []
    for pack in packs:
        with with_linear_attention(decoder, 40):
            rows = layer_rows(decoder.layers, decoder.rotary_emb, pack, (0, 1, 2))
        found += [[rows[layer][i] for layer in range(3)] for i in range(len(pack.tails))]
    for one, rows in zip(given, found, strict=True):
        stock = decoder(inputs_embeds=one.embeds, output_attentions=True).attentions
        length = one.embeds.shape[1]
        for row, attention in zip(rows, stock, strict=True):
            torch.testing.assert_close(
                row[:, :length].softmax(-1), attention[0, :, -1], atol=1e-5, rtol=1e-4
            )


def test_the_decoder_keeps_its_own_kind_of_attention(decoder):
    with with_linear_attention(decoder, 40):
        assert decoder.config._attn_implementation == "sdpa"
    assert decoder.config._attn_implementation == "eager"


def test_a_prompt_beyond_the_window_of_a_decoder_is_refused():
    decoder = random_llava().model.language_model
    decoder.config.sliding_window = 8
    with pytest.raises(ModelError, match="sees 8 tokens back"), with_linear_attention(decoder, 9):
        pass


class _Largest(TorchDispatchMode):
    """Notes the largest number of elements, and how often a tensor has two long sides."""

    def __init__(self, long):
        super().__init__()
        self.long, self.square, self.numel = long, [], 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
                if sum(side >= self.long for side in tensor.shape) > 1:
                    self.square.append((str(func), tuple(tensor.shape)))
        return made


def _learnt_from(count):
    """What teaching with ``count`` vision tokens makes, forward and backward."""
    host = llava_host(random_llava(context=4096))
    decoder, module = host.decoder, DistilledFocus(host.decoder, (0, 1))
    torch.manual_seed(1)
    image = torch.randn(1, 1 + count, 32)
    given = [
        DecoderInput(torch.cat([image, torch.randn(1, n, 32)], 1), 1, count) for n in (4, 7, 5)
    ]
    (pack,) = pack_prompts(given, torch.float32)
    with _Largest(count) as largest:
        with torch.no_grad(), with_linear_attention(decoder, count + 8):
            wanted = layer_rows(decoder.layers, decoder.rotary_emb, pack, (0, 1))
        found = module.rows(pack, (0, 1))
        sum((found[i] - wanted[i]).square().mean() + found[i].sum() for i in (0, 1)).backward()
    return largest


def test_teaching_makes_no_matrix_over_all_pairs_of_tokens():
    small, large = _learnt_from(600), _learnt_from(1200)
    assert not large.square, large.square[:3]
    assert large.numel < 2.1 * small.numel


def test_that_check_sees_a_full_matrix_when_there_is_one():
    decoder = random_llava().model.language_model
    with torch.no_grad(), _Largest(300) as largest:
        decoder(inputs_embeds=torch.randn(1, 300, 32), output_attentions=True)
    assert largest.square


def test_questions_that_stand_before_the_image_are_run_one_by_one():
    from small_tiles import tokens_of

    host = llava_host(random_llava(), template="{question} {image} is")
    inputs = [host.decoder_input(q, tokens_of(host)) for q in (QUESTION, "is it red ?")]
    assert len(pack_prompts(inputs, torch.float32)) == 2
