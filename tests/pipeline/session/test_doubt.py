"""A second look at an answer in doubt: the surer of two answers counts, within the same budget."""

import math
from dataclasses import dataclass, replace

import pytest
import shapely
import torch

import geofovea as gf
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.session import doubt
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Pyramid, Tile


@pytest.fixture
def session(embedded_host, scene_path):
    return gf.SceneSession(gf.open_scene(scene_path), embedded_host)


@pytest.fixture
def question(world):
    return next(q.text for q in ask_world(world, 2) if q.category == "object color")


@pytest.fixture
def windows(monkeypatch):
    """What was shown in windows off the grid, with every answer in doubt."""
    monkeypatch.setattr(doubt, "SURE", 1.1)
    seen = []

    def watched(*args):
        seen.append(doubt_window(*args))
        return seen[-1]

    doubt_window = doubt._window_around
    monkeypatch.setattr(doubt, "_window_around", watched)
    return seen


@pytest.mark.parametrize("tokens", [100, 300, 340, 400, 768])
def test_both_looks_together_keep_the_budget(session, question, windows, tokens):
    answer = session.ask(question, budget=Budget(tiles=48, tokens=tokens))
    assert len(windows) == 1
    assert answer.cost.tokens_llm <= tokens
    assert answer.cost.tiles_encoded <= 48
    assert answer.cost.tiles_encoded == sum(answer.cost.tiles_by_level.values())


def test_a_window_has_what_draws_most_attention_in_its_middle(session, question, windows):
    answer = session.ask(question)
    (window,) = windows
    boxes = window.boxes_scene
    middle = (boxes[:, :2].amin(0) + boxes[:, 2:].amax(0)) / 2
    finest = max((each for each in answer.evidence), key=lambda each: each.attention)
    assert finest.tile.level == 0
    box = finest.box_scene
    assert box.x0 <= middle[0] <= box.x1
    assert box.y0 <= middle[1] <= box.y1


@dataclass(frozen=True)
class Pointing:
    """A focus that gives some tokens of a row-major grid their scores, and the others none."""

    scores: dict[int, float]
    name: str = "pointing"

    def score(self, tokens):
        return torch.tensor([self.scores.get(number, 0.0) for number in range(len(tokens))])


def look_of(scores):
    """A native look at one tile of 4 × 4 tokens of 48 px, with the scores of a search."""
    pyramid, tile = Pyramid(192, 192, 192), Tile(0, 0, 0)
    tokens = tokens_of_tiles(torch.zeros(1, 16, 2), (4, 4), [tile], pyramid)
    return LevelLook(0, (tile,), tokens, Pointing(scores).score(tokens))


@pytest.mark.parametrize(
    ("scores", "middle"),
    [
        ({5: 1.0}, (72, 72)),
        ({5: 1.0, 6: 1.0}, (96, 72)),
        ({5: 0.09, 6: 0.01}, (84, 72)),
        ({5: 0.4, 6: 0.4, 9: 0.4, 10: 0.4}, (96, 96)),
        # what lies apart is another thing
        ({5: 1.0, 7: 0.9, 15: 0.9}, (72, 72)),
    ],
)
def test_the_middle_of_a_thing_lies_between_the_tokens_that_draw_attention(scores, middle):
    assert doubt._middle_of(look_of({15: 1.0}), Pointing(scores)) == pytest.approx(middle)


def test_where_a_focus_prefers_no_token_the_search_says_where_the_thing_is():
    even = Pointing(dict.fromkeys(range(16), 0.5))
    assert doubt._middle_of(look_of({15: 1.0}), even) == pytest.approx((168, 168))


