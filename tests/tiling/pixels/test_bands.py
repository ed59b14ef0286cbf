"""Bands are chosen by the best word of the file, and a guess says that it is one."""

from itertools import pairwise

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp as Color

from geofovea.errors import SceneError
from geofovea.tiling import Tile, TileReader, open_scene, plan_radiometry
from geofovea.tiling.pixels.bands import choose_bands, find_roles
from geofovea.tiling.pixels.composites import COMPOSITES, ROLES, Composite, composite_named
from geofovea.tiling.pixels.radiometry_plan import describe_radiometry


@pytest.fixture
def make_bands(make_raster):
    """``make_bands(count, ...)``: a raster of constant bands, band b holding ``10 * b``."""

    def make(count, *, waves=(), envi=(), units="", descriptions=(), colors=None, **profile):
        values = profile.pop("values", [10 * (b + 1) for b in range(count)])
        dtype = profile.pop("dtype", "uint16")
        array = np.array(values, dtype)[:, None, None].repeat(64, 1).repeat(64, 2)
        path = make_raster(array, photometric="minisblack", alpha="unspecified", **profile)
        with rasterio.open(path, "r+") as dataset:
            for band, wave in enumerate(waves, 1):
                if wave:
                    dataset.update_tags(band, ns="IMAGERY", CENTRAL_WAVELENGTH_UM=str(wave))
            for band, wave in enumerate(envi, 1):
                dataset.update_tags(band, wavelength=str(wave), wavelength_units=units)
            for band, text in enumerate(descriptions, 1):
                dataset.set_band_description(band, text)
            if colors:
                dataset.colorinterp = colors
        return open_scene(path)

    return make


S2_WAVES = (
    0.443, 0.490, 0.560, 0.665, 0.705, 0.740, 0.783, 0.842, 0.865, 0.945, 1.375, 1.610, 2.190
)  # fmt: skip
S2_ROLES = {
    "coastal": 1, "blue": 2, "green": 3, "red": 4, "rededge": 5, "nir": 8, "swir1": 12, "swir2": 13
}  # fmt: skip


def test_sentinel_2_is_known_by_its_wavelengths(make_bands):
    found = find_roles(make_bands(13, waves=S2_WAVES))
    assert (dict(found.bands), found.guessed) == (S2_ROLES, frozenset())
    assert found.origin == "wavelength metadata"


@pytest.mark.parametrize(
    ("factor", "units"),
    [
        (1, "Micrometers"),
        (1000, "Nanometers"),
        (1000, "nm"),
        (1, ""),
        (1000, ""),
        (1000, "Unknown"),
    ],
)
def test_wavelengths_of_envi_are_read_in_their_units(make_bands, factor, units):
    scene = make_bands(13, envi=[factor * wave for wave in S2_WAVES], units=units)
    assert find_roles(scene).bands == S2_ROLES


def test_true_colors_are_found_without_being_asked_for(make_bands):
    choice = choose_bands(make_bands(13, waves=S2_WAVES))
    assert (choice.bands, choice.warnings) == ((4, 3, 2), ())
    assert "wavelength" in choice.reason


# descriptions, the roles that they mean, whether that is a guess
DESCRIPTIONS = [
    (("red", "green", "blue", "nir"), {"red": 1, "green": 2, "blue": 3, "nir": 4}, False),
    (("Blue", "Green", "Red", "NIR"), {"blue": 1, "green": 2, "red": 3, "nir": 4}, False),
    (("nir08", "swir16", "swir22"), {"swir1": 2, "swir2": 3}, False),
    (("B02", "B03", "B04", "B08"), {"blue": 1, "green": 2, "red": 3, "nir": 4}, True),
    (("B8A", "B11", "B4"), {"nir": 1, "swir1": 2, "red": 3}, True),
    (("SR_B4", "SR_B5", "SR_B6"), {"red": 1, "nir": 2, "swir1": 3}, True),
    (
        ("B4, central wavelength 665 nm", "B8, central wavelength 842 nm"),
        {"red": 1, "nir": 2},
        True,
    ),
    (("elevation", "slope"), {}, False),
]


