"""The model beside which parts learn."""

import pytest
from part_toys import frozen_model

from geofovea.pipeline.training.parts import lessons as lesson_files
from geofovea.pipeline.training.parts import train_part as training


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A frozen model of the embedded kind."""
    return frozen_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def small_shards():
    """Shards of three lessons, and one of them held out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson_files, "LESSONS_A_SHARD", 3)
        patch.setattr(training, "_HELD_OUT_SHARDS", 1)
        yield
