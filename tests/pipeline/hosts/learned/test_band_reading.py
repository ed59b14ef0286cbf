"""A host that reads near infrared: another host beside the one that it is made from."""

import json
import shutil

import numpy as np
import pytest
import rasterio
import torch
from part_toys import rewrite_part
from pipeline_toys import TINY, lively_student, load_anew, texture
from safetensors.torch import load_file

from geofovea.errors import ModelError, SceneError
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.learned.card import PartCard
from geofovea.pipeline.hosts.learned.part_files import install_part
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.training.export import write_model
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pyramid import Tile

QUESTION = "Is the lawn at the depot healthy?"
SETTINGS = {
    "wavelengths_um": [0.842],
    "words": {"lawn": "grass", "healthy": "green"},
    "domain": "synthetic 2",
    "focus_layer": TINY.focus_layer,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with a part that reads near infrared."""
    path = tmp_path_factory.mktemp("model")
    write_model(lively_student(), path)
    torch.manual_seed(1)
    tensors = {
        "bands.kernels": torch.randn(1, TINY.width, 1, TINY.patch_size, TINY.patch_size),
        "bands.vectors": torch.randn(1, TINY.width),
    }
    card = PartCard("bands", weights_hash(load_anew(path).weights()), SETTINGS)
    install_part(path, path, card, tensors)
    return path


@pytest.fixture(scope="module")
def host(folder):
    return load_anew(folder)


def scene_of(path, bands=4, near=None):
    values = texture(300, 300, bands=4)
    if near is not None:
        values[3] = near
    with rasterio.open(
        path, "w", driver="GTiff", width=300, height=300, count=bands, dtype="uint8",
        photometric="RGB", tiled=True, blockxsize=128, blockysize=128,
    ) as out:  # fmt: skip
        out.write(values[:bands])
        for number, name in enumerate(("red", "green", "blue", "nir")[:bands], 1):
            out.set_band_description(number, name)
    return open_scene(path)


def encoded(host, pixels):
    pyramid = open_pyramid()
    return host.encode(pixels, [Tile(0, 0, 0)], pyramid)


def open_pyramid():
    from geofovea.tiling.pyramid import Pyramid

    return Pyramid(300, 300, TINY.tile_size)


def watched(encode, name, calls):
    """The same function, whose calls are noted under a name."""

    def call(*arguments):
        calls.append(name)
        return encode(*arguments)

    return call


def test_the_reader_of_bands_is_the_host_itself_where_there_are_colors_alone(host, tmp_path):
    reader = host.parts.band_reader(host)
    assert reader.channels == ("nir",)
    pixels = np.random.default_rng(0).integers(
        0, 255, (1, TINY.tile_size, TINY.tile_size, 4), np.uint8
    )
    colors = np.ascontiguousarray(pixels[..., :3])
    assert torch.equal(encoded(reader.host, colors), encoded(host, colors))
    assert not torch.equal(encoded(reader.host, pixels), encoded(host, colors))
    own, shared = dict(host.weights()), dict(reader.host.weights())
    assert all(shared[name] is own[name] for name in own.keys() & shared.keys())
    assert all(value.requires_grad for name, value in own.items() if "patch_embedding" in name)
    assert reader.host.encoder_identity() != host.encoder_identity()
    scene = scene_of(tmp_path / "a.tif")
    assert SceneSession(scene, host).host is host
    assert SceneSession(scene, host, composite="rgb-nir").host is reader.host


def test_an_answer_depends_on_the_band_only_where_it_was_asked_for(host, tmp_path):
    scenes = [scene_of(tmp_path / f"{near}.tif", near=near) for near in (20, 230)]
    for composite, is_equal in ((None, True), ("rgb-nir", False)):
        both = [
            SceneSession(scene, host, composite=composite).ask("Is the grass green ?")
            for scene in scenes
        ]
        assert (both[0].text == both[1].text) is is_equal
        assert both[0].radiometry.bands == ((1, 2, 3) if is_equal else (1, 2, 3, 4))


def test_words_of_the_part_are_known_to_its_reader_alone(host):
    reader = host.parts.band_reader(host).host
    assert host.unknown_words(QUESTION) == ["lawn", "healthy"]
    assert reader.unknown_words(QUESTION) == []
    assert reader.capabilities.domain == "synthetic 2"


@pytest.mark.parametrize(
    ("question", "followed"),
    [
        (QUESTION, "What is the depot?"),
        # words that the model knows are sought as they are, and so is what names no place or two
        ("Is the grass at the depot green?", None),
        ("Is the lawn healthy?", None),
        ("Is the lawn at the depot as healthy as at the harbour?", None),
    ],
)
def test_the_search_for_a_lawn_follows_the_place_that_has_it(host, tmp_path, question, followed):
    session = SceneSession(scene_of(tmp_path / "a.tif"), host, composite="rgb-nir")

    def scores(text):
        answer = session.ask(text, geometry="off", route="one", budget=Budget(tiles=4))
        return np.concatenate([look.token_scores for look in answer.looks])

    of_place = scores("What is the depot?")
    assert np.array_equal(scores(question), of_place) is (followed is not None)


def test_stored_tokens_of_bands_are_not_those_of_colors(host, tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    scene = scene_of(tmp_path / "a.tif")
    reader = host.parts.band_reader(host).host
    encoded_by = []
    monkeypatch.setattr(host, "encode", watched(host.encode, "colors", encoded_by))
    monkeypatch.setattr(reader, "encode", watched(reader.encode, "bands", encoded_by))
    texts = []
    for how in ("true-color", "rgb-nir", "rgb-nir"):
        session = SceneSession(scene, host, composite=how, cache_tokens=True)
        texts.append(session.ask("Is the grass green ?").text)
    first = encoded_by.index("bands")
    assert set(encoded_by[:first]) == {"colors"}
    assert set(encoded_by[first:]) == {"bands"}
    asked_once = len(encoded_by)
    again = SceneSession(scene, host, composite="rgb-nir", cache_tokens=True)
    assert again.ask("Is the grass green ?").text == texts[1] == texts[2]
    assert len(encoded_by) == asked_once


def test_a_scene_or_a_host_without_the_band_says_so(host, tmp_path):
    with pytest.raises(SceneError, match="rgb-nir needs the band of nir"):
        SceneSession(scene_of(tmp_path / "three.tif", bands=3), host, composite="rgb-nir")
    bare = tmp_path / "model"
    write_model(lively_student(), bare)
    scene = scene_of(tmp_path / "four.tif")
    with pytest.raises(ModelError, match=r"shows nir too; .* geofovea train --with bands"):
        SceneSession(scene, load_anew(bare), composite="rgb-nir")


def damage_settings(folder, settings):
    record = json.loads((folder / "geofovea.json").read_text())
    record["parts"]["bands"]["settings"] |= settings
    (folder / "geofovea.json").write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"wavelengths_um": [0.3]}, "no channel is at 0.3"),
        ({"wavelengths_um": []}, "at least one band"),
        ({"wavelengths_um": "red"}, "train them again"),
        ({"wavelengths_um": [0.842, 1.61]}, "train them again|have the shape"),
        ({"wavelengths_um": [1.61]}, "reads swir1 beside the colors"),
        ({"words": ["lawn"]}, "train them again"),
        ({"domain": "the moon"}, "domain"),
        ({"focus_layer": None}, "was not trained where the model searches"),
        ({"fourth": "ndvi"}, "trained as a baseline"),
    ],
    ids=str,
)
def test_a_card_that_cannot_be_meant_is_refused(folder, tmp_path, settings, message):
    shutil.copytree(folder, tmp_path / "model")
    damage_settings(tmp_path / "model", settings)
    scene = scene_of(tmp_path / "a.tif")
    with pytest.raises((ModelError, SceneError), match=message):
        SceneSession(scene, load_anew(tmp_path / "model"), composite="rgb-nir")


def test_weights_that_do_not_fit_are_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model")
    path = tmp_path / "model" / "bands.safetensors"
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    scene = scene_of(tmp_path / "a.tif")
    for broken in ({"bands.kernels": tensors["bands.kernels"]}, {}):
        rewrite_part(tmp_path / "model", path.name, broken)
        with pytest.raises(ModelError, match="train them again"):
            SceneSession(scene, load_anew(tmp_path / "model"), composite="rgb-nir")


def test_one_decoder_searches_and_answers_and_shares_what_did_not_learn(host, folder, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(folder, path)
    name = "0.self_attn.q_proj"
    tensors = {key: value.clone() for key, value in load_file(path / "bands.safetensors").items()}
    up = torch.randn(TINY.width, 2)
    tensors |= {f"decoder.{name}.up": up, f"decoder.{name}.down": torch.randn(2, TINY.width)}
    rewrite_part(path, "bands.safetensors", tensors)
    changed = load_anew(path)
    reader = changed.parts.band_reader(changed).host
    own, learned = (dict(each.decoder.named_parameters()) for each in (changed, reader))
    assert {key for key in own if learned[key] is not own[key]} == {f"layers.{name}.weight"}
    session = SceneSession(scene_of(tmp_path / "a.tif"), changed, composite="rgb-nir")
    tokens = session.tokens([session.pyramid.overview])
    scores, before = (each.scores(QUESTION, tokens) for each in (reader, changed))
    assert not torch.allclose(scores, before)
    assert torch.equal(scores, session.host.scores(QUESTION, tokens))


@pytest.mark.parametrize("options", [{"skip": "ima"}, {"memory": MemoryOptions()}], ids=str)
def test_layers_are_skipped_and_tiles_remembered_as_in_any_model(host, tmp_path, options):
    how = {"memory": options.pop("memory", None)} if "memory" in options else {}
    scene = scene_of(tmp_path / "a.tif")
    session = SceneSession(scene, host, composite="rgb-nir", **how)
    answer = session.ask(QUESTION, budget=Budget(tiles=6, tokens=4000), **options)
    assert answer.text
    assert answer.radiometry.bands == (1, 2, 3, 4)


def test_several_dates_show_colors_alone(host, tmp_path):
    paths = []
    for year in (2023, 2024):
        scene_of(tmp_path / f"{year}-06-01.tif")
        paths.append(str(tmp_path / f"{year}-06-01.tif"))
    with pytest.raises(ModelError, match="several dates show red, green and blue only"):
        StackSession(make_stack(paths), host, composite="rgb-nir")
