"""Phrasings of other people: what they ask for, and what only looks as if it asked for geometry."""

import pytest

from geofovea.errors import QuestionError
from geofovea.pipeline.relations.grammar import parse_question
from geofovea.pipeline.relations.superlatives import parse_superlative
from geofovea.pipeline.relations.vocabulary import unit_called
from geofovea.pipeline.session.measuring import check_measurable

TWO = ("pond", "mill")
THREE = ("pond", "mill", "school")

# (kind, places), and what else is asked: a unit, a direction or a measure; "less" for the smaller
PLACES = {
    "Please tell me how far the pond is from the mill": ("distance", TWO),
    "How far is it from the pond to the mill as the crow flies?": ("distance", TWO),
    "As the crow flies, how far apart are the pond and the mill?": ("distance", TWO),
    "How far is the pond from the mill, in km?": ("distance", TWO, "km"),
    "How far is the pond from the mill in kilomters?": ("distance", TWO, "km"),
    "In kilometers, how far is the pond from the mill?": ("distance", TWO, "km"),
    "By how many meters are the pond and the mill separated?": ("distance", TWO, "m"),
    "By what distance is the pond separated from the mill?": ("distance", TWO),
    "What distance separates the pond from the mill?": ("distance", TWO),
    "What's the distance from the pond to the mill?": ("distance", TWO),
    "What is the straight-line distance between the pond and the mill in miles?": (
        "distance",
        TWO,
        "mi",
    ),
    "How distant is the pond from the mill?": ("distance", TWO),
    "How far away from the pond is the mill?": ("distance", TWO),
    "How close is the pond to the mill?": ("distance", TWO),
    "How far are the pond and the mill from each other?": ("distance", TWO),
    "Can you measure the distance between the pond and the mill?": ("distance", TWO),
    "How far is the crossroads from the bank?": ("distance", ("crossroads", "bank")),
    "How many mtrs is the pond from the mill?": ("distance", TWO, "m"),
    "How many feet are between the pond and the mill?": ("distance", TWO, "ft"),
    "In how many km does the pond lie from the mill?": ("distance", TWO, "km"),
    "In how many meters from the mill is the pond?": ("distance", ("mill", "pond"), "m"),
    "At what distance from the mill lies the pond?": ("distance", ("mill", "pond")),
    "How much distance is there between the pond and the mill?": ("distance", TWO),
    "How far is the café from the müllplatz?": ("distance", ("café", "müllplatz")),
    "What's the separation between the pond and the mill?": ("distance", TWO),
    "How close together are the pond and the mill?": ("distance", TWO),
    "Give me the distance in yards between the pond and the mill": ("distance", TWO, "yd"),
    "What is the distance in nautical miles from the pond to the mill?": ("distance", TWO, "nmi"),
    "Could you tell me whether the pond is north of the mill?": ("direction", TWO, "north"),
    "Is the pond situated to the south-west of the mill?": ("direction", TWO, "southwest"),
    "Is the pond north of the mill? Answer with yes or no.": ("direction", TWO, "north"),
    "Which way is the pond from the mill?": ("bearing", TWO),
    "From the mill, in which direction is the pond?": ("bearing", TWO),
    "In what direction do I go from the mill to the pond?": ("bearing", TWO),
    "What is the position of the pond relative to the mill?": ("bearing", TWO),
    "On which side of the mill is the pond?": ("bearing", TWO),
    "Which side of the mill does the pond lie on?": ("bearing", TWO),
    "Of the pond and the mill, which is larger?": ("largest", TWO, "area"),
    "Which one of the pond and the mill is smaller?": ("largest", TWO, "area", "less"),
    "Between the mill and the school, which is closer to the pond?": ("nearest", THREE),
    "What is closer to the pond, the mill or the school?": ("nearest", THREE),
    "Is the pond closer to the mill or the school?": ("nearest", THREE),
    "Is the pond farther from the mill or from the school?": ("nearest", THREE),
    "Is the pond closer than the school to the mill?": ("nearer", THREE),
    "Is the pond closer to the mill than the school is?": ("nearer", THREE),
    "What size is the pond?": ("size", ("pond",), "area"),
    "How large is the pond in hectares?": ("size", ("pond",), "area", "ha"),
    "How much area does the pond cover?": ("size", ("pond",), "area"),
    "How much land is covered by the pond?": ("size", ("pond",), "area"),
    "What area is occupied by the pond?": ("size", ("pond",), "area"),
    "How many hectares does the pond cover?": ("size", ("pond",), "area", "ha"),
    "What is the surface area of the pond in km^2?": ("size", ("pond",), "area", "km²"),
    "Give me the area of the pond in sqm": ("size", ("pond",), "area", "m²"),
    "How large is the pond in this image?": ("size", ("pond",), "area"),
    "How many hectares does the pond span?": ("size", ("pond",), "area", "ha"),
    "How large is the pond in acres?": ("size", ("pond",), "area", "acres"),
    "How many meters is the pier long?": ("size", ("pier",), "length", "m"),
    "Does the pond cover a larger area than the mill?": ("larger", TWO, "area"),
    "Does the pond cover less ground than the mill?": ("larger", TWO, "area", "less"),
    "Which covers more area: the pond or the mill?": ("largest", TWO, "area"),
    "Is the pond more northerly than the mill?": ("farther", TWO, "north"),
    "Does the pond lie farther east than the mill?": ("farther", TWO, "east"),
    "Which is most southern: the pond, the mill or the school?": ("farthest", THREE, "south"),
    "In which order do the pond, the mill and the school lie from west to east?": (
        "order",
        THREE,
        "west",
    ),
    "Hello, I wonder how far the pond is from the mill. Thank you!": ("distance", TWO),
    "How far (in miles) is the pond from the mill?": ("distance", TWO, "mi"),
    "How far, in nautical miles, is the pond from the mill?": ("distance", TWO, "nmi"),
    "In nautical miles, how far is the pond from the mill?": ("distance", TWO, "nmi"),
    "What is the distance, in metres, between the pond and the mill?": ("distance", TWO, "m"),
    "What distance in km separates the pond from the mill?": ("distance", TWO, "km"),
    "At what distance from the pond does the mill stand?": ("distance", TWO),
    "What is the pond's distance from the mill in ft?": ("distance", TWO, "ft"),
    "Distance pond to mill?": ("distance", TWO),
    "How near is the pond to the mill?": ("distance", TWO),
    "The pond is north of the mill, isn't it?": ("direction", TWO, "north"),
    "Is it true that the pond is north of the mill?": ("direction", TWO, "north"),
    "Isn't the pond north of the mill?": ("direction", TWO, "north"),
    "Would you say the pond is north of the mill?": ("direction", TWO, "north"),
    "Is the pond on the left-hand side of the mill?": ("direction", TWO, "left"),
    "Does the pond sit on the right of the mill?": ("direction", TWO, "right"),
    "What's the compass bearing from the mill to the pond?": ("bearing", TWO),
    "Where does the pond lie in relation to the mill?": ("bearing", TWO),
    "Which direction should I walk to get from the mill to the pond?": ("bearing", TWO),
    "What is the pond's position relative to the mill?": ("bearing", TWO),
    "How broad is the dam in feet?": ("size", ("dam",), "width", "ft"),
    "What is the footprint of the mill in square metres?": ("size", ("mill",), "area", "m²"),
    "How many hectares of land does the pond occupy?": ("size", ("pond",), "area", "ha"),
    "State the length of the pier in metres": ("size", ("pier",), "length", "m"),
    "The pond is larger than the mill, right?": ("larger", TWO, "area"),
    "Is the pond or the mill smaller?": ("largest", TWO, "area", "less"),
    "Which is the larger of the pond and the mill?": ("largest", TWO, "area"),
    "Of the pond and the mill, which has the greater area?": ("largest", TWO, "area"),
    "Which of these is larger, the pond or the mill?": ("largest", TWO, "area"),
    "Which takes up more space, the pond or the mill?": ("largest", TWO, "area"),
    "Is the mill or the school closer to the pond?": ("nearest", THREE),
    "Which is nearer the pond, the mill or the school?": ("nearest", THREE),
    "Is the pond nearer the mill than the school?": ("nearer", THREE),
    "Is the pond or the mill farther west?": ("farthest", TWO, "west"),
    "Which lies more to the east, the pond or the mill?": ("farthest", TWO, "east"),
    "Which is the northernmost of the pond, the mill and the school?": (
        "farthest",
        THREE,
        "north",
    ),
    "Sort from left to right: the pond, the mill, the school": ("order", THREE, "left"),
    "From west to east, list the pond, the mill and the school": ("order", THREE, "west"),
}

