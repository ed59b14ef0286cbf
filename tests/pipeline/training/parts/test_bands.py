"""A part that reads near infrared: what its lessons show, and that only the band teaches it."""

from dataclasses import replace

import pytest
import torch
from pipeline_toys import TINY
from safetensors.torch import load_file
from training_toys import PLAN

from geofovea.errors import DataError
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts.band_lessons import BandLessons, BandLessonStore
from geofovea.pipeline.training.parts.bands import BandPart, _focus
from geofovea.pipeline.training.parts.recipe import default_recipe
from geofovea.pipeline.training.parts.train_part import train_part

SPEC = replace(PLAN, dropped=0.0, native_tiles=4, world=2)
RECIPE = replace(default_recipe("bands", steps=3), shards=1, lessons=2, rank=4, warmup=1)

pytestmark = pytest.mark.usefixtures("small_shards")


@pytest.fixture(scope="module")
def store(model, tmp_path_factory):
    return BandLessonStore(tmp_path_factory.mktemp("lessons"), model, 0, SPEC)


@pytest.fixture
def part(model):
    torch.manual_seed(0)
    return BandPart(model, RECIPE)


def test_a_lesson_shows_both_lawns_and_has_both_answers(store):
    lessons = store.shard(0)
    assert isinstance(lessons, BandLessons)
    assert lessons.tiles.dtype == torch.uint8
    own, other = lessons.tiles[..., 3], lessons.tiles[..., 4]
    differs = own != other
    assert differs.flatten(1).any(1).all()
    # only grass differs, and that is a small part of what is seen
    assert differs.float().mean() < 0.3
    place = answer_position(lessons.targets)[:, :1]
    answers = torch.stack(
        [lessons.targets[:, 0].gather(1, place), lessons.other.gather(1, place)], 1
    )
    assert (answers[:, 0] != answers[:, 1]).all()
    assert lessons.answered[:, 0].any()


def test_lessons_also_ask_about_sites_that_are_shown_from_afar_alone(model, tmp_path):
    several_sites = replace(SPEC, scene_sides=(4096,))
    lessons = BandLessonStore(tmp_path, model, 0, several_sites).shard(0)
    assert len(lessons.group.unique()) == 3
    # "Is the grass at ...": of another site's lawn, only where it lies is taught
    of_lawns = lessons.words[:, 1:, 2] == vocabulary().index("grass")
    assert of_lawns.any()
    assert not lessons.answered[:, 1:][of_lawns].any()
    own = lessons.focus[:, :1].expand_as(lessons.focus[:, 1:])
    assert (lessons.focus[:, 1:][of_lawns] != own[of_lawns]).any()
    assert lessons.focus.any(-1).all()
    levels = [lessons.group[row][lessons.visible[row]].unique() for row in range(len(lessons))]
    assert {len(each) for each in levels} <= {1, 3}


def test_the_attention_of_the_search_learns_too(part, store):
    lessons = store.shard(0).at(torch.arange(3))
    which = torch.zeros(3, dtype=torch.bool)
    loss, _ = _focus(lessons, part._read(lessons, which, hides=False).attention)
    loss.backward()
    learned = dict(part.decoder.named_parameters())
    up = {name: value.grad for name, value in learned.items() if name.endswith("up")}
    # nothing behind the layer at which the search reads
    reached = {
        int(name.split(".")[1]) for name, grad in up.items() if grad is not None and grad.any()
    }
    assert reached == set(range(TINY.focus_layer + 1))
    record = part.measure(lessons)
    assert 0 < record["focus_with_band"] < 1


@torch.no_grad()
def test_baselines_see_an_index_or_colors_alone(model, store):
    lessons = store.shard(0).at(torch.arange(3))
    which = torch.tensor([False, True, False])
    parts = {}
    for fourth in ("nir", "ndvi", "nothing"):
        torch.manual_seed(0)
        recipe = replace(RECIPE, settings={**RECIPE.settings, "fourth": fourth})
        parts[fourth] = part = BandPart(model, recipe)
        part.bands.vectors.normal_()
    near, red = (parts["nir"]._tiles(lessons, which)[..., i].float() for i in (3, 0))
    index = parts["ndvi"]._tiles(lessons, which)[..., 3] / 127.5 - 1
    torch.testing.assert_close(index, (near - red) / (near + red).clamp_min(1), atol=0.005, rtol=0)
    seen = [parts[name]._read(lessons, which, hides=False).logits for name in ("nir", "nothing")]
    hidden = parts["nothing"]._read(lessons, which, hides=True).logits
    assert torch.equal(seen[1], hidden)
    assert not torch.equal(*seen)


@torch.no_grad()
def test_a_part_that_has_learned_nothing_answers_as_the_model_does(part, model, store):
    lessons = store.shard(0).at(torch.arange(2))
    which = torch.tensor([False, True])
    with_band, hidden = (part._read(lessons, which, hides=hides) for hides in (False, True))
    assert torch.equal(with_band.logits, hidden.logits)
    assert torch.equal(with_band.attention, hidden.attention)
    tokens = model.tokens(lessons.tiles[..., :3], lessons.places)
    stock = model.logits(tokens, lessons.visible, lessons.words)
    place = answer_position(hidden.targets)[..., None, None].expand(-1, -1, 1, stock.shape[-1])
    answers = hidden.logits[:, :, :1]
    torch.testing.assert_close(answers, stock.gather(2, place), atol=1e-4, rtol=1e-4)


def test_the_band_alone_tells_the_lawns_apart(part, store):
    with torch.no_grad():
        part.bands.vectors.normal_()
        part.bands.kernels.normal_()
        lessons = store.shard(0).at(torch.arange(3))
        both = [torch.full((3,), value) for value in (False, True)]
        shown, hidden = (
            [part._read(lessons, which, hides=hides).logits[:, 1:, 0] for which in both]
            for hides in (False, True)
        )
    assert torch.equal(*hidden)
    assert not torch.equal(*shown)
    record = part.measure(lessons)
    assert record["lawns_without_band"] <= 0.5


def test_the_kernels_learn_and_the_tower_does_not(part, store):
    lessons = store.shard(0).at(torch.arange(3))
    # a draw that shows the band
    loss, record = part.loss(lessons, torch.Generator().manual_seed(1))
    loss.backward()
    assert set(record) == {"colors", "band", "focus"}
    assert part.bands.kernels.grad.abs().sum() > 0
    learned = [name for name, value in part.named_parameters() if value.requires_grad]
    assert {name.split(".")[0] for name in learned} == {"bands", "decoder"}
    assert "bands.colors.weight" not in learned


def test_a_run_that_was_stopped_ends_as_one_that_was_not(model, store, tmp_path):
    how = {"lessons": store._folder, "spec": SPEC}
    once, again = tmp_path / "once", tmp_path / "again"
    list(train_part(model, RECIPE, once, **how))
    list(train_part(model, RECIPE, again, stop_after=0, **how))
    list(train_part(model, RECIPE, again, **how))
    states = [load_file(folder / "part_state.safetensors") for folder in (once, again)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert states[0]["made.bands.kernels"].shape[1] == TINY.width


def test_a_recipe_names_the_world_that_its_lessons_show():
    assert default_recipe("bands").as_json()["worlds"] == (2,)
    with pytest.raises(DataError, match="the first world has no near infrared"):
        replace(default_recipe("bands"), worlds=(1, 2))
