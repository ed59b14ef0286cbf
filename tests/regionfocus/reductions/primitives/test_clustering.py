"""Clusters by density: recorded numbers and worked examples."""

import pytest
import torch
from reduction_vectors import X, read, vector_files

from geofovea.regionfocus.reductions.decoder.sparsevlm import (
    cluster_means,
)
from geofovea.regionfocus.reductions.primitives.clustering import cluster_by_density

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.mark.parametrize("file", vector_files("sparsevlm_cluster"))
def test_dpc_knn_merges_into_the_means_of_the_reference(file):
    case, params = read(file)
    means = cluster_means(case["in_x"], params["cluster_num"], exact=False)
    torch.testing.assert_close(means, case["out_merged"], **CLOSE)


def test_dpc_knn_centers_and_means_are_those_of_the_worked_example():
    clusters = cluster_by_density(X, 3)
    centers, label = clusters.centers, clusters.assignment
    assert centers.tolist() == [1, 3, 6]
    assert label.tolist() == [0, 0, 1, 1, 1, 0, 2, 1]
    expected = torch.tensor([[0.8, 0.2, 0.03333], [0.05, 0.5, 0.525], [-1, 0, 0.1]])
    torch.testing.assert_close(cluster_means(X, 3), expected, atol=1e-5, rtol=0)
