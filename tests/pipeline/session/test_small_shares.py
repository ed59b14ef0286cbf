"""However small a share, a budget or a picture: every reduction leaves at least one token."""

import math

import pytest
import torch
from decoder_models import WIDTH, make_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pipeline_toys import QUESTION, llava_host, random_llava

import geofovea as gf
from geofovea.errors import GeoFoveaError
from geofovea.pipeline.inference.decoder.pruned import PrunedRun
from geofovea.pipeline.inference.vision.clip_pruning import encode_pruned
from geofovea.regionfocus.layer_plans.registry import LAYER_METHOD_NAMES
from geofovea.regionfocus.reductions.chain import make_chain
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS
from geofovea.regionfocus.reductions.registry import (
    DECODER_REDUCTION_NAMES,
    ENCODER_REDUCTION_NAMES,
    FIRST_PARTS,
    REDUCTION_NAMES,
    make_decoder_reduction,
    make_encoder_reduction,
    make_reduction,
)
from geofovea.regionfocus.reductions.tile_signals import TILE_SIGNALS

SHARES = (1e-9, 0.001, 0.01, 0.05, 0.25, 0.5, 0.9)
MAY_DROP_ALL = "todre_drop_all"
BLIND = [  # what an encoder that drops patches cannot show
    name
    for name in REDUCTION_NAMES
    if not make_reduction(name).requires & TILE_SIGNALS
    and not getattr(make_reduction(name), "requires_one_of", ())
]
# tiny files are written by the fixture once for all examples
shared = {"suppress_health_check": [HealthCheck.function_scoped_fixture]}

shares = st.sampled_from(SHARES)
prompts = st.tuples(
    # a level for each vision token, coarse to fine or mixed
    st.lists(st.integers(0, 2), min_size=1, max_size=9),
    st.lists(st.booleans(), min_size=9, max_size=9),
    st.integers(1, 3),
    st.integers(0, 99),
)


@pytest.fixture(scope="module")
def decoder():
    return make_model("llama").model


@pytest.mark.parametrize("name", [n for n in DECODER_REDUCTION_NAMES if n != MAY_DROP_ALL])
@settings(max_examples=25)
@given(prompt=prompts, share=shares)
def test_inside_the_decoder_a_token_is_left_and_no_more_than_the_share(
    decoder, name, prompt, share
):
    levels, is_protected, after, seed = prompt
    n, generator = len(levels), torch.Generator().manual_seed(seed)
    protected = torch.tensor(is_protected[:n])
    run = PrunedRun(
        decoder,
        reduction=make_decoder_reduction(name, share),
        first=2,
        count=n,
        carried={"levels": torch.tensor(levels), "importance": torch.rand(n, generator=generator)},
        protected=protected,
    )
    state = run.advance(torch.randn(1, 2 + n + after, WIDTH, generator=generator))
    assert bool(state.isfinite().all())
    candidates = n - int(protected.sum())
    left = run.vision_lengths[-1] - int(protected.sum())
    assert left == min(candidates, max(1, math.floor(share * candidates + 0.5)))
    # what is left can be answered from
    assert bool(run.advance(torch.randn(1, 1, WIDTH, generator=generator)).isfinite().all())


@pytest.mark.parametrize("name", ENCODER_REDUCTION_NAMES)
@settings(max_examples=15)
@given(k=st.integers(-1, 5), seed=st.integers(0, 99))
def test_inside_the_encoder_a_patch_is_left_and_no_more_than_asked_for(name, k, seed):
    tower = _tower()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    for image in encode_pruned(tower, images, make_encoder_reduction(name), k, -1):
        assert 1 <= len(image.positions) <= max(1, k)
        assert bool(image.features.isfinite().all())


def _tower():
    return random_llava().model.vision_tower


@pytest.fixture(scope="module")
def hosts():
    """A token a patch, and four patches a token."""
    return [llava_host(random_llava(), pool=pool) for pool in (1, 2)]


@pytest.fixture
def sessions(hosts, make_png):
    """Pictures of many tiles, and of a few tokens in all."""
    pictures = [make_png(*size, name=f"{size[0]}.png") for size in ((150, 40), (9, 5), (64, 64))]
    return [gf.SceneSession(gf.open_scene(p), host) for host in hosts for p in pictures]


