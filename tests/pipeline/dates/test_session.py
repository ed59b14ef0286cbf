"""Questions about dates: what reaches the model, what it costs, and what is refused."""

import json

import numpy as np
import pytest
import rasterio
import shapely
import torch
from PIL import Image
from rasterio.transform import Affine

import geofovea
from geofovea.errors import (
    AlignmentError,
    BudgetError,
    ModelError,
    NothingShownError,
    OutputError,
    SceneError,
)
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.hosts.endpoint.host import endpoint_host
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.tiling.geo.region import Region

QUESTION = "What appeared at the airport?"
FEW = Budget(tiles=24, tokens=60)


@pytest.fixture
def shown(monkeypatch, tiny_host):
    """What the model was asked with."""
    asked = []
    plain = type(tiny_host).generate

    def generate(self, question, tokens, *rest, **options):
        asked.append((question, tokens))
        return plain(self, question, tokens, *rest, **options)

    monkeypatch.setattr(type(tiny_host), "generate", generate)
    return asked


def test_all_dates_share_the_budget_and_reach_the_model_with_their_dates(make_pair, shown):
    answer = make_pair().ask(QUESTION, budget=FEW)
    (question, tokens) = shown[-1]
    assert question == QUESTION
    named = make_pair().ask(QUESTION, budget=FEW, tiles=FEW.tiles - 2)
    assert named.answer.cost.budget.tiles == FEW.tiles - 2
    assert isinstance(tokens, DatedTokens)
    assert tokens.labels == ("Before, 2024-06-01:", "After, 2024-09-29:")
    first, second = tokens.sets
    # the same places, not the same tokens
    assert torch.equal(first.boxes_scene, second.boxes_scene)
    assert not torch.equal(first.features, second.features)
    cost = answer.answer.cost
    assert cost.tokens_llm == len(first) + len(second) <= FEW.tokens
    assert sum(each.tiles_encoded for each in answer.costs) == cost.tiles_encoded <= FEW.tiles
    assert cost.tiles_encoded == cost.tiles_read == 24


def test_the_dates_of_a_pair_change_the_answer_of_the_model(make_pair, shown, tiny_host):
    """The prompt holds both dates: with the second replaced by the first, another follows."""
    make_pair().ask(QUESTION, budget=FEW)
    tokens = shown[-1][1]
    other = DatedTokens(tokens.labels, (tokens.sets[0], tokens.sets[0]))
    words = DatedTokens(("Before, 1990-01-01:", tokens.labels[1]), tokens.sets)
    sequences = [tiny_host._prompts.sequence(QUESTION, t) for t in (tokens, other, words)]
    assert len(sequences[0]) == len(sequences[1])
    assert not torch.equal(sequences[0].embedded, sequences[1].embedded)
    assert sequences[0].visual.tolist() == sorted(set(sequences[0].visual.tolist()))
    picked = sequences[0].embedded[0, sequences[0].visual]
    expected = torch.cat([each.features for each in tokens.sets]).to(picked.dtype)
    torch.testing.assert_close(picked, expected)
    positions = sequences[0].positions.flatten()
    assert torch.equal(positions, torch.arange(len(positions)))


def test_a_stack_of_three_is_asked_about_in_its_order(make_pair, dated_paths, shown):
    session = make_pair(dated_paths)
    answer = session.ask(QUESTION, budget=FEW)
    labels = shown[-1][1].labels
    assert labels == ("Date 1, 2024-06-01:", "Date 2, 2024-09-29:", "Date 3, 2025-01-27:")
    assert len(answer.costs) == 3
    assert "3 dates" in repr(session)


def test_json_tells_dates_sources_and_shares(make_pair, dated_paths):
    answer = make_pair().ask(QUESTION, budget=FEW)
    record = json.loads(json.dumps(answer.to_json()))
    before, after = record["dates"]
    assert (before["name"], before["date"]) == ("before", "2024-06-01")
    assert (after["path"], after["overlap"]) == (str(dated_paths[1]), 1.0)
    assert before["is_reference"]
    assert before["tokens_llm"] + after["tokens_llm"] == record["cost"]["tokens_llm"]
    row = record["evidence"][0]
    assert row["box_by_date"] == [row["box_scene"]] * 2


