"""What an .aux.xml says is not heeded, and what would have changed the picture is told."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geofovea.tiling import open_scene

PLACE = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}


def beside(path, driver, nodata=None, **options):
    """A raster with a file of GDAL beside it, which GDAL itself heeds."""
    shape = {"width": 20, "height": 10, "count": 1, "dtype": "uint8"}
    aux = path.with_name(path.name + ".aux.xml")
    with rasterio.Env(GDAL_PAM_ENABLED=True):
        with rasterio.open(path, "w", driver, **shape, **options) as dataset:
            dataset.write(np.arange(200, dtype=np.uint8).reshape(1, 10, 20))
        if nodata is not None:
            content = aux.read_text() if aux.exists() else "<PAMDataset></PAMDataset>"
            band = f'<PAMRasterBand band="1"><NoDataValue>{nodata}</NoDataValue></PAMRasterBand>'
            aux.write_text(content.replace("</PAMDataset>", band + "</PAMDataset>"))
        with rasterio.open(path) as dataset:
            assert dataset.nodata == nodata
            assert dataset.crs == options.get("crs")
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("driver", ["JPEG", "PNG"])
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (PLACE, ["says where it lies"]),
        ({"crs": "EPSG:32633"}, ["says its CRS"]),
        ({"nodata": 7}, ["says nodata=7"]),
        ({**PLACE, "nodata": 7}, ["says nodata=7", "says where it lies"]),
    ],
)
def test_what_an_aux_file_says_of_missing_pixels_and_of_the_place_is_told(
    tmp_path, driver, options, told
):
    scene = open_scene(beside(tmp_path / "scene.img", driver, **options))
    assert scene.georef == "none"
    assert len(scene.warnings) == len(told)
    assert all(one in warning for one, warning in zip(told, scene.warnings, strict=True))


def test_what_the_file_says_itself_needs_no_word(make_tiled, texture):
    path = make_tiled(texture(20, 30), nodata=0, **PLACE)
    path.with_name(path.name + ".aux.xml").write_text(
        "<PAMDataset><SRS>x</SRS><GeoTransform>1</GeoTransform>"
        "<PAMRasterBand><NoDataValue>3</NoDataValue><Histograms/></PAMRasterBand></PAMDataset>"
    )
    assert open_scene(path).warnings == ()


@pytest.mark.parametrize("content", [b"", b"<NoDataValue>" * 1000, b"\xff" * 3000, b"<SRS"])
def test_an_aux_file_of_any_content_stops_nothing(make_tiled, texture, content):
    path = make_tiled(texture(20, 30))
    path.with_name(path.name + ".aux.xml").write_bytes(content)
    assert open_scene(path).width == 30
