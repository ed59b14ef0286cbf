"""A dual encoder scores crops of tiles as stock ``transformers`` would, and remembers them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from dual_encoders import KINDS, SIDE, write_encoder
from pipeline_toys import QUESTION, texture
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    CLIPImageProcessor,
    CLIPModel,
    SiglipImageProcessor,
    SiglipModel,
)

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.focus.factory import FocusFactory
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.regionfocus.budget import Budget

FEW = Budget(tiles=12, tokens=60)


@pytest.fixture(scope="module", params=KINDS)
def encoder_folder(request, tmp_path_factory):
    return write_encoder(tmp_path_factory.mktemp("encoder") / request.param, request.param)


def test_vectors_are_those_of_the_stock_model_and_processor(encoder_folder):
    model = AutoModel.from_pretrained(encoder_folder).eval()
    stock = CLIPImageProcessor if isinstance(model, CLIPModel) else SiglipImageProcessor
    prepare = stock.from_pretrained(encoder_folder, do_resize=False, do_center_crop=False)
    encoder = load_dual_encoder(str(encoder_folder))
    pictures = [texture(SIDE, SIDE)[:, :, ::step].transpose(1, 2, 0) for step in (1, -1)]
    padding = "max_length" if isinstance(model, SiglipModel) else False
    question = QUESTION.lower() if padding else QUESTION
    ids = build_tokenizer()(question, padding=padding, max_length=24, return_tensors="pt")
    pixels = prepare([np.ascontiguousarray(p) for p in pictures], return_tensors="pt")
    with torch.inference_mode():
        full = model(pixel_values=pixels["pixel_values"], input_ids=ids["input_ids"])
    torch.testing.assert_close(encoder.embed_pictures(pictures), full.image_embeds)
    torch.testing.assert_close(encoder.embed_text(QUESTION), full.text_embeds[0])
    assert encoder.scale == pytest.approx(np.exp(2.0), rel=1e-5)


def focus_of(session, folder, question=QUESTION):
    choice, usage = FocusFactory(session.host, session.reader), QuestionUsage()
    calls = DirectCalls(session.host, session.tiles)
    made = choice.make("similarity", question, calls, usage, focus_model=str(folder))
    return made, usage


def test_scores_are_a_softmax_over_crops_shared_by_their_tokens(make_session, encoder_folder):
    session = make_session()
    tiles = list(session.pyramid.tiles(session.pyramid.top_level - 1))
    tokens = session.tokens(tiles)
    focus, usage = focus_of(session, encoder_folder)
    scores = focus.score(tokens)
    encoder, half = load_dual_encoder(str(encoder_folder)), session.pyramid.tile_size // 2
    crops, boxes = [], []
    for tile in tiles:
        rgb = session.reader.read(tile).rgb
        box = session.pyramid.box_scene(tile)
        for y in (0, half):
            for x in (0, half):
                crops.append(rgb[y : y + half, x : x + half])
                step = 1 << tile.level
                boxes.append((box.x0 + x * step, box.y0 + y * step, half * step))
    cosines = encoder.embed_pictures(crops) @ encoder.embed_text(QUESTION)
    shares = (encoder.scale * cosines).softmax(0)
    assert shares.max() > 1.05 * shares.min()
    for (x0, y0, side), share in zip(boxes, shares, strict=True):
        place = tokens.boxes_scene
        inside = (place[:, 0] >= x0) & (place[:, 2] <= x0 + side)
        inside &= (place[:, 1] >= y0) & (place[:, 3] <= y0 + side)
        torch.testing.assert_close(scores[inside].sum(), share)
        assert float(scores[inside].max() - scores[inside].min()) == 0
    assert float(scores.sum()) == pytest.approx(1, abs=1e-5)
    assert usage.tiles_read == len(tiles)
    focus.score(tokens)
    assert usage.tiles_read == len(tiles)


def test_another_question_gives_other_scores(make_session, encoder_folder):
    session = make_session()
    tokens = session.tokens([session.pyramid.overview])
    first, second = (
        focus_of(session, encoder_folder, question)[0].score(tokens)
        for question in (QUESTION, "Is the hall at the camp in a rural area?")
    )
    assert not torch.allclose(first, second)


def test_a_session_looks_by_likeness_and_reads_no_tile_again(make_session, encoder_folder):
    session = make_session()
    asked = {"budget": FEW, "focus": "similarity", "focus_model": str(encoder_folder)}
    first = session.ask(QUESTION, **asked)
    assert first.cost.tiles_encoded == 12
    assert first.cost.seconds["focus"] > 0
    again = session.ask(QUESTION, **asked)
    assert again.cost.tiles_read == 0
    assert again.text == first.text
    assert [e.tile for e in again.evidence] == [e.tile for e in first.evidence]


def test_crops_without_data_take_no_part(make_session, make_tiff, encoder_folder):
    pixels = texture(256, 256)
    pixels[:, :, 128:] = 0
    session = make_session(make_tiff(pixels, nodata=0))
    answer = session.ask(QUESTION, budget=FEW, focus="similarity", focus_model=str(encoder_folder))
    assert all(look.token_boxes[:, 0].max() < 128 for look in answer.looks)
    assert all(np.isfinite(look.token_scores).all() for look in answer.looks)


def test_a_focus_model_goes_with_its_focus_alone(make_session, encoder_folder):
    session = make_session()
    with pytest.raises(ModelError, match="focus_model="):
        session.ask(QUESTION, budget=FEW, focus="similarity")
    with pytest.raises(ModelError, match="leave it out"):
        session.ask(QUESTION, budget=FEW, focus="attention", focus_model=str(encoder_folder))


def test_what_is_no_dual_encoder_is_refused(tmp_path, make_session, monkeypatch):
    def error(name):
        with pytest.raises(ModelError) as raised:
            load_dual_encoder(str(name))
        return str(raised.value)

    assert "name a folder or hub id" in error(tmp_path / "nowhere")
    assert "name a folder or hub id" in error("x" * 300)
    (tmp_path / "file").write_text("x")
    assert "is a file" in error(tmp_path / "file")
    config = BertConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    BertModel(config).save_pretrained(tmp_path / "bert")
    assert "is a 'bert'; supported are clip, siglip" in error(tmp_path / "bert")


def test_pickled_or_missing_weights_are_refused(tmp_path):
    folder = write_encoder(tmp_path / "encoder", "clip")
    stored = folder / "model.safetensors"
    tensors = load_file(stored)
    tensors.pop("visual_projection.weight")
    save_file(tensors, stored, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights, the first is visual_projection"):
        load_dual_encoder(str(folder))
    stored.unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="as pickle"):
        load_dual_encoder(str(folder))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"attn_implementation": "somebody/kernel"}, "code of the hub"),
        ({"transformers_weights": "adapter_model.bin"}, "as pickle"),
        ({"projection_dim": 10**8}, "do not belong together"),
        (
            {"vision_config": {"num_hidden_layers": 10**9}},
            r"asks for 1000000000 layers \(num_hidden_layers\)",
        ),
        ({"text_config": 5}, "could not be loaded"),
    ],
)
def test_a_focus_model_is_looked_at_like_any_other_before_it_is_opened(tmp_path, wrong, words):
    folder = write_encoder(tmp_path / "encoder", "clip")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | wrong))
    with pytest.raises(ModelError, match=words):
        load_dual_encoder(str(folder))


def test_numbers_for_colors_that_cannot_be_are_refused(tmp_path):
    folder = write_encoder(tmp_path / "encoder", "clip")
    for wrong in ({"image_std": [0, 1, 1]}, {"image_mean": 3}, {"image_mean": ["a", "b", "c"]}):
        (folder / "preprocessor_config.json").write_text(json.dumps(wrong))
        with pytest.raises(ModelError, match="mean and deviation"):
            load_dual_encoder(str(folder))
    (folder / "preprocessor_config.json").unlink()
    assert load_dual_encoder(str(folder))._mean[0] == pytest.approx(0.48145466)


def test_ask_takes_a_focus_model(tiny_host, scene_path, encoder_folder):
    answer = gf.ask(
        scene_path,
        QUESTION,
        model=tiny_host,
        focus="similarity",
        focus_model=str(encoder_folder),
        budget=FEW,
    )
    assert answer.cost.tokens_llm == 60


def test_a_black_box_is_asked_once_where_likeness_looks(server, scene_path, encoder_folder):
    address = EndpointSettings(server.url, tile_size=64, image_tokens=16)
    session = gf.SceneSession(
        gf.open_scene(scene_path), gf.load_host("openai:toy", endpoint=address)
    )
    budget = Budget(tiles=14, tokens=8 * 16)
    options = {"focus": "similarity", "focus_model": str(encoder_folder), "budget": budget}
    answer = session.ask(QUESTION, **options)
    assert len(server.requests) == 1
    assert 1 < len(server.pictures()) == len(answer.evidence) <= 8
    assert answer.stopped == "native"
    assert any(np.ptp(look.token_scores) > 0 for look in answer.looks)
    # the same tiles again, and nothing is embedded anew
    assert session.ask(QUESTION, **options).evidence.to_json() == answer.evidence.to_json()
