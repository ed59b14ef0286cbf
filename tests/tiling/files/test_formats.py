"""The table of formats names drivers that are there, by first bytes that tell them apart."""

from itertools import permutations

import pytest
import rasterio

from geofovea.tiling.files.formats import FORMATS, drivers_where


@pytest.mark.parametrize("driver", FORMATS)
def test_gdal_has_the_driver(driver):
    with rasterio.Env() as env:
        assert driver in env.drivers()


def test_no_file_begins_as_two_formats():
    magics = [magic for each in FORMATS.values() for magic in each.magics]
    assert not [pair for pair in permutations(magics, 2) if pair[0].startswith(pair[1])]


def test_traits_are_those_of_the_formats():
    assert drivers_where("is_sequential") == {"PNG", "JPEG"}
    assert drivers_where("can_build_levels") == {"GTiff", "PNG", "JPEG"}
    with pytest.raises(AttributeError):
        drivers_where("is_sequentiell")
