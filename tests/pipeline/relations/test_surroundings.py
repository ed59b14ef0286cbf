"""Which areas questions name, where these lie, and which of them are left to the model."""

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from geofovea.errors import GeometryError, QuestionError
from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.counts import parse_area_phrase, parse_part_count
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.superlatives import parse_superlative
from geofovea.pipeline.relations.surroundings import Surroundings, unbounded_area, unread_area
from geofovea.tiling.arrays.scene import open_array
from geofovea.tiling.geo.region import Region
from geofovea.tiling.opening import open_scene

# what is asked (how many, whether any, or which one), of what, and where
AREAS = {
    "How many trucks are in the top third of the image?": ("count", "truck", "the upper third"),
    "How many boats are in the northern third?": ("count", "boat", "the northern third"),
    "Count the tents in the left third of the scene": ("count", "tent", "the left third"),
    "Number of planes in the lower third of the picture": ("count", "plane", "the lower third"),
    "In the eastern third of the scene, how many tanks are there?": (
        "count",
        "tank",
        "the eastern third",
    ),
    "Which is the largest field in the southern third?": ("most", "field", "the southern third"),
    "the westernmost truck in the bottom third": ("most", "truck", "the lower third"),
    "Are there any boats in the top third?": ("any", "boat", "the upper third"),
    "How many trucks are in the north-east corner?": ("count", "truck", "the northeastern corner"),
    "How many tents are in the upper left corner of the image?": (
        "count",
        "tent",
        "the upper left corner",
    ),
    "Count the helicopters in the southwestern corner of the scene": (
        "count",
        "helicopter",
        "the southwestern corner",
    ),
    "Is there a plane in the lower right corner of the picture?": (
        "any",
        "plane",
        "the lower right corner",
    ),
    "Which truck in the northwest corner is the largest?": (
        "most",
        "truck",
        "the northwestern corner",
    ),
    "the largest lake in the top right corner": ("most", "lake", "the upper right corner"),
    "How many boats are in the top-left corner?": ("count", "boat", "the upper left corner"),
    "How many trucks are in the centre of the scene?": ("count", "truck", "the middle"),
    "How many tanks are in the middle of the image?": ("count", "tank", "the middle"),
    "Which is the largest field in the center of the scene?": ("most", "field", "the middle"),
    "Are there tents in the middle of the picture?": ("any", "tent", "the middle"),
    "How many trucks are in the central part of the scene?": ("count", "truck", "the middle"),
    "How many trucks are north of the depot?": ("count", "truck", "north of the depot"),
    "How many boats are there to the south of the harbor?": (
        "count",
        "boat",
        "south of the harbor",
    ),
    "Count the tents southeast of the camp": ("count", "tent", "southeast of the camp"),
    "How many tanks are to the left of the quarry?": ("count", "tank", "left of the quarry"),
    "Number of planes to the right of the airport": ("count", "plane", "right of the airport"),
    "How many trucks are above the pond?": ("count", "truck", "above the pond"),
    "Which is the largest field west of the depot?": ("most", "field", "west of the depot"),
    "Is there a truck north of the depot?": ("any", "truck", "north of the depot"),
    "Are there any boats left of the harbor?": ("any", "boat", "left of the harbor"),
    "the largest lake north of the village": ("most", "lake", "north of the village"),
    "How many trucks are in the area north of the depot?": ("count", "truck", "north of the depot"),
    "How many trucks are within 500 m of the harbour?": (
        "count",
        "truck",
        "within 500 m of the harbour",
    ),
    "How many tents are within 2 km of the camp?": ("count", "tent", "within 2 km of the camp"),
    "Count the trucks less than 300 metres from the depot": (
        "count",
        "truck",
        "within 300 m of the depot",
    ),
    "Are there any planes within 1 km of the airport?": (
        "any",
        "plane",
        "within 1 km of the airport",
    ),
    "Which is the largest field within 1.5 km of the village?": (
        "most",
        "field",
        "within 1.5 km of the village",
    ),
    "How many trucks are within a 500 m radius of the depot?": (
        "count",
        "truck",
        "within 500 m of the depot",
    ),
    "How many lorries can you count in the top right-hand corner?": (
        "count",
        "lorry",
        "the upper right corner",
    ),
    "What is the number of tents in the western third of the map?": (
        "count",
        "tent",
        "the western third",
    ),
    "How many boats are there at the centre of the image?": ("count", "boat", "the middle"),
    "Please tell me how many trucks lie to the west of the camp": (
        "count",
        "truck",
        "west of the camp",
    ),
    "Do you see any planes in the bottom left corner of the photo?": (
        "any",
        "plane",
        "the lower left corner",
    ),
    "Are there boats south-west of the harbour?": ("any", "boat", "southwest of the harbour"),
    "Which is the smallest tent within 800 metres of the camp?": (
        "most",
        "tent",
        "within 800 m of the camp",
    ),
    "How many tanks stand no more than 1,200 m from the quarry?": (
        "count",
        "tank",
        "within 1200 m of the quarry",
    ),
    "Within 2 km of the airport, how many planes are there?": (
        "count",
        "plane",
        "within 2 km of the airport",
    ),
    "the northernmost boat left of the pier": ("most", "boat", "left of the pier"),
    "Are any trucks located north of the depot?": ("any", "truck", "north of the depot"),
}

