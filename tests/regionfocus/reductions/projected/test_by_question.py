"""Reductions by question, density or place: recorded numbers and worked examples."""

from itertools import combinations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import CLS, TEXT, X, close, formula, load, near, vector_files
from released_reductions import capped_shares, released_counts, resize_tokens

from geofovea.errors import BudgetError, GeometryError, ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.allotment import allot_tokens
from geofovea.regionfocus.reductions.primitives.attention_mass import cls_row
from geofovea.regionfocus.reductions.primitives.similarity import cosine_matrix
from geofovea.regionfocus.reductions.primitives.text_dominance import text_dominance
from geofovea.regionfocus.reductions.projected.catp import Catp, alignment, catp_order
from geofovea.regionfocus.reductions.projected.lrs_vqa import (
    LrsVqa,
    normalised,
    select_by_threshold,
)
from geofovea.regionfocus.reductions.projected.pooled import M3, Pooled, m3_scales
from geofovea.regionfocus.reductions.projected.quota import Quota, quota_weights
from geofovea.regionfocus.reductions.projected.recoverable import RecoverableCompression, recover
from geofovea.regionfocus.reductions.projected.tokencorr import (
    TokenCorr,
    alike_counts,
    density,
    sample_by_layers,
)
from geofovea.regionfocus.rfm.published_selection import select_share