# (thing, measure), and what else is asked: a direction, a reference or how many
CLASSES = {
    "What is the largest of the lakes?": ("lake", "area"),
    "Which lake has the largest area?": ("lake", "area"),
    "What are the 3 largest lakes?": ("lake", "area", 3),
    "What truck is closest to the harbor?": ("truck", "distance", "harbor"),
    "Which truck is the closest one to the harbor?": ("truck", "distance", "harbor"),
    "Which truck is most distant from the harbor?": ("truck", "distance", "harbor"),
    "In this image, which is the largest lake?": ("lake", "area"),
    "Could you show me the northernmost truck, please?": ("truck", "direction", "north"),
    "the northernmost of the trucks": ("truck", "direction", "north"),
    "What is the biggest lake by area?": ("lake", "area"),
    "Of all the trucks, which is closest to the harbor?": ("truck", "distance", "harbor"),
    "Show me the truck that is closest to the harbor": ("truck", "distance", "harbor"),
    "Find me the nearest truck to the harbor": ("truck", "distance", "harbor"),
    "Which truck stands nearest to the harbor?": ("truck", "distance", "harbor"),
    "Which is the truck that lies farthest west?": ("truck", "direction", "west"),
    "Which lake is the broadest of all?": ("lake", "width"),
}

OTHERS = (
    # of no place
    "How far along is the construction?",
    "How far is the construction from completion?",
    "How close is the plane to landing?",
    "How close is the bridge to being finished?",
    "How long is the delay?",
    "How large is the damage?",
    "How wide is the variety of crops?",
    "What is the size of the fleet?",
    "What is the size of a pixel?",
    "What is the area of interest?",
    "What is the length of time between the images?",
    "What is the biggest problem here?",
    "What is the biggest difference to the earlier image?",
    "Which is the closest match to the truck?",
    "Which company is the largest?",
    # ways that are no straight lines
    "How far is the airport from the harbor by car?",
    "What is the driving distance between the pond and the mill?",
    "How far is the pond from the mill along the road?",
    "How far is the pond from the mill on foot?",
    "How far is the pond from the mill in minutes?",
    "How many minutes is the pond from the mill?",
    "How long is the route from the camp to the depot?",
    # a number, a date, or a part that is not a place
    "Is the pond larger than 5?",
    "Is the pond larger than 3 football fields?",
    "Is the pond larger than a football field?",
    "How many times as large as a football field is the pond?",
    "Is the pond larger than 5 kilometers?",
    "Is the pond larger than in 2020?",
    "Is the pond larger than last year?",
    "Is the lake larger than usual?",
    "How large is the pond compared to the lake?",
    "What is the shortest distance between the pond and the mill?",
    "How many hectares are covered by forest?",
    "How many meters above the sea is the camp?",
    "How large is the proportion of forest?",
    "What is the width of the field of view?",
    "Is the truck on the left larger than the truck on the right?",
    "How many liters is the pond from the mill?",
    # a state of a place, with a direction or a place beside it
    "Is the road between the pond and the mill paved?",
    "Is the road north of the camp flooded?",
    "Is the region north of the pond a forest?",
    "Is the area north of the pond rural?",
    "Is the church south of the square bigger?",
    "Is the truck heading north of the camp?",
    "Does the river flow north of the mill?",
    "Is the wind blowing from the north of the camp?",
    "What is the direction of traffic from the camp to the depot?",
    # extremes and numbers of things inside of other questions
    "Is the largest lake north of the camp?",
    "How far is the northernmost truck from the camp?",
    "How far is the camp from the nearest truck?",
    "Which truck is closest to the largest tent?",
    "closest truck to the northernmost tent",
    "Is the pond north of the two mills?",
    "How far apart are the two trucks?",
    "Is the other pond north of the mill?",
    "the second largest lake",
    "Which lake is the largest by volume?",
    "Which tank is furthest along?",
    "Which plane is closest to taking off?",
    "Which ship is closest to leaving the harbor?",
    "Which two trucks are closest to each other?",
    "Which is the second closest truck to the depot?",
    "Which of the three lakes is the largest?",
    # something long and bent has no center and no sides
    "How wide is the river?",
    "How long is the road?",
    "Is the camp north of the river?",
    "On which side of the canal is the camp?",
    "How far is the camp from the main road?",
    "Which truck is closest to the railway?",
    "Find the widest river",
    # all of a kind
    "How far is the camp from water?",
    "Is the camp closer to water or forest?",
    "the closest crane to the water",
    "How wide is the estuary?",
    "Which is larger, ships or boats?",
    "Which of the ships and boats is the largest?",
    "How large is a typical field?",
    # more than a direction or a place
    "Is the mill located midway between the pond and the camp?",
    "Is the mill halfway between the pond and the camp?",
    "Is the mill roughly between the pond and the camp?",
    "Is the camp slightly north of the depot?",
    "Is the camp far north of the depot?",
    "Is the camp 2 km north of the depot?",
    "Is the camp two miles north of the depot?",
    "Is the camp within 2 km north of the depot?",
    "Is the camp within 5 minutes of the depot?",
    "Is the camp within 0 m of the depot?",
    "Is the camp within 500 m of the river?",
    "Is the camp within 500 m of water?",
    "Is there a camp within 500 m of the depot?",
    "How far is the camp set back from the depot?",
    "How large is the camp in football fields?",
    "How large is the camp in square city blocks?",
    "How large is the pond near the camp?",
    "How large is the pond next to the camp?",
    "Which is larger, the northern pond or the southern pond?",
    "Which is larger, the pond in the north or the pond in the south?",
    "Is the camp still north of the depot?",
    "Is the camp to the immediate right of the depot?",
    "What is the distance from the barn's north corner to the mill?",
    "How large is the flooded part of the quarry?",
    "How large is half of the quarry?",
    "Is the east end of the pier north of the camp?",
    "Is the airfield just about between the harbor and the village?",
    "Is the airfield under construction north of the harbor?",
    "Is the airfield separate from the harbor north of the village?",
    "Is the airfield built north of the harbor?",
    "Is the airfield uphill north of the harbor?",
    "Is the airfield 20 percent larger than the harbor?",
    "Is the airfield twice larger than the harbor?",
    "How far is the airfield from the harbor to the north?",
    "How far is the airfield from the harbor at low tide?",
    "How far is the airfield from residential buildings?",
    "How large is the airfield without the apron?",
    "Compute the area of the airfield minus the harbor",
    "How large is the airfield per plane?",
    "How wide is the gap in the fence?",
    "Is the camp not north of the depot?",
    "The camp is not larger than the depot, right?",
    "The camp is on the right, isn't it?",
    "If the camp is north of the depot, how far is it?",
    "Is the camp to the right of the centre?",
    "Is the camp on the right bank of the river?",
    "Is the camp the site north of the depot?",
    "Is the camp located in the middle between the pond and the mill?",
    "Is the camp nearer to us than the depot?",
    "Is the camp or the depot north of the mill?",
    "Is the camp north or west of the depot?",
    "Is the camp taller or shorter than the depot?",
    "Is the camp larger or longer than the depot?",
    "How far above the depot is the camp?",
    "How far northeast of the depot is the camp?",
    "How far is the camp from the depot or the quarry?",
    "How far is the camp from the depot by way of the quarry?",
    "How long is the perimeter of the camp?",
    "How long is the diagonal of the camp?",
    "How many meters larger is the camp than the depot?",
    "How much taller is the camp than the depot?",
    "How many times was the camp larger than the depot?",
    "What lies between the camp and the depot?",
    "Which truck is between the camp and the depot?",
    "Rank the camp, the depot and the quarry by age",
    "List the camp, the depot and the quarry from largest to narrowest",
    "Which is the nearest barn, mill or chapel?",
    "Which is the largest of its kind?",
    "Which is the smaller of the two lakes?",
    "Which is the northernmost of the chapel's towers?",
    "Distance travelled by the truck to the mill?",
    "Distance remaining to the finish",
    "How long is the queue at the pier?",
    "In winter, how large is the pond?",
    # what no scene shows as a place
    "How far is the camp from the border?",
    "Is the camp closer to the equator than the depot?",
    "How far is the moon from the camp?",
    "Which site is nearest to the depot?",
    # other languages
    "Wie weit ist der Teich von der Mühle entfernt?",
    "Welches ist der größte See?",
    "Quelle est la distance entre le lac et le moulin?",
    "Où se trouve le camion le plus au nord?",
)


