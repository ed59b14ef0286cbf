"""ZipCache: recorded salience, codes and values; the worked example; what the fixed form mends."""

import pytest
import torch
from reduction_vectors import SECOND, close, load, vector_files

from geofovea.regionfocus.cache_policies.base import CacheView, attention_rows
from geofovea.regionfocus.cache_policies.zipcache import ZipCache, mixed_codes, salience


@pytest.mark.parametrize("file", vector_files("zipcache", folder=SECOND))
def test_salience_codes_and_values_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    keys, values, probes = inputs["key"], inputs["value"], inputs["probes"]
    view = CacheView(keys, values, torch.arange(keys.shape[1]), inputs["query"], probes)
    scores = salience(attention_rows(view), probes, key_heads=len(keys), divide_by="rows")
    close(scores, outputs["saliency"], 1e-6)
    unimportant = round(params["unimportant_ratio"] * keys.shape[1])
    coded = mixed_codes(keys, values, scores, unimportant, together=True)
    low = coded.parts[0]
    assert torch.equal(low.index.long(), outputs["unimportant"])
    close(low.keys.minimum.flatten(), outputs["key_min_low"], 1e-6)
    close(low.keys.step.flatten(), outputs["key_step_low"], 1e-6)
    close(coded.channels.flatten(), outputs["value_scale"], 1e-6)
    # the release packs the channels of all heads into one row
    rows = low.keys.codes.transpose(0, 1).flatten(1)
    width = outputs["key_codes_low"].shape[-1]
    bytes_of_rows = sum(rows[:, i * width : (i + 1) * width] << 2 * i for i in range(4))
    assert torch.equal(bytes_of_rows, outputs["key_codes_low"][0].long())
    back_keys, back_values = coded.restore()
    close(back_keys, outputs["key"], 1e-6)
    close(back_values, outputs["value"], 1e-6)


def test_salience_is_that_of_the_worked_example():
    attention = torch.tensor([[[0.6, 0.4, 0, 0], [0.1, 0.2, 0.3, 0.4]]])
    rows = torch.tensor([1, 3])
    released = salience(attention, rows, key_heads=1, divide_by="rows")
    assert released[0].tolist() == pytest.approx([0.175, 0.2, 0.15, 0.4])
    fixed = salience(attention, rows, key_heads=1)
    assert fixed[0].tolist() == pytest.approx([0.35, 0.3, 0.3, 0.4])


def test_an_entry_that_the_question_attends_to_is_closer_to_what_it_was():
    made = torch.Generator().manual_seed(2)
    keys, values = (torch.randn(1, 40, 16, generator=made) for _ in range(2))
    query = 3 * keys[:, 7:8]
    view = CacheView(keys, values, torch.arange(1, 39), query, torch.tensor([39]))
    _, back = ZipCache(share=0.05).store(view).restore()
    off = (back - values[:, 1:39]).abs().mean(-1)[0]
    assert off[6] < off.median() / 2


def test_a_channel_without_range_comes_back():
    keys, values = torch.ones(2, 8, 4), torch.zeros(2, 8, 4)
    coded = mixed_codes(keys, values, torch.zeros(2, 8), 3).restore()
    assert torch.equal(coded[0], keys)
    assert torch.equal(coded[1], values)


def test_one_head_does_not_change_how_another_is_coded():
    made = torch.Generator().manual_seed(3)
    keys, values = (torch.randn(2, 32, 8, generator=made) for _ in range(2))
    scores = torch.rand(2, 32, generator=made)
    louder = values * torch.tensor([1.0, 50.0])[:, None, None]
    first = mixed_codes(keys, values, scores, 16).restore()[1][0]
    assert torch.equal(first, mixed_codes(keys, louder, scores, 16).restore()[1][0])
    together = mixed_codes(keys, values, scores, 16, together=True)
    louder_together = mixed_codes(keys, louder, scores, 16, together=True)
    assert together.parts[0].values.step.shape == (16, 1, 1)
    assert louder_together.parts[0].values.step.shape == (16, 1, 1)
