"""EViT, STViT and FlowCut against numbers recorded from the official implementations."""

import pytest
import torch
from reduction_vectors import close, read, vector_files
from released_mergers import evit_step

from geofovea.regionfocus.reductions.encoder.flowcut import (
    flowcut_llm_score,
    flowcut_qwen_score,
    flowcut_score,
    prune_count,
)
from geofovea.regionfocus.reductions.encoder.stvit import associate, upsample


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


@pytest.mark.parametrize("path", vector_files("stvit_"))
def test_stvit_gathers_and_gives_back_as_published(path):
    data, params = read(path)
    cell = tuple(params["stoken_size"])
    found = associate(data["in_x"], cell, params["n_iter"], is_masked=False)
    close(upsample(found), data["out_y"], 1e-5)


@pytest.mark.parametrize("path", vector_files("flowcut_score"))
def test_flowcut_scores_and_counts_as_published(path):
    data, _ = read(path)
    attention = data["in_cls_attn"]
    close(flowcut_score(attention, data["in_sem_attn"], data["in_value"]), data["out_score"], 1e-5)
    for layers_left, target, count in data["out_prune_counts"].tolist():
        assert prune_count(attention, target, layers_left) == count


@pytest.mark.parametrize("path", vector_files("flowcut_qwen_score"))
def test_flowcut_scores_for_qwen_and_for_decoders_as_published(path):
    data, _ = read(path)
    attention, value = data["in_attn"], data["in_value"]
    close(flowcut_llm_score(attention, data["in_sem"], value), data["out_llm"], 1e-5)
    close(flowcut_qwen_score(attention, value), data["out_vit"], 1e-5)
    assert prune_count(attention, 8, 4) == data["out_prune_rpl4_t8"].item()