@pytest.mark.parametrize("question", PLACES)
def test_other_words_for_a_question_about_places_ask_the_same(question):
    kind, places, *details = PLACES[question]
    parsed = parse_question(question)
    assert parsed is not None
    assert (parsed.kind, parsed.places) == (kind, places)
    words = {parsed.direction, parsed.measure, parsed.unit} - {""}
    if kind in ("larger", "largest") and not parsed.is_most:
        words.add("less")
    if kind == "nearest":
        assert parsed.is_most == ("farther" not in question)
    assert words == set(details)
    assert parse_superlative(question) is None


@pytest.mark.parametrize("question", CLASSES)
def test_other_words_for_the_extreme_of_a_class_ask_the_same(question):
    thing, measure, *details = CLASSES[question]
    parsed = parse_superlative(question)
    assert parsed is not None
    assert (parsed.thing, parsed.measure) == (thing, measure)
    assert details in ([], [parsed.direction], [parsed.reference], [parsed.count])
    assert parse_question(question) is None


@pytest.mark.parametrize("question", OTHERS)
def test_what_only_looks_like_geometry_goes_to_the_model(question):
    assert parse_question(question) is None
    assert parse_superlative(question) is None


@pytest.mark.parametrize(
    ("words", "symbol"),
    [("kilomters", "km"), ("hectars", "ha"), ("centimetrs", "cm"), ("kms", "km"), ("sqft", "ft²")],
)
def test_a_slip_in_the_name_of_a_unit_is_forgiven(words, symbol):
    assert unit_called(words).symbol == symbol


@pytest.mark.parametrize(
    "words", ["minutes", "liters", "kilograms", "milliliters", "smiles", "males", "centiliters"]
)
def test_another_word_is_no_misspelt_unit(words):
    assert unit_called(words) is None


def test_a_question_that_is_not_understood_is_refused_with_what_is():
    with pytest.raises(QuestionError, match=r"English.*distance from the pond to the school"):
        check_measurable("Wie weit ist der Teich von der Mühle entfernt?")
