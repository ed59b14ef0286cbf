"""ToMe, DyMU and CrossGET against numbers recorded from the official implementations."""

import pytest
import torch
from reduction_vectors import close, read, vector_files
from released_mergers import crossget_importance, crossget_merge, dymu_merge, merge_once

from geofovea.regionfocus.reductions.decoder.virtual_unmerging import virtual_scores
from geofovea.regionfocus.reductions.encoder.crossget import crossget_match
from geofovea.regionfocus.reductions.encoder.dymu import batch_threshold


def adjacency(groups, count):
    return torch.nn.functional.one_hot(groups, count).T.float()


@pytest.mark.parametrize("path", vector_files("tome_"))
def test_tome_merges_as_published(path):
    data, params = read(path)
    tokens, sizes, groups = merge_once(
        data["in_x"],
        data["in_metric"],
        data["in_size"][:, 0],
        params["r"],
        protect_first=params["class_token"],
    )
    close(tokens, data["out_tokens"], 1e-5)
    close(sizes, data["out_size"], 1e-6)
    assert torch.equal(adjacency(groups, len(tokens)), data["out_source"])
    close(tokens[groups], data["out_unmerged"], 1e-5)


@pytest.mark.parametrize("path", vector_files("dymu_threshold_"))
def test_dymu_merges_what_exceeds_the_threshold_as_published(path):
    data, params = read(path)
    tokens, sizes, groups = dymu_merge(data["in_x"], data["in_metric"], params["threshold"])
    close(tokens, data["out_tokens"])
    close(sizes, data["out_size"], 1e-6)
    assert torch.equal(adjacency(groups, len(tokens)), data["out_pos_tracking"])
    close(tokens[groups], data["out_expanded"])


@pytest.mark.parametrize("path", vector_files("dymu_batch_threshold"))
def test_dymu_calibrates_the_published_threshold(path):
    data, params = read(path)
    found = batch_threshold(list(data["in_metric"]), params["r"])
    assert found == pytest.approx(data["out_threshold"].item(), rel=1e-5)


@pytest.mark.parametrize("path", vector_files("dymu_vtu"))
def test_virtual_unmerging_scores_as_published(path):
    data, params = read(path)
    scores = virtual_scores(
        data["in_q"],
        data["in_k"],
        data["in_mapping"],
        (data["in_cos"], data["in_sin"]),
        params["scaling"],
    )
    close(scores, data["out_scores"], 1e-5)


@pytest.mark.parametrize("path", vector_files("crossget_"))
def test_crossget_matches_and_merges_as_published(path):
    data, params = read(path)
    flavour = data["in_metric"] if len(data["in_query"]) == 1 else None
    importance = crossget_importance(data["in_query"], flavour)
    # beside a class token the last token is the cross token, and neither merges
    protected = torch.zeros(len(importance), dtype=torch.bool)
    protected[[0, -1]] = params["class_token"]
    pairs = crossget_match(
        data["in_metric"],
        importance,
        params["r"],
        data["in_rank_order"],
        protected=protected,
    )
    sources, destinations = data["out_src_idx"], data["out_dst_all_idx"][data["out_dst_idx"]]
    expected = dict(zip(sources.tolist(), destinations.tolist(), strict=True))
    assert dict(zip(pairs[0].tolist(), pairs[1].tolist(), strict=True)) == expected
    stays = torch.ones(len(importance), dtype=torch.bool)
    stays[pairs[0]] = False
    assert set(stays.nonzero()[:, 0].tolist()) == set(data["out_dst_all_idx"].tolist())
    tokens, sizes, weights = crossget_merge(data["in_x"], data["in_size"][:, 0], pairs, importance)
    close(tokens, data["out_tokens"])
    close(sizes, data["out_size"], 1e-6)
    order = [sources.tolist().index(source) for source in pairs[0].tolist()]
    close(weights, data["out_weight"][order])
