"""Groups of a tree are overviews of one picture, or they are left out and named."""

import numpy as np
import pytest
import xarray as xr
from pyproj import CRS

from geofovea.errors import SceneError
from geofovea.tiling import Tile, TileReader, open_scene, plan_radiometry

UTM = {"crs_wkt": CRS.from_epsg(32633).to_wkt()}


def group(side, value, names=("a", "b", "c"), x0=500_000, step=None, dtype="uint8", crs=UTM):
    """A picture of one value over 10,240 m, or from another corner or with other pixels."""
    step = step or 10_240 / side
    coords = {
        "y": 4_600_000 - step * (np.arange(side) + 0.5),
        "x": x0 + step * (np.arange(side) + 0.5),
        "spatial_ref": ((), 0, crs),
    }
    planes = {n: (("y", "x"), np.full((side, side), value, dtype)) for n in names}
    return xr.Dataset(planes, coords)


def banded(side, value, labels, name="image"):
    image = group(side, value, names=("a",)).a
    stack = image.expand_dims(band=list(labels)).rename(name)
    return stack.to_dataset()


def shown(tree):
    """The value on each level; the native one is 40, overviews of the picture are 50."""
    scene = open_scene(tree)
    pyramid = scene.pyramid(64)
    reader = TileReader(scene, pyramid, plan_radiometry(scene))
    found = []
    for level in range(pyramid.top_level + 1):
        pixels = reader.read(Tile(level, 0, 0))
        (value,) = np.unique(pixels.rgb[pixels.valid])
        found.append(int(value))
    return found, scene.warnings


OTHERS = {
    "other variables": group(128, 200, names=("d", "e", "f")),
    "the same in another order": group(128, 200, names=("c", "b", "a")),
    "fewer variables": group(128, 200, names=("a", "b")),
    "another type": group(128, 200, dtype="uint16"),
    "another corner": group(128, 200, x0=900_000),
    "a part of the ground": group(128, 200, step=40),
    "more of the ground": group(128, 200, step=160),
    "another CRS": group(128, 200, crs={"crs_wkt": CRS.from_epsg(32634).to_wkt()}),
    "another size": group(100, 200),
    "no coordinates": group(128, 200).drop_vars(["x", "y"]),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_shows_something_else_is_no_overview_and_is_named(what):
    values, notes = shown(xr.DataTree.from_dict({"/fine": group(256, 40), "/other": OTHERS[what]}))
    assert set(values) == {40}
    assert "'/other'" in notes[0]
    assert "left out" in notes[0]


@pytest.mark.parametrize("labels", [(3, 2, 1), ("r", "g", "n"), (1.0, 2.0, 3.0)])
def test_bands_of_other_labels_are_other_bands(labels):
    native = banded(256, 40, (1, 2, 3))
    values, notes = shown(xr.DataTree.from_dict({"/0": native, "/1": banded(128, 200, labels)}))
    assert set(values) == {40}
    assert len(notes) == 1
    same = xr.DataTree.from_dict({"/0": native, "/1": banded(128, 50, (1, 2, 3))})
    assert shown(same) == ([40, 50, 50], ())
    other = xr.DataTree.from_dict({"/0": native, "/1": banded(128, 200, (1, 2, 3), "clouds")})
    assert set(shown(other)[0]) == {40}


def test_overviews_of_the_picture_are_used_in_whatever_order_they_stand():
    groups = {"/z/0": group(256, 40), "/a/2": group(64, 60), "/m/1": group(128, 50)}
    assert shown(xr.DataTree.from_dict(groups)) == ([40, 50, 60], ())


def test_several_pictures_of_one_size_are_an_error_that_names_them():
    tree = xr.DataTree.from_dict({"/rome": group(256, 40), "/milan": group(256, 200, x0=9e5)})
    with pytest.raises(SceneError, match=r"'/milan'.*'/rome'|'/rome'.*'/milan'"):
        open_scene(tree)
    assert shown(tree["/milan"].to_dataset())[0] == [200, 200, 200]


@pytest.mark.parametrize(
    "attribute",
    [
        {"layout": [{"asset": "fine"}, {"asset": "half"}]},
        [{"datasets": [{"path": "fine"}, {"path": "half"}]}],
    ],
)
def test_multiscales_say_which_groups_belong_together(attribute):
    groups = {"/fine": group(256, 40), "/half": group(128, 50), "/mask": group(256, 9)}
    tree = xr.DataTree.from_dict(groups)
    tree.attrs["multiscales"] = attribute
    values, notes = shown(tree)
    assert values == [40, 50, 50]
    assert "'/mask'" in notes[0]


def test_the_note_reaches_people():
    from geofovea.tiling.inspection import inspect_scene

    tree = xr.DataTree.from_dict({"/fine": group(256, 40), "/other": OTHERS["another corner"]})
    scene = open_scene(tree)
    assert scene.warnings[0] in inspect_scene(scene, scene.pyramid(64)).notes
