"""The extreme of a class, beside truth by hand on places of known boxes."""

import math

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from geofovea.errors import QuestionError
from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.extremes import MOST_REFUTED, Extent, compute_extreme
from geofovea.pipeline.relations.superlatives import parse_superlative
from geofovea.tiling.arrays.scene import open_array
from geofovea.tiling.opening import open_scene

# a column of lakes, each with its area: 40 x 40, 100 x 50, 80 x 80 and 20 x 200
LAKES = [
    (100, 900, 140, 940),
    (300, 500, 400, 550),
    (600, 300, 680, 380),
    (800, 700, 820, 900),
]
WHOLE = Extent(1.0)


@pytest.fixture(scope="module")
def nowhere():
    return open_array(np.ones((1000, 1000, 3), np.uint8))


@pytest.fixture(scope="module")
def turned(tmp_path_factory):
    """On the ground, half a meter a pixel, turned: up in the picture is west."""
    path = tmp_path_factory.mktemp("extremes") / "turned.tif"
    transform = Affine(0, -0.5, 500_000, -0.5, 0, 5_400_000)
    where = {"crs": "EPSG:32633", "transform": transform}
    size = {"width": 1000, "height": 1000, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", **size, **where) as file:
        file.write(np.ones((1, 1000, 1000), np.uint8))
    return open_scene(path)


def place(box, label="lake", token=8.0, score=1.0):
    return LocatedPlace(label, shapely.box(*box), 0, token, score)


def extreme(words, scene, boxes=LAKES, extent=WHOLE, reference=None, look_again=None, **options):
    places = [place(box, **options) for box in boxes]
    return compute_extreme(parse_superlative(words), places, scene, extent, reference, look_again)


@pytest.mark.parametrize(
    ("words", "indices"),
    [
        ("the largest lake", [2]),
        ("the smallest lake", [0]),
        ("the two largest lakes", [2, 1]),
        ("the longest lake", [3]),
        ("the narrowest lake", [3]),
        ("the northernmost lake", [2]),
        ("the southernmost lake", [0]),
        ("the leftmost lake", [0]),
        ("the two easternmost lakes", [3, 2]),
    ],
)
def test_the_extreme_is_the_one_that_it_is_by_hand(nowhere, words, indices):
    result = extreme(words, nowhere)
    assert [p.box_scene.as_tuple() for p in result.places] == [LAKES[i] for i in indices]
    assert "4 places compared, 100.0% of the area looked at" in result.sentence
    # the centers by hand
    centers = [((LAKES[i][0] + LAKES[i][2]) / 2, (LAKES[i][1] + LAKES[i][3]) / 2) for i in indices]
    assert result.text == " and ".join(f"the lake at x {x:.0f}, y {y:.0f}" for x, y in centers)


def test_north_is_that_of_the_ground(turned):
    # on the ground north is to the left in the picture
    result = extreme("the northernmost lake", turned)
    assert result.places[0].box_scene.as_tuple() == LAKES[0]
    assert result.is_on_ground
    assert not result.warnings
    assert extreme("the topmost lake", turned).places[0].center[1] == 340


def test_an_area_has_the_unit_of_the_ground(turned):
    (area,) = extreme("the largest lake", turned).quantities
    assert (area.name, area.unit) == ("area", "m²")
    # 80 x 80 pixels of half a meter, which a projection stretches by less than a thousandth
    assert area.value == pytest.approx(1600, rel=2e-3)


@pytest.mark.parametrize(("words", "index"), [("closest", 1), ("farthest", 0)])
def test_a_distance_is_from_the_reference(nowhere, words, index):
    harbor = place((500, 500, 520, 520), "harbor")
    result = extreme(f"the {words} lake to the harbor", nowhere, reference=harbor)
    assert result.places[0].box_scene.as_tuple() == LAKES[index]
    assert result.places[1] is harbor
    x0, y0, x1, y1 = LAKES[index]
    truth = math.dist(((x0 + x1) / 2, (y0 + y1) / 2), (510, 510))
    assert result.quantities[0].value == pytest.approx(truth)
    assert result.lines == (((510.0, 510.0), result.places[0].center),)


def test_a_margin_within_the_error_is_said_and_halves_the_confidence(nowhere):
    boxes = [(0, 0, 40, 40), (100, 0, 140, 41)]
    close = extreme("the largest lake", nowhere, boxes)
    assert any("within the error of the tokens" in warning for warning in close.warnings)
    assert 0.5 <= close.confidence < 0.6
    clear = extreme("the largest lake", nowhere, [(0, 0, 40, 40), (100, 0, 200, 100)], token=1.0)
    assert not clear.warnings
    assert clear.confidence > 0.99


def test_what_was_not_looked_at_is_said_and_lowers_the_confidence(nowhere):
    whole, part = (extreme("the largest lake", nowhere, extent=Extent(s)) for s in (1.0, 0.3))
    assert part.text == whole.text
    assert any(w.startswith("30.0% of the area was looked at") for w in part.warnings)
    assert part.confidence == pytest.approx(0.3 * whole.confidence)
    # an expected recall says more than the share of the area
    likely = extreme("the largest lake", nowhere, extent=Extent(0.3, recall=0.9))
    assert likely.confidence == pytest.approx(0.9 * whole.confidence)


def test_too_few_places_have_no_answer(nowhere):
    nothing = extreme("the largest lake", nowhere, boxes=[])
    assert (nothing.text, nothing.confidence, nothing.missing) == ("", 0.0, ("lake",))
    assert "0 places compared" in nothing.sentence
    one = extreme("the two largest lakes", nowhere, boxes=LAKES[:1])
    assert (one.text, one.missing) == ("", ())
    assert "2 are wanted: 1 place compared" in one.sentence


def test_a_distance_without_its_reference_is_refused(nowhere):
    with pytest.raises(QuestionError, match="need a reference"):
        extreme("the closest lake to the harbor", nowhere)
    with pytest.raises(QuestionError, match="shares"):
        Extent(1.5)


def doubter(*indices, share=0.9):
    """A second look that refutes some of the lakes, and the boxes that it was shown."""
    shown = []

    def look_again(place):
        shown.append(LAKES.index(tuple(place.box_scene.as_tuple())))
        return 0.1 if shown[-1] in indices else share

    return look_again, shown


def test_a_refuted_place_gives_way_to_the_next_and_that_is_said(nowhere):
    look_again, shown = doubter(2, 1)
    result = extreme("the northernmost lake", nowhere, look_again=look_again)
    # by hand: their centers lie at y 340, 525, 800 and 920
    assert shown == [2, 1, 3]
    assert result.places[0].box_scene.as_tuple() == LAKES[3]
    assert "4 places compared" in result.sentence
    assert result.sentence.endswith("2 places refuted by a second look")
    assert not any("second time" in warning for warning in result.warnings)


def test_no_more_places_are_looked_at_again_than_are_named(nowhere):
    look_again, shown = doubter()
    sure = extreme("the two northernmost lakes", nowhere)
    result = extreme("the two northernmost lakes", nowhere, look_again=look_again)
    assert shown == [2, 1]
    assert (result.text, "refuted" in result.sentence) == (sure.text, False)
    assert result.confidence == pytest.approx(0.9**2 * sure.confidence)


def test_both_looks_together_decide(nowhere):
    # .6 and .7 are each more likely than not; their product is not
    look_again, _ = doubter(share=0.7)
    result = extreme("the northernmost lake", nowhere, score=0.6, look_again=look_again)
    assert result.text == ""
    assert "4 places refuted" in result.sentence
    assert result.missing == ("lake",)
    assert extreme("the northernmost lake", nowhere, score=0.8, look_again=look_again).text


def test_a_place_that_could_not_be_looked_at_again_is_named_with_a_warning(nowhere):
    result = extreme("the northernmost lake", nowhere, look_again=lambda place: None)
    assert result.text == extreme("the northernmost lake", nowhere).text
    assert any("looked at a second time" in warning for warning in result.warnings)


def test_a_model_that_refutes_everything_is_not_asked_for_ever(nowhere):
    boxes = [(0, 20 * i, 10, 20 * i + 10) for i in range(30)]
    looks = []

    def never(place):
        looks.append(place)
        return 0.0

    result = extreme("the northernmost lake", nowhere, boxes=boxes, look_again=never)
    assert len(looks) == MOST_REFUTED
    assert result.places[0].box_scene.as_tuple() == boxes[MOST_REFUTED]
    assert any("looked at a second time" in warning for warning in result.warnings)
