"""A context or a device that is too small cuts the budget, shrinks the batch, or says so."""

import numpy as np
import pytest
import torch
from family_toys import QUESTION, WITH_ROWS, host_of, pixels, row_of_tiles, tokens_of
from pipeline_toys import llava_host, random_llava

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.run import last_row_logits
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.session.plan import fitting_budget
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.device_memory import ShrinkingBatch
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

LONG = "What is the color of the plane at the airport" + " at the airport" * 20 + "?"


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_room_promises_fits_to_the_last_token(family):
    policy = "compact"
    wide = host_of(family, positions=policy)
    tokens = tokens_of(wide, 3)
    words = len(wide._prompts.layout.sequence(wide._prompts.words.ids(QUESTION), None))
    host = host_of(family, positions=policy)
    # as many places as leave exactly seven for tokens of three tiles
    around = 3 * host._prompts.layout.around_tile() + host._prompts.layout.around_image()
    object.__setattr__(host._prompts, "context", words + around + 16 + 7)
    assert host.room(QUESTION, 3) == 7
    n = len(tokens) // 3
    spread = torch.tensor([0, 1, 2, n, n + 1, 2 * n, 2 * n + 1])
    assert host.generate(QUESTION, tokens.select(spread)).log_probabilities is not None
    one_more = torch.cat([spread, torch.tensor([2 * n + 2])])
    if family in WITH_ROWS:
        # a row that lost its tokens gives the place of its word back, and nobody knows before
        return
    with pytest.raises(ModelError, match="set a smaller token budget"):
        host.generate(QUESTION, tokens.select(one_more))


def test_the_token_budget_is_cut_with_a_warning_and_never_the_question(scene_path):
    host = llava_host(random_llava(context=120))
    session = SceneSession(open_scene(scene_path), host)
    answer = session.ask(QUESTION, budget=Budget(tiles=12, tokens=400))
    cut = [w for w in answer.warnings if "was cut from 400" in w]
    assert len(cut) == 1
    assert "takes" not in cut[0]
    assert answer.cost.tokens_llm == host.room(QUESTION, 12) < 120
    assert answer.cost.budget.tokens == 400
    fine = session.ask(QUESTION, budget=Budget(tiles=12, tokens=30))
    assert not any("was cut from" in w for w in fine.warnings)


def test_a_question_that_fills_the_context_alone_is_refused(scene_path):
    host = llava_host(random_llava(context=60))
    session = SceneSession(open_scene(scene_path), host)
    with pytest.raises(ModelError, match="ask in fewer words"):
        session.ask(LONG, budget=Budget(tiles=12, tokens=30))


def test_hosts_that_know_no_room_keep_the_budget(tiny_host):
    class Plain:
        capabilities = tiny_host.capabilities

    assert fitting_budget(Plain(), QUESTION, Budget(tokens=9)) == (Budget(tokens=9), ())


