"""Layer methods computed again from their formulas, token by token: one token, all tokens, ties."""

import math

import numpy as np
import pytest
import torch

from geofovea.regionfocus.layer_plans.aki import mutual_mask
from geofovea.regionfocus.layer_plans.atp import (
    ThresholdHead,
    kept_tokens,
    margins,
    spatial_scores,
    thresholds,
)
from geofovea.regionfocus.layer_plans.dyvte import (
    ExitRouter,
    exit_feature,
    exit_labels,
    router_logits,
)
from geofovea.regionfocus.layer_plans.imbalanced import raised, raised_patches
from geofovea.regionfocus.layer_plans.lazyllm import LazyLlm
from geofovea.regionfocus.layer_plans.saisa import SaisaProjector, fit_projector
from geofovea.regionfocus.layer_plans.yopo import blind_heads, head_ratios, released_weights
from geofovea.regionfocus.reductions.decoder.sparsevlm2 import corrected_scores, rotary_kernel
from geofovea.regionfocus.reductions.decoder.visual_sinks import looking_heads, redistribute
from geofovea.regionfocus.reductions.projected.vqtoken import spherical_k_means


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rows_of(*shape, seed=0):
    """Attention whose rows sum to 1."""
    return noise(*shape, seed=seed).softmax(-1)


def same(found, expected, tolerance=1e-5):
    np.testing.assert_allclose(np.asarray(found), expected, rtol=tolerance, atol=tolerance)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.parametrize(("words", "width"), [(1, 3), (2, 5), (9, 4)])
def test_a_router_of_dyvte_reads_two_means(words, width):
    states, first, second = noise(words, width), noise(7, 2 * width, seed=1), noise(2, 7, seed=2)
    own = states.numpy()
    others = own[:-1] if words > 1 else own
    feature = np.concatenate([others.mean(0), own[-1]])
    same(exit_feature(states), feature)
    logits = second.numpy() @ gelu(first.numpy() @ feature)
    same(router_logits(torch.tensor(feature), ExitRouter(first, second)), logits)


@pytest.mark.parametrize("scale", [0.0, 0.01, 0.05, 1.0])
def test_labels_of_dyvte_ask_for_equal_words_and_hardly_more_loss(scale):
    full, answers = noise(6, 5, 4), torch.tensor([[1, 0, 2, 3, 0], [1, 2, 0, 0, 0]] * 3)
    exited = full + scale * noise(6, 5, 4, seed=1)
    labels = []
    for own, less, words in zip(full.numpy(), exited.numpy(), answers.numpy(), strict=True):
        places = [i for i in range(4) if words[i + 1] > 0]
        alike = np.mean([own[i].argmax() == less[i].argmax() for i in places] or [0])
        losses = [
            np.mean([np.log(np.exp(x[i]).sum()) - x[i][words[i + 1]] for i in places] or [0])
            for x in (own, less)
        ]
        labels.append(int(alike > 0.99 and losses[1] < 1.03 * losses[0]))
    assert exit_labels(full, exited, answers).tolist() == labels


@pytest.mark.parametrize("sizes", [(1, 0, 1, 1), (5, 0, 5, 5), (9, 2, 4, 8), (6, 3, 1, 5)])
def test_aki_lets_vision_alone_see_ahead(sizes):
    length, first, count, end = sizes
    for query in range(length):
        for key in range(length):
            is_vision = first <= query < first + count
            is_asked = first + count <= key < end
            expected = key <= query or (is_vision and is_asked)
            assert bool(mutual_mask(*sizes)[query, key]) == expected