def test_a_date_on_another_grid_is_told_in_its_own_pixels(make_pair, dated_paths, tmp_path):
    coarse = tmp_path / "coarse.tif"
    with rasterio.open(dated_paths[1]) as dataset:
        pixels = dataset.read(out_shape=(3, 384, 384))
        profile = {"crs": dataset.crs, "transform": dataset.transform @ Affine.scale(2)}
    with rasterio.open(
        coarse, "w", driver="GTiff", width=384, height=384, count=3, dtype="uint8", **profile
    ) as out:
        out.write(pixels)
    session = make_pair((dated_paths[0], coarse), ("2024-01-01", "2024-02-01"))
    assert session.stack.reference == 0
    answer = session.ask(QUESTION, budget=FEW)
    for item in answer.evidence:
        own, other = answer.boxes_of(item)
        assert own == item.box_scene
        np.testing.assert_allclose(other.as_tuple(), np.array(own.as_tuple()) / 2, atol=1e-6)
    swapped = make_pair((coarse, dated_paths[0]), ("2024-01-01", "2024-02-01"))
    assert swapped.stack.reference == 1


@pytest.mark.parametrize("budget", [Budget(tiles=1), Budget(tiles=8, tokens=1)])
def test_a_budget_that_holds_no_tile_of_each_date_is_refused(make_pair, budget):
    with pytest.raises(BudgetError, match="2 dates share the budget"):
        make_pair().ask(QUESTION, budget=budget)


def test_the_smallest_budget_is_kept(make_pair):
    answer = make_pair().ask(QUESTION, budget=Budget(tiles=2, tokens=2))
    assert (answer.answer.cost.tiles_encoded, answer.answer.cost.tokens_llm) == (2, 2)


@pytest.mark.parametrize(("tiles", "told"), [(8, 1), (16, 1), (3000, 0)])
def test_what_was_not_compared_closely_is_told(make_pair, tiles, told):
    warnings = make_pair().ask("What changed?", tiles=tiles, tokens=100).warnings
    signs = [warning for warning in warnings if "compared at native resolution in" in warning]
    assert len(signs) == told
    assert all("% of the scene: a small change elsewhere was not seen" in sign for sign in signs)


def test_of_a_region_that_was_compared_whole_nothing_else_is_told(make_pair):
    region = Region(shapely.box(128, 128, 384, 384))
    warnings = make_pair().ask("What changed?", tiles=3000, tokens=100, region=region).warnings
    assert not [one for one in warnings if "compared at native resolution in" in one]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"reduction": "divprune+fastv:0.5"}, "acts inside the model"),
        ({"descent": "published"}, "knows one scene"),
        ({"focus": "prompted"}, "behind an endpoint"),
        ({"focus": "nonsense"}, "unknown focus"),
        ({"focus": "overview", "route": "several"}, "looks at the same tiles whatever is asked"),
    ],
)
def test_what_several_dates_cannot_be_asked_with_is_refused(make_pair, options, words):
    with pytest.raises(ModelError, match=words):
        make_pair().ask(QUESTION, **options)


def test_a_model_of_one_picture_is_refused_before_anything_is_read(dated_paths, tiny_host):
    session = StackSession(make_stack(dated_paths[:2]), tiny_host)

    class OnePicture:
        name, default_budget = "one picture", FEW
        capabilities = Capabilities(attention=True, domain="general", context=100)

    session.host = OnePicture()
    with pytest.raises(ModelError, match="one picture of one date"):
        session.ask(QUESTION)


def test_dates_in_the_wrong_order_are_refused(dated_paths):
    with pytest.raises(SceneError, match="from the earliest to the latest"):
        make_stack(dated_paths[1::-1])
    with pytest.raises(SceneError, match="need as many dates"):
        make_stack(dated_paths[:2], ["2024-01-01"])
    with pytest.raises(SceneError, match="2 to 12 scenes, got 1"):
        make_stack(dated_paths[:1])


def test_scenes_of_two_places_are_refused(dated_paths, scene_path):
    with pytest.raises(AlignmentError, match="share no ground"):
        make_stack([dated_paths[0], scene_path])


def test_what_only_one_date_shows_is_not_compared(make_pair, dated_paths, tmp_path):
    half = tmp_path / "half.tif"
    with rasterio.open(dated_paths[1]) as dataset:
        pixels = dataset.read(window=((0, 768), (0, 384)))
        profile = dataset.profile | {"width": 384, "photometric": "RGB"}
    for name in ("compress", "interleave", "blockxsize", "blockysize", "tiled"):
        profile.pop(name, None)
    with rasterio.open(half, "w", **profile | {"driver": "GTiff"}) as out:
        out.write(pixels)
    session = make_pair((dated_paths[0], half), (None, "2024-09-29"))
    answer = session.ask(QUESTION, budget=Budget(tiles=40, tokens=60))
    assert any("only 50% of" in warning for warning in answer.warnings)
    native = [item.box_scene for item in answer.evidence if item.tile.level == 0]
    assert native
    assert all(box.x0 < 384 for box in native)


