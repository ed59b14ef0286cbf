"""Scenes of version 2 on disk: stamped, four bands that programs understand, dates."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from geofovea.datasets.synthetic.dates import changes_between, make_dated_world
from geofovea.datasets.synthetic.earth.making import make_earth
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import (
    DOMAINS,
    SYNTHETIC_MARK,
    domain_of,
    is_in_domain,
    version_of,
)
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.tiling import TileReader, open_scene, plan_radiometry


@pytest.fixture(scope="module")
def world():
    return make_earth(3, 1024, 900)


@pytest.fixture(scope="module")
def four_bands(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("scenes") / "four.tif"
    write_scene(world, path, bands=4)
    return path


def test_a_scene_of_four_bands_says_what_each_is_and_loses_nothing(world, four_bands):
    with rasterio.open(four_bands) as dataset:
        assert dataset.descriptions == ("red", "green", "blue", "nir")
        assert dataset.colorinterp[:3] == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
        assert ColorInterp.alpha not in dataset.colorinterp
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.transform.a == world.gsd_m
        stored = np.moveaxis(dataset.read(), 0, -1)
    assert (stored == render_window(world, 0, 0, 0, 1024, 900, bands=4)).all()


def test_a_reader_takes_its_colors_by_itself_and_a_composite_by_name(four_bands):
    scene = open_scene(four_bands)
    assert plan_radiometry(scene).bands == (1, 2, 3)
    radiometry = plan_radiometry(scene, composite="ndvi")
    tile = scene.pyramid(512).overview
    shown = TileReader(scene, scene.pyramid(512), radiometry).read(tile)
    assert shown.rgb.std() > 5


def test_both_versions_are_told_apart_by_their_stamp(world, four_bands, tmp_path):
    write_scene(make_world(3, 768, 768), tmp_path / "one.tif")
    stamps = [open_scene(path).description for path in (tmp_path / "one.tif", four_bands)]
    assert [version_of(stamp) for stamp in stamps] == [1, 2]
    assert "version 2, seed 3, 1024 x 900" in stamps[1]


@pytest.mark.parametrize(
    ("description", "version"),
    [
        ("GeoFovea synthetic world, seed 3, 8 x 8", 1),
        ("GeoFovea synthetic world, version 2, seed 3", 2),
        ("GeoFovea synthetic world, version 12", 12),
        ("GeoFovea synthetic world, version x", 1),
        ("", None),
        ("a GeoFovea synthetic world", None),
        ("version 2", None),
    ],
)
def test_versions_are_read_from_descriptions(description, version):
    assert version_of(description) == version


def test_a_model_knows_scenes_of_the_versions_that_its_domain_names():
    named = {"synthetic": (1,), "synthetic 2": (2,), "synthetic 1 and 2": (1, 2)}
    assert named == DOMAINS
    for name, versions in named.items():
        assert domain_of(versions) == name
        known = [is_in_domain(name, f"{SYNTHETIC_MARK}, version {v}, seed 3") for v in (1, 2, 3)]
        assert known == [version in versions for version in (1, 2, 3)]
        assert not is_in_domain(name, "a harbor")


def test_a_world_without_near_infrared_is_refused_before_a_file_is_begun(tmp_path):
    with pytest.raises(DataError, match="version 1 has 3 bands, got bands=4"):
        write_scene(make_world(0, 768, 768), tmp_path / "scene.tif", bands=4)
    assert list(tmp_path.iterdir()) == []


def test_pictures_of_two_dates_differ_where_something_changed_and_nowhere_else():
    before, after = (
        replace(make_dated_world(2, 4096, 4096, number, version=2), light=1.0) for number in (0, 1)
    )
    assert before.land == after.land
    level = 1
    parts = [render_window(w, level, 0, 0, 2048, 2048, bands=4) for w in (before, after)]
    differs = (parts[0] != parts[1]).any(-1)
    changes = changes_between(before, after)
    assert changes
    for change in sorted(changes, key=lambda change: change.kind.endswith("site")):
        x0, y0, x1, y1 = (int(corner) >> level for corner in change.box.as_tuple())
        assert differs[y0:y1, x0:x1].any(), change
        differs[max(0, y0 - 24) : y1 + 24, max(0, x0 - 24) : x1 + 24] = False
    assert not differs.any()


@pytest.mark.parametrize("seed", range(8))
def test_what_is_built_later_stands_on_dry_cells_and_has_a_lawn(seed):
    world = make_dated_world(seed, 8192, 8192, 6, version=2)
    assert world.version == 2
    for site in world.sites:
        col, row = (int(middle // world.cell_side) for middle in site.box.center)
        assert world.is_dry(row, col)
        assert site.lawn is not None