@pytest.mark.parametrize(("descriptions", "roles", "is_guess"), DESCRIPTIONS)
def test_descriptions_mean_what_the_table_says(make_bands, descriptions, roles, is_guess):
    found = find_roles(make_bands(len(descriptions), descriptions=descriptions))
    assert dict(found.bands) == roles
    assert bool(found.guessed) == is_guess
    assert bool(found.warning) == is_guess


def test_a_guess_warns_only_where_it_is_used(make_bands):
    scene = make_bands(4, colors=(Color.red, Color.green, Color.blue, Color.undefined))
    assert scene.mask_kind == "none"
    assert choose_bands(scene, composite="true-color").warnings == ()
    guessed = choose_bands(scene, composite="ndvi")
    assert guessed.bands == (4, 1)
    assert "near infrared is a guess" in guessed.warnings[0]
    told = choose_bands(scene, composite="ndvi", band_map={"nir": 4})
    assert (told.bands, told.warnings) == ((4, 1), ())
    assert "the given band map and color interpretation" in told.reason


def test_the_fourth_of_four_plain_bands_is_near_infrared_as_a_guess(make_bands):
    choice = choose_bands(make_bands(4), composite="false-color")
    assert choice.bands == (4, 1, 2)
    assert "is a guess" in choice.warnings[0]