def test_a_date_that_shows_no_data_is_not_answered_about(make_pair, dated_paths, tmp_path):
    empty = tmp_path / "empty.tif"
    with rasterio.open(dated_paths[1]) as scene:
        profile = {key: scene.profile[key] for key in ("width", "height", "crs", "transform")}
    with rasterio.open(empty, "w", driver="GTiff", count=3, dtype="uint8", nodata=0, **profile):
        pass  # a sparse file: all its pixels are nodata
    pair = make_pair((dated_paths[0], empty), (None, "2024-09-29"))
    for ask in (pair.changes, lambda: pair.ask(QUESTION, budget=Budget(tiles=40, tokens=60))):
        with pytest.raises(NothingShownError, match="nothing to compare"):
            ask()
    three = (*dated_paths[:2], empty)
    answer = make_pair(three, ("2022-06-01", "2023-06-01", "2024-09-29")).ask(
        QUESTION, budget=Budget(tiles=60, tokens=90)
    )
    assert any(f"saw nothing of {empty}" in warning for warning in answer.warnings)
    cost = answer.answer.cost
    assert [each.tiles_encoded > 0 for each in answer.costs] == [True, True, False]
    assert cost.tiles_encoded == sum(each.tiles_encoded for each in answer.costs)
    assert cost.tiles_encoded == sum(cost.tiles_by_level.values())
    assert cost.tokens_total == 2 * sum(len(look.token_scores) for look in answer.answer.looks)


def test_light_alone_moves_no_focus(make_pair, dated_paths, tmp_path):
    """A brighter copy of a scene differs nowhere, once it is seen in the light of the first."""
    from geofovea.pipeline.engine.accounting import StageClock

    bright = tmp_path / "bright.tif"
    with rasterio.open(dated_paths[0]) as dataset:
        pixels, placed = dataset.read(), {"crs": dataset.crs, "transform": dataset.transform}
    with rasterio.open(
        bright, "w", driver="GTiff", width=768, height=768, count=3, dtype="uint8", **placed
    ) as out:
        out.write((pixels * 0.8 + 0.5).astype(np.uint8))
    distances = {}
    for match_light in (True, False):
        session = make_pair(
            (dated_paths[0], bright), ("2024-01-01", "2024-01-02"), match_light=match_light
        )
        stack = session.tokens(StageClock())
        tokens = stack.encode(list(session.pyramid.tiles(2)))
        later = stack.at(1, tokens)[0]
        distances[match_light] = float((later - tokens.features).norm(dim=1).mean())
    assert distances[True] < 0.25 * distances[False]


def test_choices_are_scored(make_pair):
    answer = make_pair().ask("Did it change?", budget=FEW, choices=("yes", "no"))
    assert {choice.text for choice in answer.answer.choices} == {"yes", "no"}
    assert answer.text in ("yes", "no")


def test_an_answer_is_saved_as_what_its_suffix_says(make_pair, tmp_path):
    answer = make_pair().ask(QUESTION, budget=FEW)
    for name in ("a.json", "a.png", "a.geojson"):
        answer.save(tmp_path / name)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(json.dumps(answer.to_json()))
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 2 * 480 + 3 * 16
    assert json.loads((tmp_path / "a.geojson").read_text())["features"]
    with pytest.raises(OutputError, match="no suffix of a format of answers about dates"):
        answer.save(tmp_path / "a.xyz")


def test_an_endpoint_gets_pictures_of_both_dates_with_their_dates(dated_paths, server):
    settings = EndpointSettings(server.url, image_tokens=64)
    session = StackSession(make_stack(dated_paths[:2]), endpoint_host("openai:toy", settings))
    answer = session.ask(QUESTION, budget=Budget(tiles=8, tokens=400))
    texts = server.texts()
    assert "one place at several dates" in texts
    assert texts.count("Before, 2024-06-01: level") == texts.count("After, 2024-09-29: level") == 3
    pictures = server.pictures()
    assert len(pictures) == len(set(pictures)) == 6
    assert answer.text == "yes"
    assert answer.answer.cost.tiles_encoded <= 8


def test_the_package_opens_pairs_and_stacks(dated_paths, tiny_host):
    pair = geofovea.open_pair(*dated_paths[:2], model=tiny_host)
    assert len(pair.stack) == 2
    stack = geofovea.open_stack(dated_paths, model=tiny_host, dates=["2001-01-01", None, None])
    assert stack.stack.scenes[0].date.text == "2001-01-01"
