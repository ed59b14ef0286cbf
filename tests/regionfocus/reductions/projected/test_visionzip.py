"""VisionZip: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import CLS, OTHER, X, close, load, near, tokens, vector_files
from released_reductions import visionzip_released

from geofovea.regionfocus.reductions.projected.visionzip import VisionZip, assign_to_targets


def test_visionzip_is_that_of_the_worked_example():
    with_cls = torch.cat([torch.full((1, 3), 9.0), X])
    found, top = visionzip_released(torch.stack([CLS, OTHER]), with_cls, with_cls, 2, 2)
    assert sorted(top.tolist()) == [0, 3, 6]
    rest = torch.tensor([0, 1, 3, 4, 6, 7])
    targets, best = assign_to_targets(X, rest, 2)
    assert targets.tolist() == [0, 4]
    assert best.tolist() == [0, 0, 1, 1, 1, 1]
    near(found[:3], [[9, 9, 9], [0, 1, 0], [0.5, 0.5, 0.1]])
    near(found[3:], [[1.9, 0.1, 0], [-0.26667, 0.33333, 1.4]])


@pytest.mark.parametrize("path", vector_files("visionzip_"))
def test_visionzip_faithful_is_the_released_code(path):
    params, inputs, outputs = load(path)
    found, top = visionzip_released(
        inputs["cls_attn_heads"],
        inputs["metric"],
        inputs["hidden"],
        params["dominant_excl_cls"],
        params["contextual"],
    )
    assert set(top.tolist()) == set(outputs["all_indices"].tolist())
    close(found, outputs["tokens"])


def test_visionzip_means_conserve_the_mass_of_all_tokens():
    context = tokens(cls_attention={22: torch.stack([CLS, OTHER])}, keys=X)
    kept = VisionZip(contextual=0.5).reduce(context, 4)
    assert kept.index.tolist() == [0, 2, 4, 5]
    assert kept.groups.tolist() == [0, 0, 1, 2, 2, 3, 2, 2]
    near(kept.features[0], [0.95, 0.05, 0])
    near(kept.sizes.double() @ kept.features.double(), X.double().sum(dim=0))