def test_a_band_map_needs_nothing_of_the_file(make_bands):
    scene = make_bands(9)
    choice = choose_bands(scene, composite="NDWI", band_map={"green": 2, "nir": 7})
    assert (choice.bands, choice.warnings) == ((2, 7), ())
    rgb = choose_bands(scene, band_map={"red": 7, "green": 5, "blue": 3})
    assert (rgb.bands, rgb.composite_name) == ((7, 5, 3), "true-color")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bands": (1, 2)}, "one or three numbers from 1 to 6"),
        ({"bands": (1, 2, 7)}, "one or three numbers from 1 to 6"),
        ({"bands": 1}, r"bands=1 cannot be shown; .* such as bands=\(1,\)"),
        ({"bands": "3"}, "one or three numbers from 1 to 6"),
        ({"bands": (1,), "composite": "ndvi"}, "not both"),
        ({"composite": "ndvi"}, "band of nir and red.*'nir': N, 'red': N"),
        ({"composite": "ndvi", "band_map": {"red": 3}}, r"band of nir, .*found: red=3"),
        ({"composite": "ndvi", "band_map": {"red": 3, "nir": 9}}, "bands go from 1 to 6"),
        ({"composite": "ndvi", "band_map": {"ultraviolet": 3}}, "roles are coastal, blue"),
        ({"composite": "evil()"}, "choose one of true-color, false-color"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_words(make_bands, options, message):
    with pytest.raises(SceneError, match=message):
        choose_bands(make_bands(6), **options)


def test_the_table_of_composites_is_sound():
    for name, composite in COMPOSITES.items():
        assert composite.name == name == composite_named(name.upper().replace("-", "_")).name
    assert composite_named("True_Colour").name == "true-color"
    ends = sorted((role.low_um, role.high_um) for role in ROLES.values())
    assert all(low < high for low, high in ends)
    assert all(a[1] <= b[0] for a, b in pairwise(ends))
    with pytest.raises(SceneError, match="two to four"):
        Composite("odd", ("red",), "nothing")


# green, red, nir; expected NDVI, NDWI
INDEXES = [((30, 20, 60), 0.5, -1 / 3), ((50, 100, 100), 0.0, -1 / 3), ((90, 10, 10), 0.0, 0.8)]


@pytest.mark.parametrize(("values", "ndvi", "ndwi"), INDEXES)
def test_an_index_is_its_formula_in_gray_from_minus_one_to_one(make_bands, values, ndvi, ndwi):
    scene = make_bands(3, values=values, descriptions=("green", "red", "nir"))
    for name, truth in (("ndvi", ndvi), ("ndwi", ndwi)):
        radiometry = plan_radiometry(scene, composite=name)
        assert (radiometry.stretch, radiometry.composite) == (((-1.0, 1.0),), name)
        rgb = TileReader(scene, scene.pyramid(64), radiometry).read(Tile(0, 0, 0)).rgb
        assert (rgb == round((truth + 1) / 2 * 255)).all()


# scales and offsets of red and nir, and the NDVI of 2000 and 4000
PACKINGS = {
    "shared": ((1e-4, 1e-4), (-0.1, -0.1), 0.5),
    "of each band": ((1e-4, 2e-4), (0.0, 0.2), (1.0 - 0.2) / (1.0 + 0.2)),
    "that decode nothing": ((0.0, float("nan")), (0.0, 0.0), 1 / 3),
}


@pytest.mark.parametrize("packed", PACKINGS)
def test_an_index_is_made_of_what_the_numbers_stand_for(make_bands, packed):
    scales, offsets, ndvi = PACKINGS[packed]
    path = make_bands(2, values=(2000, 4000), descriptions=("red", "nir")).path
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = scales, offsets
    for way in (open_scene, lambda path: open_scene(xr.open_dataset(path, engine="geofovea"))):
        scene = way(path)
        radiometry = plan_radiometry(scene, composite="ndvi", band_map={"red": 1, "nir": 2})
        rgb = TileReader(scene, scene.pyramid(64), radiometry).read(Tile(0, 0, 0)).rgb
        assert (rgb == round((ndvi + 1) / 2 * 255)).all()
    told = [warning for warning in open_scene(path).warnings if "decode nothing" in warning]
    assert len(told) == (2 if packed == "that decode nothing" else 0)


def test_an_index_is_computed_after_resampling_and_has_holes_where_it_has_no_meaning(make_tiled):
    red, nir = np.full((256, 256), 100.0), np.full((256, 256), 100.0)
    nir[::2] = 500.0  # rows of 2/3 and 0: their mean index is 1/3, that of the means is 1/2
    red[:64, :64] = nir[:64, :64] = 0
    red[64:128, :64] = np.nan
    path = make_tiled(np.stack([red, nir]).astype("float32"))
    scene = open_scene(path)
    radiometry = plan_radiometry(scene, composite="ndvi", band_map={"red": 1, "nir": 2})
    tile = TileReader(scene, scene.pyramid(64), radiometry).read(Tile(2, 0, 0))
    assert (tile.rgb[40:, 20:] == round(0.75 * 255)).all()
    assert not tile.valid[:31, :15].any()
    assert (tile.rgb[:31, :15] == 128).all()
    assert tile.valid_fraction == pytest.approx(1 - 2 / 16, abs=0.01)


def test_an_index_of_radar_is_refused(make_raster):
    path = make_raster(np.ones((2, 16, 16), "complex64"))
    with pytest.raises(SceneError, match="complex"):
        plan_radiometry(open_scene(path), composite="ndvi", band_map={"red": 1, "nir": 2})


def test_every_reference_raster_shows_its_bands_with_a_reason(shared_raster):
    scene = open_scene(shared_raster, allow_vrt=True)
    choice = choose_bands(scene)
    assert choice.reason
    says = {"red", "green", "blue"} <= set(scene.colorinterp)
    colors = [name for name in scene.colorinterp if name != "alpha"]
    assert bool(choice.warnings) == (len(colors) >= 3 and not says)


BAND = """<VRTRasterBand dataType="{}" band="{}"><SimpleSource><SourceFilename relativeToVRT="1">{}
</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>"""


def test_bands_of_several_pixel_types_are_refused_and_not_cast(make_tiled, texture, tmp_path):
    make_tiled(texture(64, 64, 1), "a.tif")
    make_tiled(texture(64, 64, 1).astype("int16") - 500, "b.tif")
    sources = [("Byte", "a.tif"), ("Int16", "b.tif"), ("Byte", "a.tif")]
    bands = "".join(BAND.format(kind, n, name) for n, (kind, name) in enumerate(sources, 1))
    path = tmp_path / "mixed.vrt"
    path.write_text(
        f'<VRTDataset rasterXSize="64" rasterYSize="64">{bands}</VRTDataset>'.replace("\n", "")
    )
    scene = open_scene(path, allow_vrt=True)
    for plan in (plan_radiometry, describe_radiometry):
        with pytest.raises(SceneError, match=r"band 1 is uint8, band 2 is int16.*with bands="):
            plan(scene)
    assert plan_radiometry(scene, bands=(2,)).bands == (2,)
    with pytest.raises(SceneError, match="bands of int16 and uint8, and an array has one type"):
        xr.open_dataset(path, engine="geofovea", allow_vrt=True)
