"""The model beside which parts learn."""

import pytest
from part_toys import frozen_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A frozen model of the embedded kind."""
    return frozen_model(tmp_path_factory.mktemp("model"))
