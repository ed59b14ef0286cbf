"""Local attention between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import read, vector_files

from geofovea.regionfocus.reductions.decoder.local_attention import local_mask


@pytest.mark.parametrize("file", vector_files("yopo_local_mask"))
def test_yopo_allows_the_neighbors_of_the_reference(file):
    case, params = read(file)
    side = int(len(case["out_allowed"]) ** 0.5)
    assert torch.equal(local_mask((side, side), params["window"]), case["out_allowed"])
