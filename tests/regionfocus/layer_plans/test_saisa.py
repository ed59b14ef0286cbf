"""SAISA: the worked example, fitted projectors, refusals."""

import pytest
import torch
from layer_views import toy_view
from reduction_vectors import near, noise

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.saisa import Saisa, SaisaProjector, fit_projector


def test_a_word_attends_as_in_the_worked_example():
    near(torch.tensor([1.0, 2, 0]).softmax(0), [0.24473, 0.66524, 0.09003])


def test_a_projector_is_fitted_to_a_linear_map():
    features, weight, bias = noise(400, 5, seed=1), noise(7, 5, seed=2), noise(7, seed=3)
    states = features @ weight.T + bias
    fitted = fit_projector(features, states, ridge=1e-9)
    torch.testing.assert_close(fitted(features), states, rtol=1e-4, atol=1e-4)
    flat = fit_projector(features, states, ridge=1e9)
    torch.testing.assert_close(flat(features), states.mean(0).expand(400, 7), rtol=0, atol=1e-4)


def test_each_layer_gets_what_its_projector_makes():
    features = noise(5, 3, seed=4)
    maps = tuple(SaisaProjector(noise(16, 3, seed=i), torch.zeros(16)) for i in range(6))
    plan = Saisa(maps, features).plan(toy_view(4))
    assert torch.equal(plan.states, maps[4](features))
    assert (plan.attends, plan.feeds) == (False, False)


def test_projectors_and_features_of_another_model_are_refused():
    one = SaisaProjector(noise(16, 3, seed=1), torch.zeros(16))
    for count, rows in ((5, 5), (6, 4)):
        with pytest.raises(ModelError, match="6 layers"):
            Saisa((one,) * count, noise(rows, 3, seed=2)).plan(toy_view())
    with pytest.raises(ModelError, match="pairs"):
        fit_projector(noise(3, 2, seed=1), noise(2, 2, seed=1))
