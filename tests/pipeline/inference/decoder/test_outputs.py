"""Numbers that are not finite are never taken for an answer, and all others are."""

from types import SimpleNamespace

import pytest
import torch

from geofovea.errors import ModelError
from geofovea.pipeline.inference.decoder.outputs import check_finite

HALF = SimpleNamespace(dtype=torch.float16)


@pytest.mark.parametrize("bad", [(torch.inf,), (torch.nan,), (torch.inf, -torch.inf)], ids=str)
def test_one_number_that_is_not_finite_is_refused(bad):
    values = torch.zeros(3, 4)
    values[1, : len(bad)] = torch.tensor(bad)
    with pytest.raises(ModelError, match=r"not finite, in torch\.float16"):
        check_finite(values, "a model", HALF)


def test_numbers_whose_sum_alone_is_too_large_are_taken():
    check_finite(torch.full((8,), 6e4, dtype=torch.float16), "a model", HALF)
    check_finite(torch.zeros(0, 3), "a model", HALF)