# they name an area that nothing is computed in: the answer says so
UNREAD = (
    "How many trucks are in the middle third of the scene?",
    "What color is the truck in the top third of the image?",
    "What is in the north-east corner?",
    "How many trucks are in the corner of the scene?",
    "How many trucks are in the north-east corner of the depot?",
    "What can be seen in the bottom left-hand corner of the image?",
    "What is in the centre of the scene?",
    "How many trucks are in the middle of the depot?",
    "How many trucks are near the centre of the scene?",
    "Which truck is closest to the centre of the scene?",
    "How many trucks are east of the river?",
    "How many boats are on the left side of the canal?",
    "What color is the truck north of the depot?",
    "How many trucks are north of the airport and the harbor?",
    "How many trucks are more than 500 m from the depot?",
    "How many trucks are within walking distance of the depot?",
    "How many trucks are within 5 minutes of the depot?",
    "How many boats are within 500 m of the river?",
    "How many trucks are on the other side of the river?",
    "Is there a truck on the opposite side of the canal?",
    "How many tents are across the road from the camp?",
    "How many trucks are beyond the depot?",
    "How many trucks are behind the hall?",
    "How many tanks are a short walk from the depot?",
    "How many houses are on the far side of the lake?",
    "Is the roof of the building to the left of the pool red?",
    "What is located in the lower third of the picture?",
    "How many trucks are close to the northern edge of the scene?",
    "Which vehicle is parked nearest the south-west corner?",
    "How many trucks are between the depot and the camp?",
    "Describe the north-west quarter of the scene",
    "How many cars are parked along the left edge of the image?",
    "How many ships are at least 1 km from the pier?",
    "Is there anything to the east of the lake?",
)

# they name none
WHOLE = (
    "How many trucks are at the depot?",
    "Is the camp north of the depot?",
    "What is the shape of the hall at the camp?",
    "Is the hall at the harbor located in a rural or urban area?",
    "How many trucks are in the city centre?",
    "How many trucks are in the scene?",
    "What color is the truck at the shopping centre?",
    "Which is the largest lake?",
    "What is the status of the plane at the airport?",
    "Is the roof of the hall on the corner plot flat?",
)


@pytest.mark.parametrize("question", AREAS)
def test_an_area_is_read_out_of_a_question(question):
    kind, thing, text = AREAS[question]
    counted, compared = parse_part_count(question), parse_superlative(question)
    assert (counted is None) == (kind == "most")
    assert (compared is None) == (kind != "most")
    parsed = counted or compared
    assert (parsed.thing, parsed.part.text) == (thing, text)
    if counted is not None:
        assert counted.is_yes_no == (kind == "any")
    assert parse_question(question) is None


@pytest.mark.parametrize("question", [*UNREAD, *WHOLE])
def test_an_area_that_is_not_read_is_noticed_and_nothing_else_is(question):
    assert parse_part_count(question) is None
    compared = parse_superlative(question)
    assert compared is None or compared.part is None
    is_computed = compared is not None or parse_question(question) is not None
    assert (unread_area(question) is not None) == (question in UNREAD) or is_computed


def test_an_area_that_is_not_read_is_told_in_whole_words():
    assert unread_area("What lies between the camp and the pond?") == "between the camp"
    assert unread_area("What is a walk from the camp?") == "walk from the camp"


PHRASES = {
    "trucks in the north": ("trucks", "the northern half"),
    "Trucks in the North.": ("Trucks", "the northern half"),
    "red truck in the upper left corner": ("red truck", "the upper left corner"),
    "all trucks in the northern half of the scene": ("trucks", "the northern half"),
    "VW buses in the south": ("VW buses", "the southern half"),
    "the trucks in the middle": ("trucks", "the middle"),
    "in the east, storage tanks": ("storage tanks", "the eastern half"),
    "storage tanks in the south-west": ("storage tanks", "the southwestern quarter"),
    "planes in the top third of the image": ("planes", "the upper third"),
    "any trucks in the north": ("trucks", "the northern half"),
    "boat within 500 m of the harbour": ("boat", "within 500 m of the harbour"),
    "plane within 1.5 km of the depot": ("plane", "within 1.5 km of the depot"),
    "tents less than 300 metres from the camp": ("tents", "within 300 m of the camp"),
    "ships north of the pier": ("ships", "north of the pier"),
    "trucks to the left of the quarry": ("trucks", "left of the quarry"),
    "trucks located south of the depot": ("trucks", "south of the depot"),
    "houses in the area west of the lake": ("houses", "west of the lake"),
    "people in the south": ("people", "the southern half"),
    "piles of sand in the west": ("piles of sand", "the western half"),
    "swimming pools in the lower right quadrant": ("swimming pools", "the lower right quarter"),
}