@pytest.mark.parametrize("family", ["llava", "llava_onevision", "qwen2_5_vl", "internvl"])
def test_tiles_that_do_not_fit_together_are_scored_in_groups_with_one_softmax(family):
    host = host_of(family, positions="compact")
    tokens = tokens_of(host, 4)
    whole = host.scores(QUESTION, tokens)
    words = len(host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), None))
    half = tokens.select(torch.arange(len(tokens) // 2))
    rest = tokens.select(torch.arange(len(tokens) // 2, len(tokens)))
    fits = len(host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), half))
    assert words < fits
    object.__setattr__(host._prompts, "context", fits)
    grouped = host.scores(QUESTION, tokens)
    assert float(grouped.sum()) == pytest.approx(1, abs=1e-5)
    ids = host._prompts.words.ids(QUESTION)
    logits = [
        last_row_logits(host._decoder, [1], [host._prompts.layout.sequence(ids, group)])[0][
            0
        ].detach()
        for group in (half, rest)
    ]
    expected = torch.cat(logits, 1).softmax(-1).mean(0)
    torch.testing.assert_close(grouped, expected, atol=1e-5, rtol=0)
    assert (grouped - whole).abs().max() > 1e-4, "groups see other prompts than the whole"


def out_of_memory(limit, failures):
    """A forward hook that runs out of memory above a number of items."""

    def hook(module, args, kwargs):
        given = [a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor)]
        if len(given[0]) > limit:
            failures.append(len(given[0]))
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    return hook


@pytest.mark.parametrize(("family", "each"), [("llava", 1), ("internvl", 1), ("qwen2_5_vl", 64)])
def test_a_batch_that_does_not_fit_is_halved_until_it_does_and_stays_so(family, each):
    host = host_of(family)
    pyramid, places = row_of_tiles(host, 21)
    tiles = pixels(21, host.tile_size)
    expected = host.encode(tiles, places, pyramid)
    failures = []
    hook = host._family.vision.register_forward_pre_hook(
        out_of_memory(3 * each, failures), with_kwargs=True
    )
    try:
        found = host.encode(tiles, places, pyramid)
        assert failures == [16 * each, 8 * each, 4 * each]
        host.encode(tiles, places, pyramid)
        assert len(failures) == 3, "the smaller batch is kept"
    finally:
        hook.remove()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_tile_that_does_not_fit_alone_is_an_error_that_says_what_helps():
    host = host_of("llava")
    pyramid, places = row_of_tiles(host, 2)
    hook = host._family.vision.register_forward_pre_hook(out_of_memory(0, []), with_kwargs=True)
    try:
        with pytest.raises(ModelError, match=r"too little memory .*not even one tile"):
            host.encode(pixels(2, host.tile_size), places, pyramid)
    finally:
        hook.remove()


def test_an_encoder_that_is_listened_to_says_what_helps_where_it_does_not_fit():
    host = host_of("llava")
    pyramid, places = row_of_tiles(host, 2)
    hook = host._family.vision.register_forward_pre_hook(out_of_memory(0, []), with_kwargs=True)
    plan = EncodePlan(frozenset({"keys"}))
    try:
        with pytest.raises(ModelError, match=r"too little memory .*features and scores only"):
            host.encode_planned(pixels(2, host.tile_size), places, pyramid, plan)
    finally:
        hook.remove()


def too_large_for_a_cpu():
    """What the allocator of a CPU really says."""
    torch.empty(1 << 60, dtype=torch.uint8)


def too_large_for_cublas():
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)")


def too_large_for_a_gpu():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def too_large_for_numpy():
    np.empty(1 << 60, np.uint8)


TOO_LARGE = [too_large_for_a_cpu, too_large_for_cublas, too_large_for_a_gpu, too_large_for_numpy]


@pytest.mark.parametrize("take", TOO_LARGE)
def test_whatever_says_that_memory_ran_out_halves_a_batch_and_is_a_model_error_in_the_end(take):
    batch, tried = ShrinkingBatch(4), []

    def work(some):
        tried.append(some.stop - some.start)
        if tried[-1] > 1:
            take()
        return torch.zeros(tried[-1])

    assert len(batch.run(3, work, "take less")) == 3
    assert tried == [3, 1, 1, 1]
    with pytest.raises(ModelError, match=r"too little memory \(.+\): take less"):
        batch.run(3, lambda some: take(), "take less")


def test_another_failure_is_not_taken_for_a_lack_of_memory():
    def work(some):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        ShrinkingBatch(4).run(3, work, "take less")


@pytest.mark.parametrize("take", TOO_LARGE)
@pytest.mark.parametrize("step", ["scores", "generate"])
def test_a_prompt_that_does_not_fit_the_device_is_an_error_that_says_what_helps(step, take):
    host = host_of("qwen3_vl")
    tokens = tokens_of(host)

    def fail(module, args, kwargs):
        take()

    hook = host._decoder.layers[0].mlp.register_forward_pre_hook(fail, with_kwargs=True)
    try:
        with pytest.raises(ModelError, match=r"too little memory.*: set a smaller token budget"):
            getattr(host, step)(QUESTION, tokens)
    finally:
        hook.remove()
    assert host.generate(QUESTION, tokens)