@pytest.mark.parametrize(
    "options",
    [
        {"geometry": "off"},
        {"reduction": "top_score"},
        {"choices": ("red", "blue")},
        {"budget": Budget(tiles=31, tokens=768)},
        {"focus": "uniform"},
        {"route": "several"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_one_look_is_all_where_the_options_or_the_budget_say_so(
    session, question, windows, options
):
    session.ask(question, **options)
    assert not windows


def test_a_sure_answer_takes_one_look(session, question, windows, monkeypatch):
    monkeypatch.setattr(doubt, "SURE", 0.0)
    session.ask(question)
    assert not windows


def test_a_second_look_beside_a_memory_counts_and_leaves_what_it_holds_as_it_is(
    embedded_host, scene_path, question, windows, monkeypatch, tmp_path
):
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path))

    def session():
        scene, memory = gf.open_scene(scene_path), MemoryOptions()
        return gf.SceneSession(scene, embedded_host, cache_tokens=True, memory=memory)

    def kept():
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    monkeypatch.setattr(doubt, "SURE", 0.0)
    first = session()
    first.ask(question)
    one_look, held, on_disk = first.ask(question), first.memory.nbytes, kept()
    assert held > 0
    assert len(on_disk) > 0
    assert not windows
    monkeypatch.setattr(doubt, "SURE", 1.1)
    full = session()
    again = full.ask(question)
    (window,) = windows
    assert full.memory.nbytes == held
    assert kept() == on_disk
    assert again.cost.memory.tiles_stored == 0
    # the focus says once more where the thing is, from native tiles that the memory holds
    tiles_read = again.cost.memory.tiles_read - one_look.cost.memory.tiles_read
    entries_read = again.cost.memory.entries_read - one_look.cost.memory.entries_read
    assert 0 < entries_read <= tiles_read * math.prod(embedded_host.grid)
    assert again.cost.tiles_encoded == one_look.cost.tiles_encoded + 1
    assert again.cost.tokens_total == one_look.cost.tokens_total + len(window)
    more = again.cost.tokens_llm - one_look.cost.tokens_llm
    assert len(window) < more <= embedded_host.default_budget.tokens - one_look.cost.tokens_llm
    # all tokens of the second look run through the decoder, those of the first are stored
    extra = again.cost.flops.full.prefill - one_look.cost.flops.full.prefill
    assert extra > embedded_host.shape.decoder.prefill(more) / 1e12
    filling = gf.SceneSession(gf.open_scene(scene_path), embedded_host, memory=MemoryOptions())
    assert filling.ask(question).text == again.text


def test_a_warning_tells_where_a_memory_and_a_window_disagree(
    embedded_host, scene_path, question, windows, monkeypatch
):
    stock = embedded_host.generate
    other = lambda *args, **kwargs: replace(stock(*args, **kwargs), text="mauve")  # noqa: E731
    # a memory answers by itself: the model answers the second look alone
    monkeypatch.setattr(embedded_host, "generate", other)
    memory = MemoryOptions()
    answer = gf.SceneSession(gf.open_scene(scene_path), embedded_host, memory=memory).ask(question)
    assert len(windows) == 1
    (told,) = [warning for warning in answer.warnings if "two looks disagree" in warning]
    assert "'mauve'" in told


def test_a_window_shows_nothing_outside_of_the_region(session, question, windows):
    finest = max(session.ask(question).evidence, key=lambda each: each.attention)
    x, y = finest.box_scene.center
    # narrower than a window
    region = Region(shapely.box(x - 30, y - 30, x + 30, y + 30))
    session.ask(question, region=region)
    first, second = windows
    assert not region.overlap_mask(first.boxes_scene.numpy()).all()
    assert len(second)
    assert region.overlap_mask(second.boxes_scene.numpy()).all()


def test_questions_in_a_batch_are_looked_at_again_as_alone(session, question, windows):
    (together,) = session.ask_many([question])
    alone = session.ask(question)
    assert (together.text, together.cost.tokens_llm) == (alone.text, alone.cost.tokens_llm)
    assert len(windows) == 2


def generation(text, probability):
    return Generation(text, (math.log(probability),))


@pytest.mark.parametrize(
    ("first", "again", "text", "confidence", "notes"),
    [
        (("red", 0.6), ("red", 0.8), "red", 0.8, 0),
        (("red", 0.8), ("red", 0.6), "red", 0.8, 0),
        (("red", 0.6), ("blue", 0.8), "blue", 0.8 / 1.4, 1),
        (("red", 0.8), ("blue", 0.2), "red", 0.8, 1),
        (("red", 0.5), ("blue", 0.5), "red", 0.5, 1),
    ],
)
def test_the_surer_answer_counts_and_two_different_ones_share_the_belief(
    first, again, text, confidence, notes
):
    better, told = doubt._surer(generation(*first), generation(*again), 1.0)
    assert better.text == text
    assert math.exp(sum(better.log_probabilities)) == pytest.approx(confidence)
    assert len(told) == notes


def test_the_overview_goes_first_and_then_what_is_nearest():
    corners = torch.tensor([[0, 0], [100, 0], [500, 0], [0, 0], [900, 0]], dtype=torch.float64)
    tiles = (Tile(0, 0, 0), Tile(1, 0, 0), Tile(2, 0, 0))
    tokens = TokenSet(
        features=torch.zeros(5, 2),
        boxes_scene=torch.cat([corners, corners + 10], 1),
        tile_index=torch.tensor([0, 1, 1, 2, 2]),
        tiles=tiles,
    )
    for most, kept in ((0, []), (2, [0, 900]), (3, [0, 500, 900]), (9, [0, 100, 500, 900])):
        near = doubt._nearest(tokens, (490.0, 5.0), most)
        assert sorted(near.boxes_scene[:, 0].tolist()) == kept
