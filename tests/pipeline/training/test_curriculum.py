"""Phases and the pace of learning are functions of the step alone."""

import pytest
from training_toys import CONFIG, PLAN

from geofovea.pipeline.training.curriculum import Phase, TrainingConfig, Turn, default_config


@pytest.mark.parametrize(
    ("step", "pace"),
    [(0, 0.1), (4, 0.5), (9, 1.0), (10, 1.0), (60, 0.51), (110, 0.02), (999, 0.02)],
)
def test_the_learning_rate_climbs_and_falls_as_stated(step, pace):
    config = TrainingConfig(phases=(Phase(110, (Turn(1, PLAN),)),), warmup=10)
    assert config.pace_at(step) == pytest.approx(pace)


def test_phases_follow_each_other_and_the_last_goes_on():
    first, second = CONFIG.phases
    found = [CONFIG.phase_at(step) for step in (0, 2, 3, 99)]
    assert found == [first, first, second, second]
    assert CONFIG.steps == 4


def test_the_default_config_scales_its_steps_and_keeps_its_phases():
    whole, tenth = default_config(), default_config(0.1)
    assert len(whole.phases) == len(tenth.phases)
    assert tenth.steps == pytest.approx(whole.steps / 10, abs=2)
    assert default_config(1e-9).steps == len(whole.phases)
