"""Attention without plans: torch's own switch is the witness, read while models run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pipeline_toys import QUESTION, llava_host, random_llava
from published_toys import drawn, write_published

from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.published.image import PublishedImage
from geofovea.pipeline.hosts.published.model import load_published_model
from geofovea.pipeline.inference.attention import backend as attention_kernels
from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

cudnn_enabled = torch.backends.cuda.cudnn_sdp_enabled


@pytest.fixture(autouse=True)
def switch() -> Iterator[None]:
    """Leaves torch's switch as it was, whatever a test does to it."""
    before = cudnn_enabled()
    yield
    torch.backends.cuda.enable_cudnn_sdp(before)


def witness(model: torch.nn.Module) -> list[tuple[str, bool]]:
    """What every attention of a model sees of the switch, with the name of its module."""
    seen: list[tuple[str, bool]] = []
    for name, module in model.named_modules():
        if name.endswith("self_attn"):
            module.register_forward_pre_hook(
                lambda *_, name=name: seen.append((name, cudnn_enabled()))  # type: ignore[misc]
            )
    return seen


def host_and_tokens() -> tuple[LvlmHost, TokenSet, list[tuple[str, bool]]]:
    model = random_llava()
    seen = witness(model)
    host = llava_host(model, focus_layer=1)
    size = host.tile_size
    pyramid, tile = Pyramid(size, size, size), Tile(0, 0, 0)
    pixels = np.random.default_rng(0).integers(0, 255, (1, size, size, 3), np.uint8)
    features = host.encode(pixels, [tile], pyramid)
    return host, tokens_of_tiles(features, host.grid, [tile], pyramid), seen


def test_encoding_looking_and_answering_plan_no_attention_and_leave_the_switch_alone() -> None:
    assert cudnn_enabled()
    host, tokens, seen = host_and_tokens()
    host.scores(QUESTION, tokens)
    host.scores_again(QUESTION, tokens)
    host.generate(QUESTION, tokens)
    host.generate(QUESTION, tokens, choices=("water", "a red plane"))
    assert {name.split(".")[1] for name, _ in seen} == {"vision_tower", "language_model"}
    assert not any(enabled for _, enabled in seen)
    assert cudnn_enabled()


def test_an_encoder_that_is_listened_to_plans_no_attention() -> None:
    host, _, seen = host_and_tokens()
    size = host.tile_size
    pixels = np.zeros((1, size, size, 3), np.uint8)
    seen.clear()
    plan = EncodePlan(frozenset({"cls_attention"}))
    host.encode_planned(pixels, [Tile(0, 0, 0)], Pyramid(size, size, size), plan)
    assert seen
    assert not any(enabled for _, enabled in seen)


def test_a_long_prompt_is_planned_once_and_its_answer_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host, tokens, seen = host_and_tokens()
    monkeypatch.setattr(attention_kernels, "WORTH_A_PLAN", 8)
    seen.clear()
    host.generate(QUESTION, tokens)
    layers = sum(name.endswith("self_attn") for name, _ in host.decoder.named_modules())
    assert [enabled for _, enabled in seen[:layers]] == [True] * layers
    assert len(seen) > layers
    assert not any(enabled for _, enabled in seen[layers:])


def test_a_published_model_plans_no_attention(tmp_path: Path) -> None:
    write_published(tmp_path)
    model = load_published_model(str(tmp_path))
    seen = [entry for part in (model.parts.tower, model.parts.decoder) for entry in [witness(part)]]
    ids = torch.tensor([1, 2, -200, 3, 4])
    look = model.look(PublishedImage(drawn(700, 900, 1)), ids)
    model.greedy(look.embeds, 2)
    assert all(seen)
    assert not any(enabled for each in seen for _, enabled in each)


def test_a_switch_that_was_off_stays_off_and_one_that_was_on_survives_an_error() -> None:
    torch.backends.cuda.enable_cudnn_sdp(False)
    with unplanned_attention():
        pass
    assert not cudnn_enabled()
    torch.backends.cuda.enable_cudnn_sdp(True)

    @unplanned_attention()
    def fail() -> None:
        assert not cudnn_enabled()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert cudnn_enabled()


def test_whoever_leaves_last_puts_the_switch_back() -> None:
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with unplanned_attention():
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=work)
    with unplanned_attention():
        other.start()
        assert inside.wait(30)
    assert not cudnn_enabled()
    leave.set()
    other.join(30)
    assert cudnn_enabled()
