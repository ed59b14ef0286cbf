"""Catp between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import random_view
from reduction_vectors import X

from geofovea.regionfocus.reductions.decoder.catp import CatpDecoder, context_scores
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.scoring import top_indices


def test_catp_shrinks_context_first_and_its_own_picture_one_layer_later():
    reduction = CatpDecoder(schedule=Schedule.of((2, 9)))
    assert reduction.layers(8) == (2, 3)
    levels = torch.tensor([3] * 12 + [0] * 6)
    first = reduction.reduce(random_view(18, carried={"levels": levels}))
    kept = levels[first.index]
    assert (int((kept == 3).sum()), int((kept == 0).sum())) == (6, 6)
    later = random_view(12, layer=3, original=18, carried={"levels": kept})
    kept = kept[reduction.reduce(later).index]
    assert (int((kept == 3).sum()), int((kept == 0).sum())) == (6, 3)


def test_catp_scores_are_those_of_the_worked_example():
    before = torch.tensor([0.10, 0.05, 0.20, 0.02, 0.08, 0.15, 0.05, 0.05])
    current = torch.tensor([0.12, 0.05, 0.10, 0.06, 0.20, 0.14, 0.05, 0.05])
    likeness = torch.cosine_similarity(X, torch.tensor([[0.1, 0.2, 1.0]]))
    scores = context_scores(before, current, likeness)
    expected = [0.07855, 0.07113, 0.11711, 0.28134, 0.70554, 0.20498, 0, 0.59352]
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)
    assert top_indices(scores, 4).sort().values.tolist() == [3, 4, 5, 7]
