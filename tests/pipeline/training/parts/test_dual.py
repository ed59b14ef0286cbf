"""A dual encoder beside a model: what its lessons hold, that it learns, and what a host makes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from part_toys import frozen_model, rewrite_part
from pipeline_toys import TINY, load_anew
from safetensors.torch import load_file
from training_toys import PLAN

from geofovea.errors import ModelError
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.hosts.learned.shared_space import SharedSpace
from geofovea.pipeline.training.lessons.phrases import PHRASES
from geofovea.pipeline.training.parts import train_part as training
from geofovea.pipeline.training.parts.dual import DualPart, average_precision
from geofovea.pipeline.training.parts.lessons import HELD_OUT
from geofovea.pipeline.training.parts.phrase_lessons import PhraseLessonStore, tokens_alone
from geofovea.pipeline.training.parts.recipe import default_recipe
from geofovea.pipeline.training.parts.train_part import train_part
from geofovea.pipeline.training.parts.written_part import write_part

RECIPE = replace(
    default_recipe("dual_encoder", steps=40),
    shards=1,
    lessons=3,
    warmup=1,
    settings={"dimension": 16, "features": 24, "hidden": 32},
)

pytestmark = pytest.mark.usefixtures("small_shards")


@pytest.fixture(scope="module")
def lesson_folder(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lessons")
    PhraseLessonStore(folder, model, 0, PLAN).shard(0)
    return folder


@pytest.fixture(scope="module")
def lessons(model, lesson_folder):
    return PhraseLessonStore(lesson_folder, model, 0, PLAN).shard(0).at(torch.arange(3))


def test_a_lesson_holds_tokens_levels_and_labels_of_its_tiles(lessons):
    lesson, tiles = lessons.tokens.shape[:2]
    assert (lesson, tiles) == (3, 16)
    assert lessons.tokens.shape[2:] == (TINY.grid**2, TINY.width)
    assert lessons.shown.shape == (3, 16, len(PHRASES))
    assert set(lessons.shown.unique().tolist()) == {-1, 0, 1}
    assert int(lessons.level.min()) == 0


def test_what_a_phrase_says_is_learned_from_the_tiles_that_show_it(model, lessons):
    torch.manual_seed(0)
    part = DualPart(model, RECIPE)
    optimizer = torch.optim.AdamW(part.rates(RECIPE))
    draw = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(150):
        loss, _ = part.loss(lessons, draw)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])
    # on what it learned from, it ranks far above chance
    assert part.measure(lessons)["thing_native"] > 0.7


@pytest.mark.parametrize(
    ("logits", "shown", "expected"),
    [
        ([3.0, 2.0, 1.0], [1, 1, 0], 1.0),
        ([3.0, 2.0, 1.0], [0, 1, 1], (1 / 2 + 2 / 3) / 2),
        ([3.0, 2.0, 1.0], [-1, 1, 0], 1.0),
        ([3.0, 2.0, 1.0], [0, 0, 0], None),
        ([3.0, 2.0, 1.0], [-1, -1, 0], None),
    ],
)
def test_average_precision_leaves_out_what_is_in_doubt(logits, shown, expected):
    assert average_precision(torch.tensor(logits), torch.tensor(shown)) == (
        None if expected is None else pytest.approx(expected)
    )


@pytest.fixture(scope="module")
def trained(model, lesson_folder, tmp_path_factory):
    """A folder of a model with a dual encoder of a few steps, and that of the model itself."""
    folder = tmp_path_factory.mktemp("host")
    own = frozen_model(folder)
    run = tmp_path_factory.mktemp("run")
    recipe = replace(RECIPE, steps=3)
    for _ in train_part(own, recipe, run, lessons=lesson_folder, spec=PLAN):
        pass
    write_part(run, recipe, load_anew(folder), folder)
    return run / "model", folder, own


def test_two_worlds_take_turns_in_lessons_that_teach_and_in_those_that_measure(
    model, lessons, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "_HELD_OUT_SHARDS", 2)
    made = []

    def counted(store, number):
        made.append((number, store._spec.world))
        return lessons

    monkeypatch.setattr(PhraseLessonStore, "_made", counted)
    recipe = replace(RECIPE, steps=1, shards=3, worlds=(1, 2))
    records = list(train_part(model, recipe, tmp_path, spec=PLAN))
    assert made == [(0, 1), (1, 2), (2, 1), (HELD_OUT, 1), (HELD_OUT + 1, 2)]
    assert records[-1]["step"] == 1


def test_a_host_makes_the_vectors_that_were_trained(trained):
    folder, _, own = trained
    encoder = load_dual_encoder(str(folder))
    assert encoder.side == TINY.tile_size
    pictures = np.random.default_rng(0).integers(0, 256, (3, *2 * [TINY.tile_size], 3), np.uint8)
    vectors = encoder.embed_pictures(list(pictures))
    assert vectors.shape == (3, 16)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    part = DualPart(own, RECIPE)
    part.space.load_state_dict(encoder._space.state_dict())
    store = tokens_alone(own, torch.from_numpy(pictures))
    torch.testing.assert_close(part.space.of_tiles(store), vectors, atol=1e-4, rtol=0)
    for text in ("red truck", "truck at the depot"):
        torch.testing.assert_close(
            encoder.embed_text(text), part._vectors([text])[0], atol=1e-5, rtol=0
        )


def test_one_picture_has_one_vector_in_whatever_batch_and_a_larger_one_is_resampled(trained):
    encoder = load_dual_encoder(str(trained[0]))
    pictures = np.random.default_rng(1).integers(0, 256, (4, *2 * [TINY.tile_size], 3), np.uint8)
    together = encoder.embed_pictures(list(pictures))
    alone = torch.cat([encoder.embed_pictures([each]) for each in pictures])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)
    double = pictures[0].repeat(2, 0).repeat(2, 1)
    assert encoder.embed_pictures([double]).shape == (1, 16)


def test_words_that_it_does_not_know_are_named_and_say_nothing(trained):
    encoder = load_dual_encoder(str(trained[0]))
    assert torch.equal(encoder.embed_text("zebra crossing"), torch.zeros(16))
    torch.testing.assert_close(
        encoder.embed_text("red zebra truck?"), encoder.embed_text("red truck")
    )
    doubts = encoder.doubts("red zebra")
    assert any("does not know the word zebra" in doubt for doubt in doubts)


def test_an_encoder_of_other_weights_has_another_fingerprint(trained, tmp_path):
    folder, plain, _ = trained
    first = load_dual_encoder(str(folder)).fingerprint
    assert len(first) == 64
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert load_dual_encoder(str(copy)).fingerprint == first
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    weights = load_file(other / "dual_encoder.safetensors")
    changed = {k: v + 1 for k, v in weights.items()}
    rewrite_part(other, "dual_encoder.safetensors", changed)
    assert load_dual_encoder(str(other)).fingerprint != first
    with pytest.raises(ModelError, match="supported are clip, siglip"):
        load_dual_encoder(str(plain))


def test_the_strongest_token_of_each_feature_counts_beside_the_mean():
    torch.manual_seed(0)
    space = SharedSpace(6, {"dimension": 4, "features": 5, "hidden": 7})
    tiles = torch.randn(3, 9, 6)
    features = space.token_features(space.token_norm(tiles))
    by_hand = []
    for tile in features:
        strongest = [max(column.tolist()) for column in tile.T]
        mean = [sum(column.tolist()) / len(tile) for column in tile.T]
        vector = space.pooled(torch.tensor([*strongest, *mean]))
        by_hand.append(vector / vector.norm())
    torch.testing.assert_close(space.of_tiles(tiles), torch.stack(by_hand))
