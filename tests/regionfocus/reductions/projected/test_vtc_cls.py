"""VTC-CLS: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import CLS, OTHER, close, load, near, tokens, vector_files

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.vtc_cls import VtcCls, summed_attention


def test_vtc_sums_all_layers_but_the_last():
    layers = {9: CLS[None], 10: OTHER[None], 11: torch.full((1, 8), 0.125)}
    near(summed_attention(layers), [0.15, 0.34, 0.40, 0.11, 0.11, 0.40, 0.34, 0.15])
    assert VtcCls().reduce(tokens(cls_attention=layers), 3).index.tolist() == [1, 2, 5]
    with pytest.raises(ModelError, match="these are there: 9, 10, 11"):
        summed_attention(layers, 11)


@pytest.mark.parametrize("path", vector_files("vtc_cls"))
def test_vtc_is_the_released_code(path):
    params, inputs, outputs = load(path)
    layers = dict(enumerate(inputs["cls_attn_layers"]))
    context = TokenContext(torch.zeros(inputs["cls_attn_layers"].shape[1], 1), cls_attention=layers)
    starts = [int(name.removeprefix("ens_start")) for name in outputs if name.startswith("ens")]
    assert starts
    for start in starts:
        close(summed_attention(layers, start), outputs[f"ens_start{start}"])
        kept = VtcCls(start).reduce(context, params["k"])
        expected = outputs[f"keep{params['k']}_start{start}"]
        assert kept.index.tolist() == sorted(expected.tolist())
