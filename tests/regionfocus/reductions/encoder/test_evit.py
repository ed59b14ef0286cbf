"""Evit inside an encoder: recorded numbers, worked examples, bounds."""

import pytest
import torch
from encoder_toys import CLASS_ATTENTION, X, near
from reduction_vectors import close, read, vector_files
from released_mergers import evit_step

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.evit import EViT


def test_evit_keeps_the_published_share_and_all_at_rate_one():
    x, a = torch.rand(10, 2), torch.rand(10)
    assert len(evit_step(x, a, 0.7)[1]) == 7
    assert torch.equal(evit_step(x, a, 1.0)[0], x)
    with pytest.raises(ModelError, match="at most 1, got 0"):
        evit_step(x, a, 0)


def test_evit_fuses_what_it_drops_into_a_mean_at_the_most_attended_of_it():
    features = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    row = {7: torch.tensor([[0.1, 0.4, 0.3, torch.nan]])}
    kept = EViT().reduce(TokenContext(features, cls_attention=row), 2)
    assert kept.index.tolist() == [1, 2]
    assert kept.groups.tolist() == [1, 0, 1, 1]
    assert kept.sizes.tolist() == [1, 3]
    torch.testing.assert_close(kept.features[:, 0], torch.tensor([2.0, (0.1 + 0.9) / 0.4]))
    with pytest.raises(ModelError, match=r"of layers \[7\], EViT asks for 2"):
        EViT(2).reduce(TokenContext(features, cls_attention=row), 2)


def test_evit_keeps_half_and_sums_up_the_rest():
    tokens, kept = evit_step(X, CLASS_ATTENTION, 0.5)
    assert kept.tolist() == [5, 1, 6, 2]
    near(tokens[-1], [0.07, 0.082, 0.136])
    assert torch.equal(tokens[:4], X[kept])


@pytest.mark.parametrize("path", vector_files("evit_"))
def test_evit_keeps_and_fuses_as_published(path):
    data, params = read(path)
    x = data["in_x_after_attn"]
    tokens, kept = evit_step(x[1:], data["in_cls_attn"], params["keep_rate"])
    assert len(kept) == data["out_left"].item()
    if len(kept) < len(x) - 1:
        assert kept.tolist() == data["out_topk_idx"].tolist()
    if not params["fuse"]:
        tokens = tokens[: len(kept)]
    close(torch.cat([x[:1], tokens]), data["out_tokens"], 1e-5)
