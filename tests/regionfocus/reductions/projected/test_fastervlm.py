"""FasterVLM: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import CLS, close, load, tokens, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.fastervlm import FasterVLM
from geofovea.regionfocus.reductions.projected.vtc_cls import VtcCls


@pytest.mark.parametrize(("k", "index"), [(3, [1, 5, 6]), (4, [1, 2, 5, 6]), (5, [1, 2, 5, 6, 7])])
def test_fastervlm_keeps_the_most_attended_tokens(k, index):
    context = tokens(cls_attention={22: torch.stack([CLS + 0.01, CLS - 0.01])})
    assert FasterVLM().reduce(context, k).index.tolist() == index


def test_fastervlm_without_a_class_token_says_what_it_used():
    kept = FasterVLM().reduce(tokens(received={22: CLS}), 3)
    assert (kept.index.tolist(), kept.info) == ([1, 5, 6], {"score": "received"})
    with pytest.raises(ModelError, match="needs cls_attention or received"):
        FasterVLM().reduce(tokens(), 3)


@pytest.mark.parametrize("path", vector_files("fastervlm"))
def test_fastervlm_is_the_released_code(path):
    params, inputs, outputs = load(path)
    attentions = inputs["cls_attn_heads"]
    for heads, mask in zip(attentions, outputs["keep_mask"], strict=True):
        context = TokenContext(torch.zeros(len(mask), 1), cls_attention={0: heads})
        kept = FasterVLM().reduce(context, params["k"])
        assert kept.index.tolist() == mask.nonzero()[:, 0].tolist()
    close(attentions.mean(dim=1), outputs["mean_attn"])


def test_vtc_of_one_layer_is_fastervlm():
    context = tokens(cls_attention={7: CLS[None]})
    for k in range(1, 8):
        found, expected = VtcCls().reduce(context, k), FasterVLM().reduce(context, k)
        assert torch.equal(found.index, expected.index)
