"""Virtual unmerging between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import close, read, vector_files

from geofovea.regionfocus.reductions.decoder.virtual_unmerging import (
    virtual_attention,
    virtual_scores,
)


def test_virtual_attention_of_an_unmerged_sequence_is_attention():
    q, k, v = torch.randn(3, 1, 2, 7, 4, generator=torch.Generator().manual_seed(0))
    angles = torch.arange(7)[:, None] * torch.tensor([1.0, 0.1])
    rotary = tuple(f(torch.cat([angles, angles], 1))[None] for f in (torch.cos, torch.sin))
    scores = virtual_scores(q, k, torch.arange(7), rotary, 0.5)
    mask = torch.ones(7, 7).triu(1).bool()
    expected = scores.masked_fill(mask, -torch.inf).softmax(-1) @ v
    output = virtual_attention(q, k, v, torch.arange(7), rotary, 0.5)
    torch.testing.assert_close(output, expected)


def test_virtual_attention_of_merged_tokens_is_the_mean_over_members():
    generator = torch.Generator().manual_seed(1)
    groups = torch.tensor([0, 1, 0, 2, 1])
    q, k, v = torch.randn(3, 1, 2, 3, 4, generator=generator)
    angles = torch.rand(1, 5, 4, generator=generator)
    rotary = angles.cos(), angles.sin()
    whole = virtual_attention(
        q[:, :, groups], k[:, :, groups], v[:, :, groups], torch.arange(5), rotary, 0.5
    )
    merged = virtual_attention(q, k, v, groups, rotary, 0.5)
    for group in range(3):
        torch.testing.assert_close(merged[:, :, group], whole[:, :, groups == group].mean(2))


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