@st.composite
def chains(draw):
    """A chain of up to three links with a small share each, that a host with a CLIP can do."""
    encoder = draw(st.sampled_from([None, None, *ENCODER_LINKS]))
    decoder = draw(st.sampled_from([None, *DECODER_REDUCTION_NAMES]))
    projected = draw(st.sampled_from(REDUCTION_NAMES if encoder is None else BLIND))
    if decoder in FIRST_PARTS:
        encoder, projected = None, FIRST_PARTS[decoder]
    links = [encoder, projected, decoder]
    words = [link if link == MAY_DROP_ALL else f"{link}:{draw(shares)!r}" for link in links if link]
    return "+".join(words)


@settings(max_examples=40, deadline=None, **shared)
@given(
    chain=chains(),
    which=st.integers(0, 5),
    tiles=st.sampled_from([2, 4, 20]),
    tokens=st.sampled_from([1, 2, 3, 7, 40]),
    descent=st.sampled_from(["best_first", "geometric", "geometric_chained", "all_to_best"]),
    route=st.sampled_from(["auto", "one", "several"]),
)
def test_every_chain_of_small_shares_answers_from_a_token_at_least(
    sessions, chain, which, tiles, tokens, descent, route
):
    budget = gf.Budget(tiles=tiles, tokens=tokens)
    answer = sessions[which].ask(
        QUESTION, budget=budget, reduction=chain, descent=descent, route=route
    )
    cost = answer.cost
    assert 1 <= cost.tokens_llm <= tokens
    assert cost.tokens_end >= (0 if chain.endswith(MAY_DROP_ALL) else 1)
    assert math.isfinite(answer.confidence)
    assert all(stage.tokens_out >= 1 for stage in cost.reductions if stage.name != MAY_DROP_ALL)
    assert make_chain(chain).text == chain


@settings(max_examples=25, deadline=None, **shared)
@given(
    chain=st.one_of(chains(), st.sampled_from(REDUCTION_NAMES)),
    skip=st.sampled_from([None, None, *LAYER_METHOD_NAMES]),
    kv=st.sampled_from([None, "exact", "plain:2", "zipcache+tokenselect:0.05", "vidkv+compresskv"]),
    megabytes=st.sampled_from([1e-6, 0.01, 9.0]),
    which=st.integers(0, 5),
    tiles=st.sampled_from([2, 4, 20]),
    tokens=st.sampled_from([1, 3, 40]),
)
def test_methods_together_keep_all_budgets_or_are_refused_before_a_tile_is_read(
    sessions, chain, skip, kv, megabytes, which, tiles, tokens
):
    scene, host = sessions[which].scene, sessions[which].host
    memory = kv and gf.MemoryOptions(megabytes, kv, ready_megabytes=megabytes / 2)
    session, reads = gf.SceneSession(scene, host, memory=memory), []
    read = session.reader.read
    session.reader.read = lambda tile: (reads.append(tile), read(tile))[1]
    budget = gf.Budget(tiles=tiles, tokens=tokens)
    try:
        answer = session.ask(QUESTION, budget=budget, reduction=chain, skip=skip)
    except GeoFoveaError:
        assert not reads
        return
    cost, depth = answer.cost, host.decoder.config.num_hidden_layers
    assert cost.tiles_encoded <= len(reads) <= tiles
    assert 1 <= cost.tokens_llm <= tokens
    assert cost.tokens_end <= cost.tokens_llm
    assert cost.tokens_beside <= 4 * cost.tokens_llm
    assert (cost.vision_layers or 0) <= depth * (cost.tokens_llm + cost.tokens_beside)
    assert math.isfinite(answer.confidence)
    assert (cost.memory is None) == (kv is None)
    if kv is not None:
        assert cost.memory.nbytes == session.memory.nbytes <= memory.limit_bytes
        assert cost.memory.ready_bytes == session.memory.ready_bytes <= memory.ready_bytes
        # without room for all tiles, some are run again
        if megabytes == 9.0:
            assert cost.memory.tokens_stored <= cost.tiles_encoded * math.prod(host.grid)


def test_of_a_tile_that_is_mostly_padding_what_shows_data_is_kept(hosts, make_png):
    # sixteen patches a tile, of which the picture fills three
    session = gf.SceneSession(gf.open_scene(make_png(5, 20)), hosts[0])
    for name in ENCODER_LINKS:
        answer = session.ask(QUESTION, reduction=f"{name}:0.01")
        (encoder, _) = answer.cost.reductions
        assert answer.cost.tokens_llm == encoder.tokens_out == answer.cost.tiles_encoded
