"""Spatten between decoder layers: worked examples."""

import pytest
from decoder_toys import worked_attention

from geofovea.regionfocus.reductions.decoder.spatten import cumulative_attention
from geofovea.regionfocus.scoring import top_indices


def test_spatten_sums_are_those_of_the_worked_example():
    sums = cumulative_attention([worked_attention(8, causal=False)])
    expected = [1.60714, 1.92068, 1.98048, 1.78505, 3.07901, 2.1799, 1.84059, 1.60714]
    assert sums.tolist() == pytest.approx(expected, abs=1e-5)
    assert float(sums.sum()) == pytest.approx(16, abs=1e-5)
    assert top_indices(sums, 4).sort().values.tolist() == [1, 2, 4, 5]
