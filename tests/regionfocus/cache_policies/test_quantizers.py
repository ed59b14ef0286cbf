"""Numbers in few bits: what comes back, how far off it is, and how many bytes it takes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.quantizers import (
    even_codes,
    packed,
    short_places,
    sign_codes,
    unpacked,
)

BITS = st.sampled_from((1, 2, 4, 8))
seeds = st.integers(0, 9999)


def numbers(*shape, seed, spread=1.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * spread


@given(st.integers(2, 256), st.integers(0, 40), seeds)
def test_packed_codes_come_back(base, count, seed):
    codes = torch.randint(base, (3, count), generator=torch.Generator().manual_seed(seed))
    assert torch.equal(unpacked(packed(codes, base), base, count), codes)


@pytest.mark.parametrize(("base", "count", "width"), [(2, 9, 2), (3, 10, 2), (4, 8, 2), (16, 3, 2)])
def test_as_many_codes_share_a_byte_as_fit(base, count, width):
    assert packed(torch.zeros(1, count), base).shape == (1, width)


def test_a_base_of_no_byte_is_refused():
    with pytest.raises(ModelError, match="from 2 to 256"):
        packed(torch.zeros(1, 2), 257)


def test_even_codes_are_those_of_the_worked_example():
    codes = even_codes(torch.tensor([[0.0, 1.0, 2.0, 9.0]]), 2, -1)
    assert float(codes.step) == 3
    assert codes.codes.tolist() == [[0, 0, 1, 3]]
    assert codes.restore().tolist() == [[0, 0, 3, 9]]


@given(st.sampled_from((2, 4, 8)), seeds)
def test_scales_of_two_bytes_keep_within_a_step(bits, seed):
    values = numbers(4, 33, seed=seed, spread=20)
    half = even_codes(values, bits, -1, half_scales=True)
    assert half.minimum.dtype == half.step.dtype == torch.float16
    # half a step, and what float16 cannot say of a minimum or a whole range
    off = half.step.float() * 0.5 + values.abs().amax(-1, keepdim=True) * 2**-9
    assert bool(((half.restore().float() - values).abs() <= off).all())


def test_scales_that_do_not_fit_two_bytes_are_left_as_they_are():
    values = torch.tensor([[0.0, 1e6]])
    assert even_codes(values, 2, -1, half_scales=True).restore().tolist() == [[0, 1e6]]


def test_signs_are_those_of_the_worked_example():
    values = torch.tensor([[0.2, -1.8, 1.0, 5.0]])
    ternary = sign_codes(values, -1, with_zero=True)
    assert float(ternary.scale) == 2
    assert ternary.signs.tolist() == [[0, -1, 0, 1]]
    assert ternary.restore().tolist() == [[0, -2, 0, 2]]
    assert sign_codes(values, -1, with_zero=False).signs.tolist() == [[1, -1, 1, 1]]


@given(BITS, st.integers(1, 40), seeds)
def test_no_value_is_further_off_than_half_a_step_and_extremes_are_exact(bits, count, seed):
    values = numbers(3, count, seed=seed).double()
    codes = even_codes(values, bits, -1)
    back = codes.restore()
    assert bool(((values - back).abs() <= codes.step / 2 + 1e-12).all())
    for pick in (torch.amin, torch.amax):
        torch.testing.assert_close(pick(back, -1), pick(values, -1))


@given(BITS, seeds, st.floats(1e-3, 1e3))
def test_codes_do_not_change_with_the_scale_of_the_values(bits, seed, factor):
    values = numbers(2, 24, seed=seed).double()
    assert torch.equal(even_codes(values, bits, -1).codes, even_codes(values * 2, bits, -1).codes)
    for with_zero in (False, True):
        back = sign_codes(values, -1, with_zero=with_zero).restore()
        scaled = sign_codes(values * factor, -1, with_zero=with_zero).restore()
        torch.testing.assert_close(scaled, back * factor)


@given(BITS, seeds)
def test_coding_again_what_came_back_changes_nothing(bits, seed):
    once = even_codes(numbers(4, 16, seed=seed).double(), bits, -1).restore()
    torch.testing.assert_close(even_codes(once, bits, -1).restore(), once)


@given(seeds)
def test_a_ternary_value_is_off_by_half_the_scale_or_by_what_exceeds_it(seed):
    values = numbers(4, 32, seed=seed).double()
    codes = sign_codes(values, -1, with_zero=True)
    bound = torch.maximum(codes.scale / 2, values.abs().amax(-1, keepdim=True) - codes.scale)
    assert bool(((values - codes.restore()).abs() <= bound + 1e-12).all())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("half_scales", [False, True])
@given(BITS, seeds, st.sampled_from((0.1, 1.0, 30.0)), st.sampled_from((0.0, 5.0)))
def test_numbers_of_two_bytes_are_coded_as_finely_as_others(
    kind, half_scales, bits, seed, spread, off
):
    values = (numbers(3, 33, seed=seed, spread=spread) + off * spread).to(kind)
    codes = even_codes(values, bits, -1, half_scales=half_scales)
    back = codes.restore()
    assert back.dtype == torch.float32
    assert codes.step.element_size() == codes.minimum.element_size() == 2
    exact = values.double()
    step = (exact.amax(-1, keepdim=True) - exact.amin(-1, keepdim=True)) / (2**bits - 1)
    # half a step, and what float16 cannot say of 255 steps or of the minimum
    room = step * (0.5 + 2**bits * 2**-11) + exact.abs().amax(-1, keepdim=True) * 2**-11
    assert bool(((back.double() - exact).abs() <= room).all())


@pytest.mark.parametrize(
    ("count", "kind"),
    [
        (1, torch.int8),
        (128, torch.int8),
        (129, torch.int16),
        (2**15, torch.int16),
        (2**15 + 1, torch.int32),
    ],
)
def test_places_take_as_few_bytes_as_hold_them(count, kind):
    places = torch.tensor([0, count - 1])
    short = short_places(places, count)
    assert short.dtype == kind
    assert torch.equal(short.long(), places)


def test_equal_values_take_no_step_and_come_back():
    values = torch.full((2, 8), 0.3)
    assert torch.equal(even_codes(values, 4, -1).restore(), values)


def test_fewer_bits_are_further_off_and_smaller():
    values = numbers(64, 128, seed=3)
    coded = [even_codes(values, bits, -1) for bits in (8, 4, 2, 1)]
    errors = [float((values - codes.restore()).abs().mean()) for codes in coded]
    assert errors == sorted(errors)
    # codes, and a minimum and a step of four bytes for each of 64 rows
    assert [codes.nbytes - 64 * 8 for codes in coded] == [64 * 128 * b // 8 for b in (8, 4, 2, 1)]