@pytest.mark.parametrize("n", [1, 4, 21])
def test_imbalanced_raises_by_the_size_of_a_logit_and_finds_outliers(n):
    logits, share = noise(3, 1, n + 2), torch.rand(n, generator=torch.Generator().manual_seed(n))
    visual = torch.arange(1, n + 1)
    expected = logits.numpy().copy()
    for place, more in zip(visual.tolist(), share.tolist(), strict=True):
        expected[..., place] += more * np.abs(expected[..., place])
    same(raised(logits, visual, share), expected)
    first, late = rows_of(2, n, seed=1), rows_of(2, n, seed=2)
    # one patch stands out, and two are alike
    late[:, 0], first[:, -2:] = 3.0, 0.7
    low, high = np.percentile(late.mean(0), [25, 75])
    outliers = int((late.numpy().mean(0) > high + 1.5 * (high - low)).sum())
    little = np.argsort(-late.numpy().mean(0), kind="stable")[:outliers]
    much = np.argsort(-first.numpy().mean(0), kind="stable")[: n // 4]
    top, bottom = raised_patches(first, late)
    assert bottom.tolist() == sorted(little)
    assert top.tolist() == sorted(set(much) - set(little))


@pytest.mark.parametrize(("n", "width", "depth"), [(1, 3, 2), (4, 3, 5)])
def test_a_projector_of_saisa_is_two_layers_beside_a_linear_map(n, width, depth):
    features = noise(n, width)
    parts = [noise(*s, seed=i) for i, s in enumerate([(depth, width), (depth,), (depth, depth)])]
    bias, skip = noise(depth, seed=5), noise(depth, width, seed=6)
    x, first, first_bias, second = (each.numpy() for each in (features, *parts))
    inner = gelu(x @ first.T + first_bias)
    expected = inner @ second.T + bias.numpy() + x @ skip.numpy().T
    same(SaisaProjector(*parts, bias, skip)(features), expected)


def test_a_fitted_projector_is_the_least_squares_of_centered_rows():
    x, y = noise(30, 4).double() * 3 + 2, noise(30, 3, seed=1).double()
    fitted = fit_projector(x, y, ridge=0.2)
    centered, target = x.numpy() - x.numpy().mean(0), y.numpy() - y.numpy().mean(0)
    weight = 0.2 * (centered**2).sum(0).mean()
    # rows of zeros, by the weight of each square
    whole = np.concatenate([centered, math.sqrt(weight) * np.eye(4)])
    zeros = np.concatenate([target, np.zeros((4, 3))])
    expected = np.linalg.lstsq(whole, zeros, rcond=None)[0].T
    same(fitted.first, expected, 1e-8)
    same(fitted.first_bias, y.numpy().mean(0) - expected @ x.numpy().mean(0), 1e-8)


@pytest.mark.parametrize(("n", "rate"), [(1, 0.25), (9, 0.25), (16, 0.3), (12, 1.0)])
def test_tokens_of_atp_go_on_above_a_threshold(n, rate):
    scores, cells = rows_of(2, n) * n, torch.stack([torch.arange(n) // 4, torch.arange(n) % 4], 1)
    sizes = [(5, 2), (5,), (1, 5), (1,), (1, 5), (1,)]
    head = ThresholdHead(*(noise(*size, seed=i) for i, size in enumerate(sizes)))
    own = {name: getattr(head, name).numpy() for name in head.__slots__}
    inner = own["projection"] @ scores.numpy().mean(1) + own["projection_bias"]
    bounds = [
        sigmoid(own[name][0] @ inner + own[f"{name}_bias"][0]) for name in ("redundant", "spatial")
    ]
    stride = max(1, round(rate**-0.5))
    places = [
        max(0.0, 1 - 3 * rate) if row % stride == 0 and col % stride == 0 else 0.0
        for row, col in cells.tolist()
    ]
    same(spatial_scores(cells, rate), places)
    found = thresholds(scores, head)
    same(found, bounds)
    mean = scores.numpy().mean(0)
    margin = [max(r - bounds[0], p - bounds[1]) for r, p in zip(mean, places, strict=True)]
    same(margins(scores.mean(0), torch.tensor(places), found), margin)
    count = max(1, sum(each > 0 for each in margin))
    best = sorted(range(n), key=lambda i: -margin[i])
    for most in (None, 1, n + 3):
        stays = kept_tokens(torch.tensor(margin), most)
        assert stays.tolist() == sorted(best[: count if most is None else min(count, most)])


@pytest.mark.parametrize("values", [[0.3], [0.2, 0.2, 0.2], [0.1, 0.4, 0.4, 0.1, 0.0, 0.4]])
@pytest.mark.parametrize("share", [0.0, 0.34, 0.5, 0.99])
def test_of_lazyllm_the_share_that_is_attended_to_least_waits(values, share):
    n = len(values)
    stays = max(1, n - math.floor(share * n))
    expected = sorted(sorted(range(n), key=lambda i: -values[i])[:stays])
    assert LazyLlm((share,), start=0).wanted(torch.tensor(values), 0, 2).tolist() == expected


def test_heads_of_yopo_look_at_vision_by_the_unit_of_what_they_give_to_words():
    attention, visual = rows_of(3, 2, 7), torch.tensor([1, 2, 5])
    on_vision = attention.numpy()[..., visual].sum((1, 2))
    same(head_ratios(attention, visual), on_vision / (attention.numpy().sum((1, 2)) - on_vision))
    # half of the samples are no majority
    ratios = torch.tensor([[0.01, 0.01], [0.01, 0.2], [0.2, 0.2], [0.01, 0.01]])
    assert blind_heads(ratios) == (0,)
    square = rows_of(3, 7, 7, seed=1)
    expected = square.numpy().copy()
    for head in (0, 2):
        for place in visual.tolist():
            expected[head, :, place] = 0
            expected[head, place] = 0
    same(released_weights(square, visual, (0, 2)), expected)
    expected[..., visual] = 0
    same(released_weights(square, visual, (0, 2), is_late=True), expected)


@pytest.mark.parametrize(("dim", "base"), [(2, 1e4), (16, 1e4), (64, 1e6)])
def test_the_kernel_of_sparsevlm2_is_what_vectors_of_ones_give_each_other(dim, base):
    distances = torch.tensor([[0, 1, 7], [725, 1000, 40]])
    expected = np.zeros(distances.shape)
    for f in range(dim // 2):
        expected += 2 / math.sqrt(dim) * np.cos(distances.numpy() * base ** (-2 * f / dim))
    same(rotary_kernel(distances, dim, base), expected, 1e-4)


@pytest.mark.parametrize(("heads", "raters", "n", "kept"), [(1, 1, 1, 1), (5, 2, 4, 2)])
def test_scores_of_sparsevlm2_are_those_of_its_best_heads(heads, raters, n, kept):
    attention, divisor = rows_of(heads, raters, n), 0.5 + rows_of(raters, n, seed=1)
    corrected = attention.numpy() / divisor.numpy()
    best = np.sort(np.argsort(-corrected.sum((1, 2)), kind="stable")[:kept])
    scores, chosen = corrected_scores(attention, divisor, kept)
    assert chosen.tolist() == best.tolist()
    same(scores, corrected[best].mean((0, 1)))


@pytest.mark.parametrize("strength", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("sinks", [(), (0,), (0, 3), (2, 3, 4)])
def test_var_gives_what_sinks_lose_to_the_other_vision_tokens(strength, sinks):
    attention, visual = rows_of(3, 2, 7), torch.tensor([2, 3, 4])
    is_sink = torch.zeros(7, dtype=torch.bool)
    is_sink[list(sinks)] = True
    looks = looking_heads(attention, is_sink, visual, most_on_sinks=0.5, least_mass=0.2)
    moved = redistribute(attention, is_sink, visual, looks, strength=strength)
    gains = [place for place in visual.tolist() if place not in sinks]
    for head in range(3):
        for query in range(2):
            row = attention.numpy()[head, query].astype(float)
            mass = row[visual].sum()
            on_sinks = row[[p for p in visual.tolist() if p in sinks]].sum()
            is_looking = on_sinks <= 0.5 * mass and mass >= 0.2
            assert bool(looks[head, query]) == is_looking
            expected = row.copy()
            if is_looking and gains:
                freed = (1 - strength) * row[list(sinks)].sum()
                expected[list(sinks)] *= strength
                expected[gains] += freed * row[gains] / row[gains].sum()
            same(moved[head, query], expected)
            assert float(moved[head, query].sum()) == pytest.approx(1)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 5), (12, 3)])
def test_clusters_of_vqtoken_are_those_of_rounds_by_hand(n, k):
    unit = torch.nn.functional.normalize(noise(n, 4), dim=1)
    centers = unit[torch.arange(k)].numpy().copy()
    labels, found = spherical_k_means(unit, unit[torch.arange(k)])
    for _ in range(50):
        lengths = np.linalg.norm(centers, axis=1, keepdims=True)
        own = (unit.numpy() @ (centers / lengths).T).argmax(1)
        moved = np.stack([unit.numpy()[own == i].mean(0) for i in range(k)])
        step, centers = np.linalg.norm(moved - centers), moved
        if step < 1e-4:
            break
    assert labels.tolist() == own.tolist()
    same(found, centers, 1e-4)
