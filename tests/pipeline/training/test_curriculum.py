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
    further_config,
)
from geofovea.pipeline.training.embedded_model import ModelShape

PLAN_SHAPE = ModelShape()


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


def test_a_further_run_learns_the_same_lessons_at_a_fifth_of_the_rates():
    first, further = default_config(), further_config("embedded", PLAN_SHAPE)
    assert further.learning_rate == pytest.approx(first.learning_rate / 5)
    assert further.matrix_learning_rate == pytest.approx(first.matrix_learning_rate / 5)
    kinds = {turn.plan for phase in first.phases for turn in phase.turns if turn.plan.questions}
    for phase in further.phases:
        assert {turn.plan for turn in phase.turns} == kinds
    # the heads come first, and the warm-up after them
    assert further.pace_at(0) == further.pace_at(further.heads_first - 1) > 1
    assert further.pace_at(further.heads_first) < 0.1
    assert further.pace_at(further.heads_first + further.warmup) == pytest.approx(1, abs=1e-3)
    assert further_config("embedded", PLAN_SHAPE, 1e-9).steps == len(further.phases)


@pytest.mark.parametrize("config", [default_config(seed=3), further_config("embedded", PLAN_SHAPE)])
def test_a_config_comes_back_from_its_json(config):
    assert config_from_json(json.loads(json.dumps(asdict(config)))) == config


def test_a_config_names_its_world_and_survives_json():
    for worlds in ((1,), (2,), (1, 2)):
        config = default_config(0.01, worlds=worlds)
        assert config.worlds == worlds
        assert all({t.plan.world for t in phase.turns} == set(worlds) for phase in config.phases)
        assert config_from_json(json.loads(json.dumps(asdict(config)))) == config
    assert default_config(0.01) == default_config(0.01, worlds=(1,))


def test_a_config_of_before_there_were_two_worlds_is_of_the_first():
    record = json.loads(json.dumps(asdict(default_config(0.01))))
    for phase in record["phases"]:
        for turn in phase["turns"]:
            del turn["plan"]["world"]
    assert config_from_json(record) == default_config(0.01)