def noise(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def coverage(x, text, index, lambda1=0.7):
    table = (cosine_matrix(x) + 1) / 2
    return float(table[:, index].amax(dim=1).sum() + lambda1 * alignment(x, text)[index].sum())


def test_catp_is_that_of_the_worked_example():
    expected = [0.5488, 0.55927, 0.59759, 0.70112, 0.98795, 0.67082, 0.5, 0.9946]
    near(alignment(X, TEXT), expected)
    assert catp_order(X, TEXT, 3).tolist() == [5, 4, 6]
    context = TokenContext(X, text_embeds=torch.stack([2 * TEXT, torch.zeros(3)]))
    assert Catp().reduce(context, 3).index.tolist() == [4, 5, 6]


@given(st.integers(2, 8), st.integers(0, 999), st.data())
def test_catp_covers_nearly_as_well_as_the_best_choice(n, seed, data):
    x, text = noise(n, 3, seed=seed), noise(3, seed=seed + 1)
    k = data.draw(st.integers(1, n))
    best = max(coverage(x, text, list(c)) for c in combinations(range(n), k))
    assert coverage(x, text, catp_order(x, text, k).tolist()) >= (1 - 2.71828**-1) * best


@given(st.integers(1, 40), st.integers(0, 999))
def test_lazy_gains_choose_as_all_gains_would(n, seed):
    x, text = noise(n, 3, seed=seed), noise(3, seed=seed + 1)
    order = catp_order(x, text, n).tolist()
    assert sorted(order) == list(range(n))
    gains = [coverage(x, text, order[: i + 1]) for i in range(n)]
    for step in range(1, n):
        others = [coverage(x, text, [*order[:step], j]) for j in order[step:]]
        assert gains[step] >= max(others) - 1e-3


def test_catp_breaks_ties_by_index_and_leaves_broken_tokens_for_last():
    assert catp_order(torch.ones(5, 3), TEXT, 4).tolist() == [0, 1, 2, 3]
    assert catp_order(X, torch.zeros(3), 8).unique().tolist() == list(range(8))
    broken = torch.cat([torch.full((1, 3), torch.nan), X])
    assert catp_order(broken, TEXT, 9).tolist()[-1] == 0


def test_the_counts_of_recovery_are_those_of_the_worked_example():
    scores = torch.tensor([0.10, 0.11, 0.12, 0.13, 0.145, 0.50, 0.62, 0.02])
    found = recover(scores, torch.zeros(8), neighbours=3)
    assert (found.ratio_vision, found.ratio_text) == (0.375, 0)
    assert sorted(found.by_vision.tolist()) == [4, 5, 6]
    assert len(found.by_text) == 0


@pytest.mark.parametrize("path", vector_files("recoverable"))
def test_recovery_is_that_of_the_released_code(path):
    params, inputs, outputs = load(path)
    attention = cls_row(inputs["q"][None, 0], inputs["k"][None])[0]
    close(attention, outputs["cls_attn"])
    found = recover(attention, inputs["text_sim"], params["lof_k"])
    close(torch.tensor(found.ratio_vision), outputs["ratio_vision"])
    close(torch.tensor(found.ratio_text), outputs["ratio_text"])
    assert set(found.by_vision.tolist()) == set(outputs["idx_vision"].tolist())
    assert set(found.by_text.tolist()) == set(outputs["idx_text"].tolist())
    # what the released code appends after these comes of its mixed-up indices
    close(inputs["hidden"][1:][found.index], outputs["tokens"][: len(found.index)])


def test_recovery_keeps_to_the_budget_and_may_ask_for_less():
    attention = torch.tensor([0.10, 0.11, 0.12, 0.13, 0.145, 0.50, 0.62, 0.02])
    likeness = attention.flip(0)
    context = TokenContext(X, cls_attention={22: attention[None]}, text_similarity=likeness)
    for k in range(1, 8):
        assert len(RecoverableCompression(3).reduce(context, k).index) == k
    kept = RecoverableCompression(3, adaptive=True).reduce(context, 7)
    found = recover(attention, likeness, 3)
    assert len(kept.index) == len(found.index) < 7


def test_density_is_that_of_the_worked_example():
    assert alike_counts(X).tolist() == [1, 1, 1, 1, 1, 0, 0, 1]
    assert density(X) == 0.25
    assert sample_by_layers(CLS, CLS, 2).tolist() == [1, 5]
    context = TokenContext(X, cls_attention={3: CLS[None], 22: CLS[None]})
    assert TokenCorr(adaptive=True).reduce(context, 7).index.tolist() == [1, 5]


@given(st.integers(1, 20), st.integers(0, 999))
def test_every_token_twice_has_no_density_left(n, seed):
    keys = noise(n, 4, seed=seed)
    assert 0 <= density(keys) <= 1
    assert density(torch.cat([keys, keys])) == 0


def test_a_tile_that_repeats_itself_gets_fewer_tokens():
    keys = torch.cat([torch.ones(16, 8), noise(16, 8, seed=1)])
    attention = {22: torch.rand(2, 32, generator=torch.Generator().manual_seed(2))}
    tiles = torch.arange(32) // 16
    context = TokenContext(keys, tile_index=tiles, keys=keys, cls_attention=attention)
    shares = TokenCorr().reduce(context, 10).info["per_tile"]
    assert sum(shares.values()) == 10
    assert shares[0] <= 1 < shares[1]


def test_quota_is_that_of_the_worked_example():
    weights = quota_weights([0.9, 0.5, 0.2, 0.05])
    near(weights, [0.73469, 0.22676, 0.03628, 0.00227])
    assert released_counts(weights, 32) == [23, 7, 1, 0]
    assert allot_tokens(weights, [32] * 4, 32) == [24, 7, 1, 0]
    near(capped_shares([0.6, 0.2, 0.15, 0.05], 0.3), [0.3, 0.28571, 0.21429, 0.07143])


@pytest.mark.parametrize("path", vector_files("quota_v"))
def test_quota_resizes_tiles_as_the_released_code(path):
    params, inputs, outputs = load(path)
    total = params["total"] * params["max_token"]
    counts = [n for n in released_counts(inputs["weights"].tolist(), total) if n]
    assert len(counts) == len(outputs)
    grid = (params["grid"], params["grid"])
    for frame, count in enumerate(counts):
        found = resize_tokens(inputs["x"][frame], grid, count, params["version"])
        close(found, outputs[f"frame{frame}"])


@pytest.mark.parametrize("path", vector_files("quota_scale"))
def test_quota_caps_shares_as_the_released_code(path):
    params, inputs, outputs = load(path)
    found = capped_shares(inputs["weights"].tolist(), params["max_value"])
    close(torch.tensor(found, dtype=torch.float64), outputs["scaled"])


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v4", "v5"])
def test_resized_tokens_never_exceed_their_count(version):
    x = noise(20, 3, seed=4)
    for count in range(1, 21):
        found = resize_tokens(x, (4, 5), count, version)
        assert 1 <= len(found) <= count
        assert version not in ("v3", "v4") or len(found) == count
    with pytest.raises(BudgetError, match="ask for 1 to as many"):
        resize_tokens(x, (4, 5), 0, version)
    with pytest.raises(GeometryError, match="does not hold 20"):
        resize_tokens(x, (4, 4), 3, version)


def test_quota_gives_tiles_tokens_by_their_squared_scores():
    scores = torch.tensor([0.9] * 10 + [0.3] * 10 + [0.0] * 10)
    context = TokenContext(torch.zeros(30, 1), scores, tile_index=torch.arange(30) // 10)
    assert Quota().reduce(context, 10).info["per_tile"] == {0: 9, 1: 1, 2: 0}


def test_lrs_vqa_is_that_of_the_worked_example():
    expected = [0.0553, 0.7787, 0.2681, 0.183, 0, 1, 0.3532, 0.2681]
    near(normalised(CLS), expected, atol=5e-5)
    assert select_by_threshold(CLS, 0.2).tolist() == [1, 2, 5, 6, 7]
    assert select_share(CLS, (2, 4), share=0.5).tolist() == [1, 2, 3, 5, 6, 7]
    context = TokenContext(X, CLS)
    assert LrsVqa(0.2).reduce(context, 7).index.tolist() == [1, 2, 5, 6, 7]
    assert LrsVqa(0.2).reduce(context, 3).index.tolist() == [1, 5, 6]


@pytest.mark.parametrize("path", vector_files("lrsvqa_select"))
def test_lrs_vqa_selects_as_the_released_code(path):
    params, inputs, outputs = load(path)
    scores, mask = inputs["scores"], inputs["mask"]
    for name, expected in outputs.items():
        kind, *masked = name.split("_")
        valid = mask if masked else None
        number = kind.removeprefix("thr").removeprefix("ratio")
        if kind.startswith("thr"):
            # thr02 is a threshold of 0.2
            threshold = float(f"{number[0]}.{number[1:]}")
            found = select_by_threshold(scores, threshold, valid)
        else:
            grid = (len(scores) // params["tokens_per_row"], params["tokens_per_row"])
            found = select_share(scores, grid, valid, int(number) / 100)
        assert found.tolist() == sorted(expected.tolist())


def test_equal_scores_are_above_no_threshold_and_kept_evenly():
    assert select_by_threshold(torch.ones(10), 0.5).tolist() == []
    kept = LrsVqa(0.5).reduce(TokenContext(torch.zeros(10, 1), torch.ones(10)), 4)
    assert (kept.index.tolist(), kept.info) == ([1, 3, 6, 8], {"fallback": "uniform"})


@pytest.mark.parametrize("path", vector_files("m3_pool"))
def test_m3_scales_are_those_of_the_released_code(path):
    _, inputs, outputs = load(path)
    scales = m3_scales(inputs["x"], round(len(inputs["x"]) ** 0.5))
    assert {f"s{count}" for count in scales} == set(outputs)
    for count, scale in scales.items():
        close(scale, outputs[f"s{count}"])


def test_m3_is_that_of_the_worked_example_and_refuses_what_is_no_square():
    x = torch.arange(16.0)[:, None]
    scales = m3_scales(x, 4)
    near(scales[4][:, 0], [2.5, 4.5, 10.5, 12.5])
    near(scales[1][:, 0], [7.5])
    kept = M3().reduce(TokenContext(x, grid=(4, 4)), 5)
    near(kept.features[:, 0], [2.5, 4.5, 10.5, 12.5])
    assert kept.sizes.tolist() == [4] * 4
    with pytest.raises(GeometryError, match="15 tokens are not a grid of 4 x 4"):
        m3_scales(x[:15], 4)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_pooling_conserves_mass_within_the_budget(height, width, data):
    n = height * width
    x = noise(n, 3, seed=n)
    k = data.draw(st.integers(1, n))
    for kept in (m().reduce(TokenContext(x, grid=(height, width)), k) for m in (Pooled, M3)):
        if k < n:
            assert 1 <= len(kept.index) <= k
            assert torch.equal(kept.groups[kept.index], torch.arange(len(kept.index)))
            near(kept.sizes.double() @ kept.features.double(), x.double().sum(dim=0), atol=1e-4)


def test_text_dominance_is_that_of_the_worked_example():
    row = formula(12)[0, 11]
    is_vision = torch.zeros(12, dtype=torch.bool)
    is_vision[2:10] = True
    found = text_dominance(row[None], is_vision)
    near([found.text_mass, found.vision_mass], [0.43773, 0.56227])
    near([found.mdi, found.aei_text], [1.55703, 1.3132])
    assert (found.text_tokens, found.vision_tokens) == (4, 8)
    near(text_dominance(torch.ones(3, 12), is_vision).aei_vision, 1.0)
    with pytest.raises(ModelError, match="12 and 0 tokens"):
        text_dominance(row[None], torch.zeros(12, dtype=torch.bool))


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Catp(-1), "lambda1 of at least 0"),
        (lambda: RecoverableCompression(0), "at least one neighbour"),
        (lambda: TokenCorr(threshold=2), "threshold in"),
        (lambda: LrsVqa(1.0), "threshold in"),
    ],
)
def test_impossible_settings_are_refused(make, match):
    with pytest.raises(ModelError, match=match):
        make()
