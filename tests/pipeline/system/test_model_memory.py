"""Stated memory is that of the published structures, built without weights and measured."""

import pytest
from measured_memory import (
    bytes_of_a_prompt,
    bytes_of_a_tile,
    bytes_of_weights,
    model_on_meta,
)
from real_structures import STRUCTURES

from geofovea.pipeline.inference.vision.features import TILES_AT_ONCE
from geofovea.pipeline.system.model_catalog import (
    CATALOG,
    FOUR_BIT,
    QUESTION_TOKENS,
    RUNTIME_BYTES,
    bytes_needed,
    layer_bytes,
)

CLOSE = 0.15
KNOWN = {model.hub_id: model for model in CATALOG}


def test_every_model_of_the_catalog_has_a_structure():
    assert not set(KNOWN) - set(STRUCTURES)
    assert {hub_id: model.family for hub_id, model in KNOWN.items()} == {
        hub_id: STRUCTURES[hub_id].family for hub_id in KNOWN
    }


@pytest.mark.parametrize("name", ["Qwen/Qwen3-VL-30B-A3B-Instruct", "OpenGVLab/InternVL3-38B-hf"])
def test_a_whole_model_on_meta_weighs_what_two_small_ones_tell(name):
    whole = sum(parameter.nbytes for parameter in model_on_meta(STRUCTURES[name]).parameters())
    assert whole == bytes_of_weights(STRUCTURES[name])[0]
    assert whole == pytest.approx(KNOWN[name].billions * 2e9, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_stated_memory_is_that_of_a_load_on_meta_and_a_measured_tile(name):
    structure, model = STRUCTURES[name], KNOWN[name]
    keys, busiest = bytes_of_a_prompt(structure, QUESTION_TOKENS)
    assert model.kv_bytes(QUESTION_TOKENS) == keys
    room = max(busiest, TILES_AT_ONCE * bytes_of_a_tile(structure))
    for weights, size in zip(bytes_of_weights(structure), (2, FOUR_BIT), strict=True):
        measured = weights + keys + room
        stated = bytes_needed(model, size, QUESTION_TOKENS) - RUNTIME_BYTES
        assert stated == pytest.approx(measured, rel=CLOSE)
    # no part hides behind the weights
    assert busiest == pytest.approx(layer_bytes(model, QUESTION_TOKENS), rel=CLOSE)
    assert bytes_of_a_tile(structure) == pytest.approx(1e6 * model.tile_mb, rel=CLOSE)


@pytest.mark.parametrize("tokens", [2048, 65536])
@pytest.mark.parametrize(
    "name", ["google/paligemma2-3b-mix-448", "google/gemma-3-4b-it", "Qwen/Qwen3-VL-4B-Instruct"]
)
def test_longer_and_shorter_questions_take_what_is_stated(name, tokens):
    keys, busiest = bytes_of_a_prompt(STRUCTURES[name], tokens)
    assert KNOWN[name].kv_bytes(tokens) == keys
    assert busiest == pytest.approx(layer_bytes(KNOWN[name], tokens), rel=CLOSE)