# what they say of an area limits nothing, and a warning says so
UNREAD_PHRASES = (
    "house with a pool in the south-east corner",
    "field with a tree in the middle",
    "trucks in the north or tents in the south",
    "trucks east of the river",
    "tent near the harbour",
    "houses between the lake and the road",
    "trucks in the north of the depot",
    "trucks within 5 minutes of the depot",
    "lorries behind the hall",
    "cars along the left edge of the image",
    "roofs facing to the south of the building",
    "boats next to the pier",
    "roof of the depot in the north",
    "doors in the west of the hall",
    "trucks in the north east of the depot and the camp",
)

WHOLE_PHRASES = (
    "red truck",
    "trucks at the depot",
    "house in the city centre",
    "North American plane",
    "bridge over the river",
    "centre pivot field",
    "left luggage office",
    "crane by night",
)


@pytest.mark.parametrize("phrase", PHRASES)
def test_an_area_is_read_out_of_a_phrase(phrase):
    read = parse_area_phrase(phrase)
    assert (read.thing, read.part.text) == PHRASES[phrase]


@pytest.mark.parametrize("phrase", [*UNREAD_PHRASES, *WHOLE_PHRASES])
def test_an_area_that_limits_nothing_in_a_phrase_is_noticed_and_nothing_else_is(phrase):
    assert parse_area_phrase(phrase) is None
    is_noticed = bool(unread_area(phrase) or unbounded_area(phrase))
    assert is_noticed == (phrase in UNREAD_PHRASES)


def located(*box):
    return LocatedPlace("depot", shapely.box(*box), 0, 4.0, 1.0)


@pytest.fixture(scope="module")
def oblong(tmp_path_factory):
    """A scene of 400 x 200 pixels that are 2 m wide and 1 m high, its top in the west."""
    path = tmp_path_factory.mktemp("areas") / "scene.tif"
    size = {"width": 400, "height": 200, "count": 1, "dtype": "uint8"}
    # a step to the right leads 2 m to the north, and one down 1 m to the east
    turned = Affine(0, 1, 500_000, 2, 0, 5_400_000)
    with rasterio.open(path, "w", driver="GTiff", **size, crs="EPSG:32633", transform=turned) as f:
        f.write(np.ones((1, 200, 400), np.uint8))
    return open_scene(path)


@pytest.mark.parametrize(
    ("direction", "boxes"),
    [
        ("north", [(200, 0, 400, 200)]),
        ("east", [(0, 100, 400, 200)]),
        ("southeast", [(0, 100, 200, 200)]),
        ("left", [(0, 0, 200, 200)]),
        ("above", [(0, 0, 400, 100)]),
    ],
)
def test_a_side_of_a_place_begins_at_its_center_and_leaves_the_place_out(oblong, direction, boxes):
    place = located(190, 90, 210, 110)
    area = Surroundings("depot", direction).at(place)
    expected = shapely.union_all([shapely.box(*box) for box in boxes]) - place.region
    # north of the map and north of the Earth differ by some seconds of arc here
    assert shapely.symmetric_difference(area.region(oblong).geometry, expected).area < 40
    with pytest.raises(GeometryError, match="shares no area with the region that is asked"):
        area.region(oblong, Region(place.region))


def test_a_distance_is_that_on_the_ground_from_the_outline(oblong):
    area = Surroundings("depot", "", 60.0, "60 m").at(located(190, 90, 210, 110))
    shape = area.region(oblong).geometry
    # 60 m are 30 pixels to the side and 60 up and down; the map's meters are 0.04 % too short
    assert shape.bounds == pytest.approx((160, 30, 240, 170), abs=0.1)
    assert not shapely.intersects_xy(shape, 165, 35)
    nowhere = open_array(np.ones((200, 400, 3), np.uint8))
    with pytest.raises(GeometryError, match="does not say where it lies, so 60 m cannot"):
        area.region(nowhere)
    with pytest.raises(GeometryError, match="was not looked for yet"):
        Surroundings("depot", "north").region(nowhere)


@pytest.mark.parametrize(
    "wrong", [{}, {"direction": "ahead"}, {"direction": "north", "meters": 5.0}, {"meters": -1.0}]
)
def test_surroundings_have_either_a_direction_or_a_distance(wrong):
    with pytest.raises(QuestionError, match="lie in a direction or within a distance"):
        Surroundings("depot", **wrong)
