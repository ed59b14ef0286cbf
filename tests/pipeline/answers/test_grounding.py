"""A box that a host writes about a tile lies where it lies in the scene, and back."""

import numpy as np
import pytest
from family_toys import host_of, tokenizer
from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.answers.grounding import box_in_tile, box_scene, boxes_scene
from geofovea.pipeline.hosts.families.abilities import box_style
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.spoken_boxes import (
    BoxStyle,
    SpokenBox,
    read_boxes,
    write_boxes,
)
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.pyramid import Box, Pyramid, Tile

PYRAMID = Pyramid(27_001, 19_003, 336)


@st.composite
def tiles(draw):
    level = draw(st.integers(0, PYRAMID.top_level))
    rows, cols = PYRAMID.grid_shape(level)
    return Tile(level, draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1)))


@pytest.mark.parametrize("style", BoxStyle)
@given(data=st.data())
def test_tile_to_scene_and_back_is_exact(style, data):
    steps, tile = style.steps(PYRAMID.tile_size), data.draw(tiles())
    x0, y0 = (data.draw(st.integers(0, steps - 1)) for _ in "xy")
    box = SpokenBox(
        x0, y0, data.draw(st.integers(x0 + 1, steps)), data.draw(st.integers(y0 + 1, steps)), "a"
    )
    assert box_in_tile(box_scene(box, style, PYRAMID, tile), style, PYRAMID, tile, "a") == box


def test_pixels_of_a_native_tile_are_pixels_of_the_scene():
    text = write_boxes([SpokenBox(10, 20, 110, 220, "plane")], BoxStyle.JSON_PIXELS)
    found = boxes_scene(text, BoxStyle.JSON_PIXELS, PYRAMID, Tile(0, 2, 3))
    assert found == ([(Box(1018, 692, 1118, 892), "plane")], 0, 0)


def test_thousandths_of_a_coarser_tile_span_what_it_shows():
    text = "<ref>port</ref><box>[[0, 500, 250, 1000]]</box>"
    found, *_ = boxes_scene(text, BoxStyle.INTERNVL, PYRAMID, Tile(2, 1, 0))
    assert found == [(Box(0, 2016, 336, 2688), "port")]


def test_a_box_in_the_padding_of_an_edge_tile_is_cut_or_counted():
    pyramid = Pyramid(400, 300, 336)
    text = "<box>[[0, 0, 500, 500], [600, 0, 900, 100]]</box>"
    found, refused, beyond = boxes_scene(text, BoxStyle.INTERNVL, pyramid, Tile(0, 0, 1))
    assert found == [(Box(336, 0, 400, 168), "")]
    assert (refused, beyond) == (1, 0)


def test_families_that_were_taught_to_write_boxes_say_how():
    assert {name: kind.boxes for name, kind in FAMILIES.items() if kind.boxes} == {
        "qwen2_vl": BoxStyle.QWEN2,
        "qwen2_5_vl": BoxStyle.JSON_PIXELS,
        "qwen3_vl": BoxStyle.JSON_THOUSANDTHS,
        "qwen3_vl_moe": BoxStyle.JSON_THOUSANDTHS,
        "qwen3_5": BoxStyle.JSON_THOUSANDTHS,
        "qwen3_5_moe": BoxStyle.JSON_THOUSANDTHS,
        "internvl": BoxStyle.INTERNVL,
        "glm4v": BoxStyle.GLM,
        "glm46v": BoxStyle.GLM,
        "glm4v_moe": BoxStyle.GLM,
        "paligemma": BoxStyle.LOCATIONS,
    }


GROUND = Georeference("affine", None, (0.5, 0.1, 4e5, 0.1, -0.5, 5e6))


def on_the_ground_and_back(box):
    """Corners by way of the ground."""
    corners = GROUND.crs_from_scene(np.array([[box.x0, box.y0], [box.x1, box.y1]]))
    return Box(*GROUND.scene_from_crs(corners).ravel().tolist())


@given(cells=st.tuples(st.integers(0, 1023), st.integers(0, 1023)), tile=tiles())
def test_cells_of_a_tile_lie_on_the_ground_and_come_back(cells, tile):
    text = "<object><patch_index_{:04d}><patch_index_{:04d}></object>".format(*cells)
    found, refused, _ = boxes_scene(text, BoxStyle.CELLS, PYRAMID, tile)
    assert len(found) + refused == 1
    for box, _ in found:
        assert box.intersection(PYRAMID.box_scene(tile)) == box
    for spoken in read_boxes(text, BoxStyle.CELLS, PYRAMID.tile_size).boxes:
        box = on_the_ground_and_back(box_scene(spoken, BoxStyle.CELLS, PYRAMID, tile))
        again = box_in_tile(box, BoxStyle.CELLS, PYRAMID, tile)
        assert write_boxes([again], BoxStyle.CELLS).endswith(text)


def test_a_vocabulary_with_words_for_cells_tells_how_a_model_writes_boxes():
    family = host_of("llava")._family
    plain = tokenizer()
    assert box_style(family, plain) is None
    plain.add_tokens([f"<patch_index_{n:04d}>" for n in range(1024)])
    assert box_style(family, plain) is BoxStyle.CELLS
