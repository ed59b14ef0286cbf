"""What makes two dates look different where nothing changed is told with every answer."""

import json

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from pipeline_toys import texture

from geofovea.pipeline.cli import main

SIDE = 400
PLACE = texture(SIDE, SIDE)
DATES = ("2024-01-01", "2024-06-01")


def flat_red(pixels):
    flat = pixels.copy()
    flat[0] = 0
    return flat


# what the second date is, and what is told; None where nothing is
SECOND = {
    "the same": (PLACE, {}, None),
    "one gray band": (PLACE[:1], {}, "is shown as one gray band and "),
    "other bands of more": (
        np.concatenate([PLACE[2:0:-1], PLACE[:1], PLACE[:2]]),
        {"photometric": "minisblack"},
        "are a guess",
    ),
    "another type": (
        PLACE.astype(np.uint16) * 16,
        {},
        "are uint16 and those of ",
    ),
    "a nodata value": (np.where(PLACE < 3, 3, PLACE), {"nodata": 0}, "marks no missing pixels"),
    "a band that is missing": (flat_red(PLACE), {}, "shown as red is the same everywhere"),
    "one color": (np.full_like(PLACE, 90), {}, "has the same color everywhere"),
    "nothing valid": (np.zeros_like(PLACE), {"nodata": 0}, "shows no valid pixel in its overview"),
}


@pytest.fixture
def make_dates(make_tiff, make_pair):
    def make(second, profile, **options):
        paths = make_tiff(PLACE, "first.tif", photometric="rgb"), None
        usual = {"photometric": "rgb"} if len(second) == 3 else {}
        paths = paths[0], make_tiff(second, "second.tif", **(usual | profile))
        return make_pair(paths, DATES, **options)

    return make


@pytest.mark.parametrize("match_light", [True, False])
@pytest.mark.parametrize("name", SECOND)
def test_a_date_of_another_kind_has_a_sign(make_dates, name, match_light):
    pixels, profile, said = SECOND[name]
    pair = make_dates(pixels, profile, match_light=match_light)
    if said is None:
        assert pair.warnings == ()
    else:
        assert [w for w in pair.warnings if said in w and "second.tif" in w], pair.warnings


def test_the_signs_stand_in_answers_and_changes_and_in_the_words_of_the_shell(
    make_dates, tiny_folder
):
    pair = make_dates(PLACE[:1], {})
    (sign,) = [w for w in pair.warnings if "one gray band" in w]
    assert sign in pair.ask("What changed?", tiles=8).warnings
    assert sign in pair.changes(tiles=8).warnings
    paths = [each.scene.path for each in pair.stack.scenes]
    words = ["compare-dates", *paths, "--model", str(tiny_folder), "--max-tiles", "8", "--json"]
    shell = CliRunner().invoke(main, words)
    assert sign.replace("bands=", "--bands") in json.loads(shell.stdout)["warnings"]


def test_dates_marked_by_other_values_show_no_change_for_that(make_tiff, make_pair):
    # the same place with the same hole, marked by 0 at one date and by 255 at the other
    hole = np.zeros((SIDE, SIDE), bool)
    hole[100:200, 50:150] = True
    place = np.clip(PLACE, 1, 254)
    paths = [
        make_tiff(
            np.where(hole, value, place).astype(np.uint8),
            f"{value}.tif",
            nodata=value,
            photometric="rgb",
        )
        for value in (0, 255)
    ]
    for path in paths:
        with rasterio.open(path) as dataset:
            assert not dataset.read_masks(1)[hole].any()
    pair = make_pair(paths, DATES)
    assert pair.warnings == ()
    assert len(pair.changes()) == 0
