"""VQToken: recorded clusters of the release, the worked example, no chance in the fixed form."""

import pytest
import torch
from reduction_vectors import SECOND, load, near, vector_files

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.outputs import group_means
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows
from geofovea.regionfocus.reductions.projected.vqtoken import VqToken, spherical_k_means


@pytest.mark.parametrize("file", vector_files("vqtoken_", folder=SECOND))
def test_clusters_are_those_of_the_reference(file):
    parameters, inputs, outputs = load(file)
    unit = unit_rows(inputs["tokens"].flatten(0, 1))
    labels, centers = spherical_k_means(unit, inputs["init"], tolerance=parameters["tol"])
    assert labels.tolist() == outputs["labels"].flatten().tolist()
    near(centers, outputs["centroids"])
    near(group_means(unit, labels, len(centers)), outputs["means"])


def test_a_token_is_the_mean_of_its_cluster_in_the_worked_example():
    tokens = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    unit = unit_rows(tokens)
    labels, _ = spherical_k_means(unit, unit[[0, 2]])
    assert labels.tolist() == [0, 0, 1, 1]
    near(group_means(unit, labels, 2), [[0.99694, 0.05522], [0.05522, 0.99694]])
    choice = VqToken().reduce(TokenContext(tokens), 2)
    near(choice.features, [[0.95, 0.05], [0.05, 0.95]])
    assert choice.sizes.tolist() == [2, 2]


def test_equal_tokens_share_a_cluster_however_many_are_wanted():
    tokens = torch.eye(3).repeat_interleave(4, 0)
    choice = VqToken().reduce(TokenContext(tokens), 7)
    assert torch.equal(choice.features, torch.eye(3))


def test_more_pairs_than_fit_are_refused():
    with pytest.raises(BudgetError, match="set a smaller token budget"):
        VqToken().reduce(TokenContext(torch.ones(2**13, 1)), 2**12)
