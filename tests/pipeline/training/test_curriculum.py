"""Phases and the pace of learning are functions of the step alone."""

import json
from dataclasses import asdict

import pytest
from training_toys import CONFIG, PLAN

from geofovea.pipeline.training.curriculum import (
    Phase,
    TrainingConfig,
    Turn,
    config_from_json,
    default_config,
)


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


def test_a_config_names_its_world_and_survives_json():
    for world in (1, 2):
        config = default_config(0.01, world=world)
        assert config.world == world
        assert {t.plan.world for phase in config.phases for t in phase.turns} == {world}
        assert config_from_json(json.loads(json.dumps(asdict(config)))) == config
    assert default_config(0.01) == default_config(0.01, world=1)


def test_a_config_of_before_there_were_two_worlds_is_of_the_first():
    record = json.loads(json.dumps(asdict(default_config(0.01))))
    for phase in record["phases"]:
        for turn in phase["turns"]:
            del turn["plan"]["world"]
    assert config_from_json(record) == default_config(0.01)
