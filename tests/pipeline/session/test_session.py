"""A session keeps its budget to the token, reuses what it read, and warns where it should."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pipeline_toys import QUESTION, texture

import geofovea as gf
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import BudgetError, GeometryError, ModelError, QuestionError, SceneError
from geofovea.pipeline.hosts.load import embedded_model_path, load_host
from geofovea.pipeline.session.request import MAX_QUESTION_LENGTH
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.registry import REDUCTION_NAMES, make_reduction
from geofovea.tiling.pyramid import Box

FEW = Budget(tiles=12, tokens=60)


def boxes_of(answer):
    return [(item.tile, item.box_scene, item.tokens) for item in answer.evidence]


ALWAYS_THERE = {"scores", "levels", "tile_index", "boxes_scene"}
ASKING_LITTLE = [
    name
    for name in REDUCTION_NAMES
    if make_reduction(name).requires <= ALWAYS_THERE
    and not getattr(make_reduction(name), "requires_one_of", None)
]
"""Reductions that need no more than what every host gives."""


@pytest.fixture(scope="module")
def shared(tiny_host, scene_path):
    """One session for many questions: what it remembers must not bend any budget."""
    return gf.SceneSession(gf.open_scene(scene_path), tiny_host)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    tiles=st.integers(1, 80),
    tokens=st.integers(1, 2000),
    focus=st.sampled_from(["attention", "overview", "uniform", "oracle"]),
    reduction=st.sampled_from(ASKING_LITTLE),
)
def test_no_budget_is_ever_exceeded(shared, tiles, tokens, focus, reduction):
    budget = Budget(tiles=tiles, tokens=tokens)
    boxes = [Box(900, 1200, 950, 1260)] if focus == "oracle" else []
    answer = shared.ask(QUESTION, budget=budget, focus=focus, reduction=reduction, boxes=boxes)
    cost = answer.cost
    assert 1 <= cost.tiles_encoded <= tiles
    assert sum(cost.tiles_by_level.values()) == cost.tiles_encoded
    if focus in ("overview", "uniform"):
        assert cost.tokens_llm == min(tokens, cost.tokens_total)
    assert 1 <= cost.tokens_llm <= min(tokens, cost.tokens_total)
    assert cost.tokens_total == 16 * cost.tiles_encoded
    assert sum(item.tokens for item in answer.evidence) == cost.tokens_llm
    assert cost.tiles_read <= cost.tiles_encoded
    assert 0 <= answer.confidence <= 1
    assert cost.budget is budget


def test_the_descent_reaches_native_tiles(make_session):
    answer = make_session().ask(QUESTION, budget=FEW)
    assert (answer.stopped, answer.looks[-1].level) == ("native", 0)
    assert answer.levels == 6
    assert set(answer.cost.tiles_by_level) == {5, 4, 3, 2, 1, 0}


def test_without_a_budget_the_default_of_the_host_holds(make_session, tiny_host):
    assert make_session().ask(QUESTION).cost.budget == tiny_host.default_budget


def test_the_same_question_has_the_same_answer(make_session):
    first, second = (make_session().ask(QUESTION, budget=FEW) for _ in range(2))
    assert (first.text, first.confidence) == (second.text, second.confidence)
    assert boxes_of(first) == boxes_of(second)


def test_a_second_question_reads_less_and_answers_as_a_fresh_session_would(make_session):
    session = make_session()
    other = "How many boats are at the harbour?"
    first = session.ask(QUESTION, budget=FEW)
    second = session.ask(other, budget=FEW)
    fresh = make_session().ask(other, budget=FEW)
    assert first.cost.tiles_read == first.cost.tiles_encoded == fresh.cost.tiles_read
    assert second.cost.tiles_read < fresh.cost.tiles_read
    assert second.cost.tiles_encoded == fresh.cost.tiles_encoded
    assert second.text == fresh.text
    assert second.confidence == pytest.approx(fresh.confidence, abs=1e-5)
    assert boxes_of(second) == boxes_of(fresh)
    assert session.ask(other, budget=FEW).cost.tiles_read == 0


def test_opening_is_paid_by_the_first_answer_alone(make_session):
    session = make_session()
    first, second = (session.ask(QUESTION, budget=FEW).cost.seconds for _ in range(2))
    assert first["open"] > 0 == second["open"]
    for seconds in (first, second):
        assert sum(v for k, v in seconds.items() if k != "total") <= seconds["total"] + 1e-6


def test_evidence_is_made_of_pyramid_tiles_finest_first(make_session):
    session = make_session()
    evidence = session.ask(QUESTION, budget=FEW).evidence
    assert len(evidence) > 3
    for item in evidence:
        assert item.box_scene == session.pyramid.box_scene(item.tile)
        assert item.tokens >= 1
        assert 0 <= item.score <= 1
    keys = [(item.tile.level, -item.score) for item in evidence]
    assert keys == sorted(keys)
    assert len({item.tile for item in evidence}) == len(evidence)


def test_scores_of_evidence_are_shares_of_a_level(make_session):
    budget = Budget(tiles=12, tokens=2000)
    answer = make_session().ask(QUESTION, budget=budget, concentrated=False)
    for level in answer.cost.tiles_by_level:
        total = sum(item.score for item in answer.evidence if item.tile.level == level)
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("focus", ["attention", "overview", "uniform", "full"])
def test_every_way_of_looking_answers(make_session, make_png, focus):
    answer = make_session(make_png(150, 200)).ask(QUESTION, focus=focus)
    assert answer.cost.tiles_encoded >= 2
    if focus == "full":
        assert answer.cost.tiles_by_level == {2: 1, 0: 12}


def test_a_full_look_that_the_budget_cannot_hold_is_refused(make_session):
    with pytest.raises(BudgetError, match="needs 1025 tiles"):
        make_session().ask(QUESTION, budget=FEW, focus="full")


def test_an_oracle_looks_at_its_box_and_needs_one(make_session):
    box = Box(1500, 300, 1540, 330)
    answer = make_session().ask(QUESTION, budget=FEW, focus="oracle", boxes=[box])
    assert any(box.intersection(tile) for tile in answer.looks[-1].tiles)
    with pytest.raises(GeometryError, match="at least one annotated box"):
        make_session().ask(QUESTION, budget=FEW, focus="oracle")


def test_words_that_name_no_strategy_are_refused_with_the_choices(make_session):
    with pytest.raises(ModelError, match=r"unknown focus 'telepathy'; choose one of attention,"):
        make_session().ask(QUESTION, budget=FEW, focus="telepathy")
    with pytest.raises(ModelError, match="top_score"):
        make_session().ask(QUESTION, budget=FEW, reduction="telepathy")


@pytest.mark.parametrize(
    "question", ["", " ", "\n\t  ", "\u200b\u202e \ufeff", "x" * 10_000, "why " * 2500]
)
def test_a_question_that_is_empty_or_endless_is_refused(make_session, question):
    with pytest.raises(QuestionError, match=r"empty|at most 2000"):
        make_session().ask(question, budget=FEW)


@pytest.mark.parametrize("text", ["caf\udce9 ?", "what \ud800 is it?"])
def test_half_a_character_is_refused_in_words_wherever_a_text_is_taken(make_session, text):
    session = make_session()
    asked = {
        "question": lambda: session.ask(text, budget=FEW),
        "choice": lambda: session.ask(QUESTION, budget=FEW, choices=["one", text]),
        "phrase": lambda: session.find(text, budget=FEW),
        "to count": lambda: session.count(text, budget=FEW),
        "to measure": lambda: session.measure(text, budget=FEW),
    }
    for ask in asked.values():
        with pytest.raises(QuestionError, match="no character: write it in UTF-8"):
            ask()


def test_a_phrase_that_shows_nothing_is_refused(make_session):
    for look in (make_session().find, make_session().count):
        with pytest.raises(QuestionError, match="the phrase is empty"):
            look("\u200b \u2060?", budget=FEW)


@pytest.mark.parametrize("question", [None, 7, b"what is it?"])
def test_what_is_no_text_is_refused_in_words(make_session, question):
    with pytest.raises(QuestionError, match="the question is a text, got"):
        make_session().ask(question, budget=FEW)


def test_the_longest_question_is_answered(make_session):
    words = ("what " * MAX_QUESTION_LENGTH)[: MAX_QUESTION_LENGTH - 1] + "?"
    assert make_session().ask(words, budget=FEW).question == words


def test_white_space_in_a_question_means_nothing(make_session):
    plain = make_session().ask(QUESTION, budget=FEW)
    spaced = make_session().ask("  " + QUESTION.replace(" ", " \n "), budget=FEW)
    assert (plain.text, plain.confidence) == (spaced.text, spaced.confidence)


@pytest.mark.parametrize("limits", [{"tiles": 0}, {"tiles": -1}, {"tokens": 0}, {"tokens": -1}])
def test_a_budget_of_nothing_is_refused(limits):
    with pytest.raises(BudgetError, match="at least 1"):
        gf.Budget(**limits)


def test_a_scene_without_a_valid_pixel_is_refused_in_words(make_session, make_tiff):
    path = make_tiff(np.zeros((3, 300, 300), np.uint8), nodata=0)
    with pytest.raises(SceneError, match="no valid pixel"):
        make_session(path).ask(QUESTION, budget=FEW)


def test_where_nothing_is_known_nothing_is_looked_at(make_session, make_tiff):
    pixels = texture(512, 512)
    pixels[:, :, 256:] = 0
    answer = make_session(make_tiff(pixels, nodata=0)).ask(QUESTION, budget=FEW)
    assert all(item.box_scene.x0 < 256 for item in answer.evidence)
    assert answer.cost.tokens_total < 16 * answer.cost.tiles_encoded
    for look in answer.looks:
        assert (look.token_boxes[:, 0] < 256).all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 15), (1, 700), (700, 1), (65, 63)])
@pytest.mark.parametrize("bands", [1, 3, 4])
def test_pictures_of_any_size_and_bands_answer(make_session, make_png, height, width, bands):
    answer = make_session(make_png(height, width, bands)).ask(QUESTION, budget=FEW)
    assert answer.cost.tokens_llm >= 1
    inside = Box(0, 0, width, height)
    assert all(item.box_scene.share_inside(inside) == 1 for item in answer.evidence)


@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint16"), (4, "uint16"), (3, "float32")])
def test_rasters_of_deep_pixels_answer(make_session, make_tiff, bands, dtype):
    path = make_tiff(texture(200, 200, bands, dtype) * 40)
    assert make_session(path).ask(QUESTION, budget=FEW).cost.tokens_llm == 60


def test_the_bands_that_are_named_are_shown(make_session, make_tiff):
    path = make_tiff(texture(100, 100, 4))
    assert make_session(path, bands=(4, 3, 2)).reader.radiometry.bands == (4, 3, 2)


def test_an_answer_records_what_it_was_shown(make_session, make_tiff):
    path = make_tiff(texture(100, 100, 4, "uint16"))
    session = make_session(path, composite="ndvi", band_map={"red": 1, "nir": 4})
    answer = session.ask(QUESTION, budget=FEW)
    assert answer.radiometry is session.reader.radiometry
    record = answer.to_json()["radiometry"]
    assert (record["bands"], record["composite"]) == ([4, 1], "ndvi")
    assert record["stretch"] == [[-1.0, 1.0]]
    assert "nir=4, red=1 by the given band map" in record["reason"]
    deep = make_session(path).ask(QUESTION, budget=FEW)
    assert len(deep.to_json()["radiometry"]["stretch"]) == 3
    assert any("are a guess" in warning for warning in deep.warnings)


def test_ask_takes_a_composite(tiny_host, make_tiff):
    path = make_tiff(texture(100, 100, 4))
    answer = gf.ask(
        path, QUESTION, model=tiny_host, composite="false-color", band_map={"nir": 4}, budget=FEW
    )
    assert answer.radiometry.bands == (4, 1, 2)


class CountingHost:
    """A host that remembers which tiles it encoded."""

    def __init__(self, host):
        self._host = host
        self.tiles = []

    def __getattr__(self, name):
        return getattr(self._host, name)

    def encode(self, pixels, tiles, pyramid):
        self.tiles += tiles
        return self._host.encode(pixels, tiles, pyramid)


def half_empty(make_tiff, kind):
    pixels = texture(512, 512)
    pixels[:, :, 192:] = 0
    if kind == "nodata":
        return gf.open_scene(make_tiff(pixels, nodata=0))
    if kind == "declared":
        return gf.open_scene(make_tiff(pixels), nodata=0)
    alpha = (pixels.any(axis=0, keepdims=True) * 255).astype(np.uint8)
    return gf.open_scene(make_tiff(np.concatenate([pixels, alpha]), photometric="rgb", alpha="yes"))


@pytest.mark.parametrize("kind", ["nodata", "declared", "alpha"])
@pytest.mark.parametrize("focus", ["attention", "full", "uniform"])
def test_a_tile_that_shows_nothing_is_never_encoded(tiny_host, make_tiff, kind, focus):
    host = CountingHost(tiny_host)
    session = gf.SceneSession(half_empty(make_tiff, kind), host)
    answer = session.ask(QUESTION, budget=Budget(tiles=80, tokens=200), focus=focus)
    assert all(session.pyramid.box_scene(tile).x0 < 192 for tile in host.tiles)
    assert answer.cost.tiles_encoded == len(host.tiles) == len(set(host.tiles))
    assert sum(answer.cost.tiles_by_level.values()) == len(host.tiles)
    if focus == "full":
        # 3 of 8 columns of native tiles hold something, and the overview
        assert len(host.tiles) == 3 * 8 + 1
        assert answer.cost.tiles_read == 65
    again = session.ask("How many boats are at the harbour?", budget=FEW, focus="uniform")
    assert len(host.tiles) == len(set(host.tiles))
    assert again.text is not None


@pytest.mark.slow
def test_the_embedded_model_is_never_shown_an_empty_tile(make_tiff):
    if not (embedded_model_path() / "config.json").exists():
        pytest.skip("the embedded model is not there: run geofovea train, or get the release")
    host = CountingHost(load_host())
    pixels = texture(8 * host.tile_size, 8 * host.tile_size)
    pixels[:, :, 2 * host.tile_size :] = 0
    session = gf.SceneSession(gf.open_scene(make_tiff(pixels, nodata=0)), host)
    answer = session.ask(QUESTION, focus="full", budget=Budget(tiles=80, tokens=500))
    natives = [tile for tile in host.tiles if tile.level == 0]
    assert len(natives) == 2 * 8
    assert answer.cost.tiles_encoded == len(host.tiles)


@pytest.mark.parametrize("bands", [(9, 8, 7), (0, 1, 2), ()])
def test_bands_that_do_not_exist_are_refused(make_session, bands):
    with pytest.raises(gf.GeoFoveaError, match="band"):
        make_session(bands=bands)


def test_a_spent_time_budget_still_answers_and_says_so(make_session):
    answer = make_session().ask(QUESTION, budget=Budget(tiles=12, tokens=60, seconds=1e-6))
    assert answer.stopped == "time"
    assert any("time budget ended the descent" in warning for warning in answer.warnings)
    assert answer.cost.tokens_llm > 0


def test_a_spent_memory_budget_still_answers_and_says_so(make_session):
    answer = make_session().ask(QUESTION, budget=Budget(tiles=12, tokens=60, host_ram_mb=1))
    assert answer.stopped == "memory"
    assert any("memory budget ended the descent" in warning for warning in answer.warnings)


def test_a_model_of_synthetic_scenes_warns_of_all_others(make_session, make_png, make_tiff):
    def warned(path=None):
        warnings = make_session(path).ask(QUESTION, budget=FEW).warnings
        return any("knows synthetic scenes only" in warning for warning in warnings)

    assert not warned()
    assert warned(make_png(100, 100))
    assert warned(make_tiff(texture(100, 100)))


def test_unknown_words_and_a_missing_georeference_are_told(make_session, make_png):
    warnings = make_session().ask("Where is the zeppelin?", budget=FEW).warnings
    assert any("does not know the words where, zeppelin" in warning for warning in warnings)
    # the toy never ends an answer by itself
    (told,) = make_session().ask(QUESTION, budget=FEW).warnings
    assert told.startswith("the answer was cut at 16 tokens")
    warnings = make_session(make_png(50, 50)).ask(QUESTION, budget=FEW).warnings
    assert any("no georeference" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("question", "told"),
    [
        ("How many planes at the airport are red?", ["learned a few wordings"]),
        ("what color is the truck at the camp ?", []),
        # the synthetic world asks it, and the model that was shipped has not learned it
        (
            "Is the roof of the hall at the camp a lawn?",
            ["has not learned questions about roofs"],
        ),
    ],
)
def test_a_model_of_few_wordings_says_so_of_any_other(make_session, question, told):
    warnings = make_session().ask(question, budget=FEW).warnings
    known = ("learned a few wordings", "has not learned questions about roofs")
    assert [words for words in known if any(words in each for each in warnings)] == told


def test_ask_takes_a_path_or_a_scene_and_a_name_or_a_host(tiny_host, tiny_folder, scene_path):
    by_names = gf.ask(str(scene_path), QUESTION, model=str(tiny_folder), budget=FEW)
    by_values = gf.ask(gf.open_scene(scene_path), QUESTION, model=tiny_host, budget=FEW)
    assert by_names.text == by_values.text
    assert by_names.cost.seconds["open"] > 0
    assert by_names.model == str(tiny_folder)


@pytest.mark.slow
def test_the_shipped_model_beats_its_own_blind_guesses_on_an_unseen_scene(tmp_path):
    if not (embedded_model_path() / "config.json").exists():
        pytest.skip("the embedded model is not there: run geofovea train, or get the release")
    from geofovea.datasets.synthetic.scene_files import write_scene

    unseen = make_world(777, 4096, 4096)
    write_scene(unseen, tmp_path / "unseen.tif")
    host = load_host()
    session = gf.SceneSession(gf.open_scene(tmp_path / "unseen.tif"), host)
    questions = ask_world(unseen, 6)
    blind = [host.generate(q.text, None).text == q.answer for q in questions]
    told = [session.ask(q.text, focus="oracle", boxes=q.places).text == q.answer for q in questions]
    assert len(questions) >= 30
    # how good it is, the bench says; that it looks at all is a matter for a test
    assert sum(told) > sum(blind) + 5


def test_limits_of_time_and_memory_that_an_answer_exceeds_are_told(make_session):
    session = make_session()
    plain = session.ask(QUESTION, budget=Budget(tiles=12, tokens=60))
    tight = session.ask(QUESTION, budget=Budget(tiles=12, tokens=60, seconds=1e-6, host_ram_mb=0.5))
    roomy = session.ask(
        QUESTION, budget=Budget(tiles=12, tokens=60, seconds=600.0, host_ram_mb=1e6)
    )
    told = [w for w in tight.warnings if "allowed" in w]
    assert [w.split()[:3] for w in told] == [["the", "answer", "took"], ["the", "process", "has"]]
    assert tight.text
    assert roomy.warnings == plain.warnings
