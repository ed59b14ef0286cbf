"""VidKV: recorded codes and what the release gives back, and what the fixed form mends."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import SECOND, close, load, vector_files

from geofovea.regionfocus.cache_policies.base import CacheView
from geofovea.regionfocus.cache_policies.vidkv import (
    VidKv,
    released_keys,
    released_values,
    widest_channels,
)


def view(keys, values):
    return CacheView(keys, values, torch.arange(keys.shape[1]))


@pytest.mark.parametrize("file", vector_files("vidkv", folder=SECOND))
def test_released_forms_and_codes_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    keys, values, group = inputs["key"], inputs["value"], params["group"]
    wide, narrow = widest_channels(keys, 0.5)
    assert torch.equal(wide, outputs["two_bit_channels"])
    assert torch.equal(narrow, outputs["one_bit_channels"])
    close(released_keys(keys, 0.5, group), outputs["key_released"], 1e-5)
    close(released_values(values, group), outputs["value_released"], 1e-6)
    stored = VidKv(group=group).store(view(keys, values))
    close(stored.wide_codes.step[..., 0], outputs["two_bit_scale"], 1e-6)
    close(stored.wide_codes.minimum[..., 0], outputs["two_bit_min"], 1e-6)
    signs = stored.values.signs.flatten(-2).transpose(1, 2)
    assert torch.equal(signs, outputs["value_ternary"])
    close(stored.values.scale[..., 0], outputs["value_scale"], 1e-5)


def test_values_come_back_with_their_scale():
    values = torch.tensor([0.2, -1.8, 1.0, 5.0]).reshape(1, 4, 1)
    back = VidKv(group=4).store(view(values, values)).restore()[1]
    assert back.flatten().tolist() == [0, -2, 0, 2]
    assert released_values(values, 4).flatten().tolist() == [0, -1, 0, 1]


@pytest.mark.parametrize("channels", [1, 2, 5, 8])
def test_the_transform_keeps_as_many_numbers_as_there_are_channels(channels):
    made = torch.Generator().manual_seed(channels)
    keys = torch.randn(2, 8, channels, generator=made)
    stored = VidKv(wide=0, group=8).store(view(keys, keys))
    assert stored.narrow_codes.signs.shape == (2, channels, 1, 8)
    assert stored.restore()[0].shape == keys.shape


@given(st.integers(0, 9999), st.floats(0.01, 100))
def test_the_fixed_form_scales_with_the_keys(seed, factor):
    keys = torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(seed)).double()
    once, scaled = (
        VidKv(group=8).store(view(keys * scale, keys)).restore()[0] for scale in (1, factor)
    )
    # the transform runs in float32
    torch.testing.assert_close(scaled, once * factor, rtol=1e-4, atol=1e-5 * factor)


def test_the_fixed_form_is_nearer_than_the_released_one():
    made = torch.Generator().manual_seed(6)
    scales = torch.logspace(-1, 1, 32)
    keys, values = (torch.randn(2, 64, 32, generator=made) * scales for _ in range(2))
    back_keys, back_values = VidKv().store(view(keys, values)).restore()
    assert (back_keys - keys).norm() < (released_keys(keys) - keys).norm()
    assert (back_values - values).norm() < (released_values(values) - values).norm()


def test_entries_that_fill_no_group_stay_exact():
    keys = torch.randn(2, 37, 8, generator=torch.Generator().manual_seed(1))
    back = VidKv(group=32).store(view(keys, keys)).restore()
    # two groups of 18
    assert torch.equal(back[0][:, 36:], keys[:, 36:])
    assert torch.equal(back[1][:, 36:], keys[:, 36:])
    assert not torch.equal(back[1][:, :36], keys[:, :36])
