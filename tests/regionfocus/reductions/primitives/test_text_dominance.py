"""Text dominance: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import formula, near

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.primitives.text_dominance import text_dominance


def test_text_dominance_is_that_of_the_worked_example():
    row = formula(12)[0, 11]
    is_vision = torch.zeros(12, dtype=torch.bool)
    is_vision[2:10] = True
    found = text_dominance(row[None], is_vision)
    near([found.text_mass, found.vision_mass], [0.43773, 0.56227])
    near([found.mdi, found.aei_text], [1.55703, 1.3132])
    assert (found.text_tokens, found.vision_tokens) == (4, 8)
    near(text_dominance(torch.ones(3, 12), is_vision).aei_vision, 1.0)
    with pytest.raises(ModelError, match="12 and 0 tokens"):
        text_dominance(row[None], torch.zeros(12, dtype=torch.bool))
