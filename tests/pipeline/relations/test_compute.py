"""Answers that follow from where places lie, beside what shapely and plain sums say of them."""

import math
from dataclasses import replace

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
import shapely.affinity
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.transform import Affine

from geofovea.errors import GeometryError, OutputError
from geofovea.pipeline.answers.measurement import LocatedPlace, Quantity
from geofovea.pipeline.relations.choosing import choose
from geofovea.pipeline.relations.compute import compute
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.plane import Plane, certainty
from geofovea.pipeline.relations.vocabulary import UNITS
from geofovea.tiling.opening import open_scene

NORTH_UP = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)
# turned by 90 degrees: up in the picture is west on the ground
TURNED = Affine(0, -0.5, 500_000, -0.5, 0, 5_400_000)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Scenes by name: on the ground, turned there, and nowhere."""
    folder = tmp_path_factory.mktemp("scenes")
    made = {}
    for name, transform in (("north up", NORTH_UP), ("turned", TURNED), ("nowhere", None)):
        path = folder / f"{name}.tif"
        where = {} if transform is None else {"crs": "EPSG:32633", "transform": transform}
        with rasterio.open(
            path, "w", driver="GTiff", width=2048, height=2048, count=1, dtype="uint8", **where
        ) as file:
            file.write(np.ones((1, 2048, 2048), np.uint8))
        made[name] = open_scene(path)
    return made


def place(label, x, y, width=64.0, height=64.0, token=16.0, score=1.0, rivals=()):
    shape = shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return LocatedPlace(label, shape, 0, token, score, (), rivals)


def answered(scene, question, *places):
    parsed = parse_question(question)
    by_name = {one.label: one for one in places}
    return compute(parsed, question, [by_name.get(name) for name in parsed.places], scene)


POND, MILL = place("pond", 400, 300), place("mill", 1400, 1300, 200, 100)
PIER = place("pier", 900, 820, 400, 20)

TABLE = {
    "Is the pond north of the mill?": ("yes", "no"),
    "Is the pond west of the mill?": ("yes", "yes"),
    "Is the pond south of the mill?": ("no", "yes"),
    "Is the pond northwest of the mill?": ("yes", "no"),
    "Is the pond above the mill?": ("yes", "yes"),
    "Is the pond to the right of the mill?": ("no", "no"),
    "In which direction is the pond from the mill?": ("northwest", "southwest"),
    "Which is closer to the pond, the pier or the mill?": ("pier", "pier"),
    "Which is farther from the pond, the pier or the mill?": ("mill", "mill"),
    "Is the pier nearer to the pond than the mill?": ("yes", "yes"),
    "Is the pier farther from the pond than the mill?": ("no", "no"),
    "Which is larger, the pond or the mill?": ("mill", "mill"),
    "Is the pond smaller than the mill?": ("yes", "yes"),
    "Is the pier longer than the mill?": ("yes", "yes"),
    "Which is narrower, the pier or the mill?": ("pier", "pier"),
    "Is the pier between the pond and the mill?": ("yes", "yes"),
    "Is the mill between the pond and the pier?": ("no", "no"),
    "Which is farther south, the pond or the mill?": ("mill", "pond"),
    "List the pond, the mill and the pier from east to west": (
        "mill, pier, pond",
        "mill, pier, pond",
    ),
}


@pytest.mark.parametrize("question", TABLE)
def test_the_answer_is_that_of_the_ground(scenes, question):
    north_up, turned = TABLE[question]
    assert answered(scenes["north up"], question, POND, MILL, PIER).text == north_up
    # x goes south there and y goes west
    flipped = {"mill, pier, pond": "pond, pier, mill", "northwest": "northeast"}
    measured = answered(scenes["turned"], question, POND, MILL, PIER)
    expected = TURNED_ANSWERS.get(question, flipped.get(turned, turned))
    assert measured.text == expected


TURNED_ANSWERS = {
    "Is the pond north of the mill?": "yes",
    "Is the pond west of the mill?": "no",
    "Is the pond south of the mill?": "no",
    "Is the pond northwest of the mill?": "no",
    "In which direction is the pond from the mill?": "northeast",
    "Which is farther south, the pond or the mill?": "mill",
}


@pytest.mark.parametrize("first", range(3))
def test_an_order_along_a_diagonal_is_the_same_whichever_place_is_named_first(scenes, first):
    # the pond lies a little south of the mill, and much further east
    mill, pond = place("mill", 600, 1000), place("pond", 1400, 1050)
    camp = place("camp", 500, 1300)
    named = [mill, pond, camp]
    named = named[first:] + named[:first]
    names = ", the ".join(each.label for each in named)
    question = f"List the {names} from northeast to southwest"
    assert answered(scenes["north up"], question, *named).text == "pond, mill, camp"
    of_two = "Is the pond farther northeast than the mill?"
    assert answered(scenes["north up"], of_two, mill, pond).text == "yes"
    # but it is not northeast of it: it lies to the south
    assert (
        answered(scenes["north up"], "Is the pond northeast of the mill?", mill, pond).text == "no"
    )


def test_a_distance_is_that_of_the_ground_with_the_error_of_its_tokens(scenes):
    measured = answered(scenes["north up"], "How far is the pond from the mill?", POND, MILL)
    distance, gap, bearing = measured.quantities
    # UTM is true to the ground to 4 in 10,000 at its middle meridian
    assert distance.value == pytest.approx(math.hypot(500, 500), rel=5e-4)
    assert distance.unit == "m"
    # 0.49 of a token of 8 m at each end
    assert distance.error == pytest.approx(math.hypot(3.92, 3.92), rel=2e-3)
    edges = POND.region.distance(MILL.region) / 2
    assert gap.value == pytest.approx(edges, rel=5e-4)
    # from the pond to the mill
    assert bearing.value == pytest.approx(135, abs=0.1)
    assert measured.text.endswith(" ± 5.5 m")
    assert measured.text.startswith("70")
    assert measured.is_on_ground


def test_a_size_is_that_of_the_ground(scenes):
    measured = answered(scenes["north up"], "What is the area of the mill in acres?", MILL)
    (area,) = measured.quantities
    assert area.value * UNITS["acres"].size == pytest.approx(5000, rel=1e-3)
    # 0.66 of a token of 8 m, all along an outline of 300 m
    assert area.error * UNITS["acres"].size == pytest.approx(1594, rel=1e-3)
    length = answered(scenes["north up"], "How long is the mill?", MILL).quantities[0]
    assert (length.value, length.unit) == (pytest.approx(100, rel=1e-3), "m")


SKEWED = {
    "degrees far north": ("EPSG:4326", Affine(1e-3, 0, 13, 0, -1e-3, 62)),
    "turned degrees": (
        "EPSG:4326",
        Affine.translation(13, 62) @ Affine.rotation(-20) @ Affine.scale(1e-3, -2e-3),
    ),
    "high pixels": ("EPSG:32633", Affine(10, 0, 400_000, 0, -23, 5_800_000)),
}


@pytest.fixture(scope="module", params=SKEWED)
def on_skewed(request, tmp_path_factory):
    """``(scene, outline)``: a scene whose pixels are no squares, and outlines in meters there."""
    crs, transform = SKEWED[request.param]
    path = tmp_path_factory.mktemp("skewed") / "scene.tif"
    layout = {"width": 600, "height": 500, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", "GTiff", crs=crs, transform=transform, **layout) as file:
        file.write(np.ones((1, 500, 600), np.uint8))
    to_lonlat = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    lon, lat = to_lonlat.transform(*(transform @ (300, 250)))
    flat = pyproj.CRS(f"+proj=aeqd +lon_0={lon} +lat_0={lat} +ellps=WGS84")
    to_crs = pyproj.Transformer.from_crs(flat, crs, always_xy=True)

    def outline(label, meters):
        ring = [~transform @ to_crs.transform(x, y) for x, y in meters.exterior.coords]
        return LocatedPlace(label, shapely.Polygon(ring), 0, 0.5, 1.0)

    return open_scene(path), outline


@pytest.mark.parametrize("turn", [0, 30, 75])
def test_sides_and_gaps_are_those_of_the_ground_where_pixels_are_no_squares(on_skewed, turn):
    scene, outline = on_skewed
    pier = shapely.affinity.rotate(shapely.box(-2000, -300, 2000, 300), turn)
    mill = shapely.affinity.rotate(shapely.box(2600, 1500, 3000, 1900), turn, origin=(0, 0))
    places = outline("pier", pier), outline("mill", mill)
    for question, meters in (
        ("How long is the pier in m?", 4000),
        ("How wide is the pier in m?", 600),
    ):
        assert answered(scene, question, *places).quantities[0].value == pytest.approx(meters, 1e-3)
    gap = answered(scene, "How far is the pier from the mill in m?", *places).quantities[1]
    assert gap.value == pytest.approx(pier.distance(mill), rel=1e-3)


@pytest.mark.parametrize(
    ("question", "answer", "warns"),
    [
        # 347 m between the centers, and 233 m between the nearest edges
        ("Is the pier within 400 m of the mill?", "yes", False),
        ("Is the pier within 0.2 km of the mill?", "no", False),
        ("Is the pier within 300 m of the mill?", "yes", True),
        ("Is the pier more than 300 m from the mill?", "no", True),
        ("Are the pier and the mill at least 200 m apart?", "yes", False),
    ],
)
def test_whether_places_lie_within_a_distance_goes_by_their_nearest_edges(
    scenes, question, answer, warns
):
    ground = scenes["north up"]
    measured = answered(ground, question, PIER, MILL)
    assert measured.text == answer
    meters = [number.value * UNITS[number.unit].size for number in measured.quantities]
    pier, mill = PIER.region, MILL.region
    pixels = [pier.distance(mill), pier.centroid.distance(mill.centroid)]
    assert meters == pytest.approx([0.5 * length for length in pixels], rel=1e-3)
    assert ["by the centers" in warning for warning in measured.warnings] == [True] * warns
    nowhere = answered(scenes["nowhere"], question, PIER, MILL)
    assert (nowhere.text, "does not say where it lies" in nowhere.sentence) == ("", True)


def test_without_a_place_on_the_ground_numbers_are_pixels_and_north_is_up(scenes):
    measured = answered(scenes["nowhere"], "How many meters is the pond from the mill?", POND, MILL)
    assert measured.quantities[0].unit == "px"
    assert measured.quantities[0].value == pytest.approx(math.hypot(1000, 1000))
    assert "numbers are in pixels and not in m" in measured.warnings[0]
    measured = answered(scenes["nowhere"], "Is the pond north of the mill?", POND, MILL)
    assert measured.text == "yes"
    assert "north is taken to be at the top" in measured.warnings[0]
    assert not answered(scenes["nowhere"], "Is the pond above the mill?", POND, MILL).warnings


def test_what_was_not_found_is_said_and_nothing_is_guessed(scenes):
    measured = answered(scenes["north up"], "How far is the pond from the mill?", POND)
    assert (measured.text, measured.confidence, measured.missing) == ("", 0, ("mill",))
    assert measured.sentence == "not found: mill"
    assert not measured.quantities


def test_a_name_that_may_mean_several_places_is_said(scenes):
    several = place("mill", 1400, 1300, rivals=((100.0, 1200.0),))
    measured = answered(scenes["north up"], "How far is the pond from the mill?", POND, several)
    assert measured.text == ""
    assert measured.ambiguous == ("mill",)
    assert "may mean 2 places, at x, y 1400, 1300 and 100, 1200" in measured.sentence


def test_two_names_at_one_place_are_said(scenes):
    same = place("mill", 402, 300)
    measured = answered(scenes["north up"], "How far is the pond from the mill?", POND, same)
    assert (measured.text, "found at the same place" in measured.sentence) == ("", True)


def test_the_scores_of_places_and_the_margin_make_the_confidence(scenes):
    sure = answered(scenes["north up"], "Is the pond north of the mill?", POND, MILL)
    doubtful = answered(
        scenes["north up"],
        "Is the pond north of the mill?",
        place("pond", 400, 300, score=0.6),
        MILL,
    )
    close = answered(
        scenes["north up"], "Is the pond north of the mill?", place("pond", 400, 1298), MILL
    )
    assert sure.confidence == pytest.approx(1, abs=1e-6)
    assert doubtful.confidence == pytest.approx(0.6, abs=1e-6)
    assert (close.text, close.leaning.text) == ("too close to call", "yes")
    assert 0.5 < close.leaning.confidence < 0.7
    assert sure.leaning is None


@pytest.mark.parametrize(
    ("question", "otherwise"),
    [
        ("Is the pond larger than the mill?", "about the same"),
        ("Is the pond as large as the mill?", "about the same"),
        ("Which is larger, the pond or the mill?", "pond and mill: about the same"),
        ("Which is closer to the pier, the pond or the mill?", "pond and mill: about the same"),
        ("Is the pond closer to the pier than the mill?", "about the same"),
        ("List the pond, the mill and the pier by size.", "pier, pond and mill (about the same)"),
        ("Is the pond east or west of the mill?", "too close to call"),
        ("Is the pond larger than 1600 m2?", "too close to call"),
        ("In which direction is the pier from the pond?", "southeast or east"),
    ],
)
def test_what_the_errors_leave_open_is_said_with_the_numbers(scenes, question, otherwise):
    near = {
        "pond": place("pond", 400, 100, 80, 80),
        "mill": place("mill", 402, 1000, 79, 79),
        "pier": place("pier", 1480, 550, 400, 400),
    }
    names = parse_question(question).places
    measured = answered(scenes["north up"], question, *map(near.get, names))
    assert measured.text == otherwise
    assert measured.leaning.text != otherwise
    assert measured.to_json()["leans_to"] == measured.leaning.text
    assert "within its error" in measured.sentence
    assert measured.quantities
    # among answers to choose from, what they lean to is the answer
    choices = ("yes", "no") if measured.leaning.text in ("yes", "no") else ("pond", "mill")
    if measured.leaning.text in choices:
        assert choices[choose(measured, choices)] == measured.leaning.text


coordinate = st.floats(100, 1900)


@settings(max_examples=25, deadline=None)
@given(coordinate, coordinate, coordinate, coordinate)
def test_places_that_change_sides_change_the_answer(scenes, x0, y0, x1, y1):
    if math.hypot(x1 - x0, y1 - y0) < 100:
        return
    one, two = place("pond", x0, y0), place("mill", x1, y1)
    scene = scenes["north up"]
    there = answered(scene, "How far is the pond from the mill?", one, two).quantities
    back = answered(scene, "How far is the mill from the pond?", one, two).quantities
    assert there[0].value == pytest.approx(back[0].value)
    north, back, south = (
        answered(scene, question, one, two)
        for question in (
            "Is the pond north of the mill?",
            "Is the mill north of the pond?",
            "Is the mill south of the pond?",
        )
    )
    said, back_said, south_said = (
        it.text if it.leaning is None else it.leaning.text for it in (north, back, south)
    )
    assert said != back_said or y0 == y1
    assert said == south_said or y0 == y1


@given(coordinate, coordinate, st.floats(-90, 90), st.floats(-90, 90))
def test_places_that_move_together_keep_their_distance(scenes, x, y, dx, dy):
    scene, question = scenes["nowhere"], "How far is the pond from the mill?"
    before = answered(scene, question, place("pond", x, y), place("mill", x + 300, y + 400))
    after = answered(
        scene, question, place("pond", x + dx, y + dy), place("mill", x + dx + 300, y + dy + 400)
    )
    assert before.quantities[0].value == pytest.approx(500)
    assert after.quantities[0].value == pytest.approx(500)


@given(st.sampled_from(sorted(UNITS)), st.sampled_from(sorted(UNITS)), st.floats(1e-3, 1e6))
def test_a_number_survives_the_way_through_another_unit(scenes, one, two, value):
    if UNITS[one].power != UNITS[two].power:
        return
    plane = Plane(scenes["north up"], True)
    there = plane.in_unit(Quantity("x", value, value / 10, one), two)
    back = plane.in_unit(there, one)
    assert (back.value, back.error) == pytest.approx((value, value / 10))


def test_a_mile_is_a_mile(scenes):
    plane = Plane(scenes["north up"], True)
    assert plane.in_unit(Quantity("x", 1, 0, "mi"), "m").value == 1609.344
    assert plane.in_unit(Quantity("x", 1, 0, "acres"), "m²").value == pytest.approx(4046.856)


def test_certainty_is_that_of_a_normal_error():
    # an error is what 19 in 20 stay below, on both sides
    assert certainty(1, 1) == pytest.approx(0.975, abs=1e-3)
    assert certainty(0, 1) == 0.5
    assert certainty(3, 0) == 1


@pytest.mark.parametrize(
    ("question", "choices", "which"),
    [
        ("Is the pond north of the mill?", ("No.", "Yes, it is"), 1),
        ("In which direction is the pond from the mill?", ("south-east", "North-West"), 1),
        ("Which is larger, the pond or the mill?", ("The pond", "the mill"), 1),
        ("Which is larger, the pond or the mill?", ("pond or mill", "the mill"), 1),
        ("How far is the pond from the mill?", ("200 m", "0.7 km", "2 miles"), 1),
        ("How large is the mill?", ("5,100 m²", "1 ha"), 0),
        (
            "List the pond, the pier and the mill from east to west",
            ("pond, pier, mill", "mill, pier, pond"),
            1,
        ),
        ("Is the pond north of the mill?", ("maybe", "never"), None),
        ("How far is the pond from the mill?", ("near", "far"), None),
        ("In which direction is the pond from the mill?", ("up", "down"), None),
    ],
)
def test_a_computed_answer_is_found_among_choices(scenes, question, choices, which):
    measured = answered(scenes["north up"], question, POND, MILL, PIER)
    assert choose(measured, choices) == which


def test_a_map_has_a_polygon_for_each_place_and_a_line_between(scenes):
    question = "How far is the pond from the mill?"
    collection = answered(scenes["north up"], question, POND, MILL).geojson()
    shapes = [shapely.geometry.shape(f["geometry"]) for f in collection["features"]]
    assert [shape.geom_type for shape in shapes] == ["Polygon", "Polygon", "LineString"]
    start, end = (shapely.Point(shapes[2].coords[i]) for i in (0, -1))
    assert shapes[0].centroid.distance(start) < 1e-6
    assert shapes[1].centroid.distance(end) < 1e-6
    assert "crs" not in collection
    flat = answered(scenes["nowhere"], question, POND, MILL).geojson()
    assert flat["features"][2]["geometry"]["coordinates"] == [[400, -300], [1400, -1300]]
    assert "ENGCRS" in flat["crs"]["properties"]["name"]


def test_a_measurement_is_saved_by_its_suffix(scenes, tmp_path):
    measured = answered(scenes["north up"], "How far is the pond from the mill?", POND, MILL)
    for name in ("a.geojson", "a.json"):
        measured.save(tmp_path / name)
        assert (tmp_path / name).stat().st_size > 100
    with pytest.raises(OutputError, match=r"one of: \.geojson, \.json"):
        measured.save(tmp_path / "a.png")


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1234.5, 61, "1,234 ± 61 m"),
        (0.123, 0.0123, "0.123 ± 0.012 m"),
        (5000, 1200, "5,000 ± 1,200 m"),
        (3, 0, "3.0 ± 0.0 m"),
        (0, 0, "0 ± 0 m"),
    ],
)
def test_a_number_is_written_as_exactly_as_it_is_known(value, error, text):
    assert Quantity("x", value, error, "m").text == text


def test_a_center_that_moved_makes_a_distance_less_certain(scenes):
    moved = replace(POND, drift=12.0)
    question = "How far is the pond from the mill?"
    sure, unsure = (
        answered(scenes["nowhere"], question, pond, MILL).quantities[0] for pond in (POND, moved)
    )
    assert unsure.value == sure.value
    assert sure.error == pytest.approx(math.hypot(7.84, 7.84), rel=1e-3)
    assert unsure.error == pytest.approx(math.hypot(7.84, 12, 7.84), rel=1e-3)


def test_impossible_numbers_are_refused():
    with pytest.raises(GeometryError, match="finite numbers"):
        Quantity("x", math.nan, 0, "m")
    with pytest.raises(GeometryError, match="finite numbers"):
        Quantity("x", 1, -1, "m")
    with pytest.raises(GeometryError, match="a region with an area"):
        LocatedPlace("pond", shapely.Point(0, 0), 0, 16, 1.0)
    with pytest.raises(GeometryError, match="a drift and a doubt of at least 0"):
        replace(POND, drift=-1.0)
    with pytest.raises(GeometryError, match="a drift and a doubt of at least 0"):
        replace(POND, area_doubt=-1.0)


def test_a_size_is_as_uncertain_as_the_area_of_its_outline(scenes):
    doubted = replace(POND, area_doubt=0.5)
    for question, share in (("How large is the pond?", 0.5), ("How long is the pond?", 0.5)):
        sure, unsure = (
            answered(scenes["nowhere"], question, pond).quantities[0] for pond in (POND, doubted)
        )
        assert unsure.value == sure.value
        assert unsure.error == pytest.approx(math.hypot(sure.error, share * sure.value))


def test_outlines_that_are_all_too_large_leave_their_comparison_as_it_is(scenes):
    # 3.1 and 2.0 hectares, each as uncertain as half of their difference and more
    depot, harbor = (
        place("depot", 400, 300, 400, 310, 64),
        place("harbor", 1400, 1300, 400, 200, 64),
    )
    measured = answered(scenes["north up"], "Is the depot larger than the harbor?", depot, harbor)
    one, two = measured.quantities
    assert min(one.error, two.error) > abs(one.value - two.value) / 2
    assert (measured.text, measured.leaning) == ("yes", None)
    ratio = answered(
        scenes["north up"], "How many times as large is the depot as the harbor?", depot, harbor
    )
    total = answered(
        scenes["north up"], "What is the total area of the depot and the harbor?", depot, harbor
    )
    # the same share of both is no error of a ratio, and all of it is one of a sum
    assert ratio.quantities[0].error < ratio.quantities[0].value * one.error / one.value
    parts = math.hypot(one.error, two.error) / (one.value + two.value)
    assert total.quantities[0].error / total.quantities[0].value > 1.2 * parts


def test_a_gap_from_corner_to_corner_is_known_less_well_than_one_between_sides(scenes):
    aside, across = place("pier", 1000, 300), place("pier", 1000, 900)
    errors = [
        answered(scenes["nowhere"], "What is the gap between the pond and the pier?", POND, pier)
        .quantities[0]
        .error
        for pier in (aside, across)
    ]
    assert errors[0] == pytest.approx(1.386 * 16, rel=1e-3)
    assert errors[1] == pytest.approx(1.79 * 16, rel=1e-2)


def test_what_errors_have_in_common_is_a_part_of_them():
    with pytest.raises(GeometryError, match="is a part of them"):
        Quantity("x", 1, 1, "m", 2)
    assert Quantity("x", 1, 5, "m", 4).own == 3
