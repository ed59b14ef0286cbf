"""The published pyramid has exactly the recorded levels, grids and failures."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository import SHARED

from geofovea.errors import GeometryError
from geofovea.regionfocus.rfm.published_geometry import BASE_SIDE, cropped_grid, plan_published

REFERENCE = SHARED / "reference"
TABLES = sorted(REFERENCE.glob("*dip_geometry*.json"))
OPERATIONS = sorted(REFERENCE.glob("*unit_ops*.json"))


def rows_of(paths, key=None):
    if not paths:
        reason = f"no reference of this kind in {REFERENCE}; set GEOFOVEA_SHARED"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason))]
    found = []
    for path in paths:
        data = json.loads(path.read_text(encoding="utf-8"))
        for number, row in enumerate(data if key is None else data[key]):
            shape = row.get("image_hw", [*row.get("grid", []), *row.get("original_hw", [])])
            name = f"{path.stem}-{number}-{'x'.join(map(str, shape))}"
            found.append(pytest.param(row, id=name))
    return found


def look(height, width):
    plan = plan_published(height, width)
    return plan, plan.first_grid, plan.second_grid


@pytest.mark.parametrize("row", rows_of(TABLES))
def test_every_recorded_image_size_has_the_recorded_levels_or_is_refused(row):
    height, width = row["image_hw"]
    if "error" in row:
        with pytest.raises(GeometryError, match=f"{height} × {width}"):
            look(height, width)
        return
    plan, first, second = look(height, width)
    assert list(plan.ratios) == row["pyramid_ratios_high_to_low"]
    assert [_as_recorded(level, height, width) for level in plan.levels] == row[
        "levels_low_to_high"
    ]
    assert list(plan.global_resized) == row["global_resized_hw"]
    assert [1, *(level.tiles for level in plan.levels)] == row["image_num_split"]
    assert [1 + plan.levels[0].tiles, 3, 336, 336] == row["image_tensor_shape"]
    assert plan.second == row["second_stage_level"]
    assert max(plan.levels[plan.second].resized) == row["long_side_second_stage"]
    assert len(plan.levels) - 1 - plan.second == row["levels_built_but_never_read"]
    assert (list(first), list(second)) == (row["level0_grid_used"], row["level1_grid_used"])
    assert second[0] * second[1] == row["level1_tokens_dense"]
    pixels = sum(level.padded[0] * level.padded[1] for level in plan.levels)
    assert pixels * 3 * 2 == row["all_levels_fp16_bytes"]


def _as_recorded(level, height, width):
    return {
        "resize_hw": list(level.resized),
        "resize_padding_hw": list(level.padded),
        "resize_ratio_hw": [level.resized[0] / height, level.resized[1] / width],
        "block_num_hw": list(level.blocks),
        "image_num": level.tiles,
        "unpadded_grid_by_original_size": list(cropped_grid(level.token_grid, (height, width))),
        "unpadded_grid_by_resized_hw": list(cropped_grid(level.token_grid, level.resized)),
        "pixels_fp16_bytes": level.tiles * 3 * 336 * 336 * 2,
    }


@pytest.mark.parametrize("row", rows_of(OPERATIONS, "unpad"))
def test_cropping_keeps_the_recorded_part_of_a_grid(row):
    expected = tuple(row["out"])
    assert cropped_grid(tuple(row["grid"]), tuple(row["original_hw"])) == expected
    assert tuple(row["out_hw_variant"]) == expected


@pytest.mark.parametrize("shape", [(336, 336), (336, 200), (200, 336)])
def test_a_long_side_of_exactly_one_tile_is_refused_with_advice(shape):
    with pytest.raises(GeometryError, match="resize it by one pixel"):
        plan_published(*shape)


@pytest.mark.parametrize("shape", [(20, 3000), (40, 3000), (60, 5000), (90, 5000)])
def test_an_image_too_flat_for_a_row_of_tokens_is_refused_with_advice(shape):
    with pytest.raises(GeometryError, match="too flat"):
        look(*shape)


def test_a_very_narrow_image_keeps_its_newlines():
    _, first, second = look(5000, 60)
    assert first[1] == 1
    assert second[1] >= 1


@pytest.mark.parametrize("shape", [(0, 10), (10, -1), (1, 5000)])
def test_an_image_without_pixels_at_some_level_is_refused(shape):
    with pytest.raises(GeometryError):
        plan_published(*shape)


@given(st.integers(200, 40_000), st.integers(200, 40_000))
def test_the_base_level_is_small_and_levels_hold_their_pictures(height, width):
    if max(height, width) == 336:
        return
    plan = plan_published(height, width)
    assert max(plan.levels[0].padded) <= BASE_SIDE
    assert max(plan.levels[plan.second].padded) <= 2 * BASE_SIDE
    for level in plan.levels:
        assert any(a == b for a, b in zip(level.resized, level.padded, strict=True))
    sides = [max(level.resized) for level in plan.levels]
    assert sides == sorted(sides)
