"""The primitives that reductions share: literal tables, recorded numbers, and properties."""

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from reduction_vectors import CLS, X, close, formula, load, near, vector_files

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.allotment import allot_tokens
from geofovea.regionfocus.reductions.primitives.attention_mass import (
    cls_row,
    mean_received,
    patch_mass,
    received_by_query,
    received_from,
)
from geofovea.regionfocus.reductions.primitives.cells import cells_of, even_cells
from geofovea.regionfocus.reductions.primitives.clustering import cluster_by_density
from geofovea.regionfocus.reductions.primitives.outliers import (
    iqr_outlier_fraction,
    local_outlier_factor,
    lof_outlier_fraction,
)
from geofovea.regionfocus.reductions.primitives.similarity import (
    cosine_matrix,
    refuse_quadratic,
)

QUARTER = [0.5, 0.3, 0.15, 0.05]


@pytest.mark.parametrize(
    ("weights", "capacities", "total", "least", "shares"),
    [
        (QUARTER, [9, 9, 9, 9], 10, 0, [5, 3, 2, 0]),
        (QUARTER, [3, 8, 8, 8], 10, 0, [3, 4, 2, 1]),
        (QUARTER, [9, 9, 9, 9], 10, 1, [4, 3, 2, 1]),
        ([0.73469, 0.22676, 0.03628, 0.00227], [32] * 4, 32, 0, [24, 7, 1, 0]),
        ([0, 0, 0], [5, 5, 5], 7, 0, [3, 2, 2]),
        ([float("nan"), -1, 2], [5, 5, 5], 4, 0, [0, 0, 4]),
        ([], [], 0, 0, []),
    ],
)
def test_tokens_are_allotted_as_in_the_table(weights, capacities, total, least, shares):
    assert allot_tokens(weights, capacities, total, least) == shares


@given(st.lists(st.tuples(st.floats(0, 9), st.integers(0, 30)), max_size=12), st.data())
def test_an_allotment_spends_its_total_within_the_capacities(parts, data):
    weights, capacities = [w for w, _ in parts], [c for _, c in parts]
    total = data.draw(st.integers(0, sum(capacities)))
    shares = allot_tokens(weights, capacities, total)
    assert sum(shares) == total
    assert all(0 <= s <= c for s, c in zip(shares, capacities, strict=True))
    same = allot_tokens(weights, [total] * len(parts), total) if parts else []
    ranked = sorted(zip(weights, same, strict=True))
    assert [s for _, s in ranked] == sorted(same) or len(set(weights)) < len(weights)


def test_an_impossible_allotment_is_refused():
    with pytest.raises(BudgetError, match="at least 0"):
        allot_tokens([1.0, 1.0], [2, 2], 5)
    with pytest.raises(BudgetError, match="lower the floor"):
        allot_tokens([1.0, 1.0], [2, 2], 1, least=1)
    with pytest.raises(BudgetError, match="2 weights do not fit 1"):
        allot_tokens([1.0, 1.0], [2], 1)


def test_cosines_are_finite_even_of_zero_and_broken_rows():
    table = cosine_matrix(torch.tensor([[0.0, 0], [3, 4], [torch.nan, 1], [torch.inf, 1]]))
    assert table.tolist() == [[0] * 4, [0, 1, 0, 0], [0] * 4, [0] * 4]


def test_a_quadratic_table_above_the_limit_is_refused():
    with pytest.raises(BudgetError, match=r"takes at most 8192.*divprune"):
        refuse_quadratic(8193, "a cosine matrix")


def test_the_iqr_fraction_is_that_of_the_worked_example():
    assert iqr_outlier_fraction(CLS) == 0.125
    assert iqr_outlier_fraction(torch.ones(50)) == iqr_outlier_fraction(torch.ones(0)) == 0


def test_local_outliers_are_those_of_the_worked_example():
    scores = torch.tensor([0.10, 0.11, 0.12, 0.13, 0.145, 0.50, 0.62, 0.02], dtype=torch.float64)
    expected = [0.97778, 0.97778, 0.97778, 1.02679, 1.11746, 10.76587, 11.86209, 3.85714]
    near(local_outlier_factor(scores, 3), expected)
    assert lof_outlier_fraction(scores, 3) == 0.375


@given(st.integers(1, 40), st.integers(1, 25), st.integers(0, 999))
def test_local_outlier_factors_are_those_of_the_quadratic_definition(n, k, seed):
    scores = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    k = min(k, n - 1)
    found = local_outlier_factor(scores, max(k, 1))
    if k == 0:
        assert found.tolist() == [1]
        return
    distance = (scores[:, None] - scores).abs().fill_diagonal_(torch.inf)
    nearest = distance.argsort(dim=1)[:, :k]
    reach = torch.maximum(
        distance.gather(1, nearest), distance.sort(dim=1).values[:, k - 1][nearest]
    )
    density = 1 / (reach.mean(dim=1) + 1e-10)
    near(found, density[nearest].mean(dim=1) / density, atol=1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 19, 21])
def test_equal_scores_have_no_outliers(n):
    assert lof_outlier_fraction(torch.full((n,), 0.25)) == 0


def test_clusters_are_those_of_the_worked_example():
    found = cluster_by_density(X, 3)
    assert found.centers.tolist() == [1, 3, 6]
    assert found.assignment.tolist() == [0, 0, 1, 1, 1, 0, 2, 1]
    density = [0.94281, 0.96186, 0.93967, 0.94912, 0.8588, 0.92004, 0.66809, 0.89982]
    distance = [0.08165, 1.15614, 0.12910, 0.70475, 0.14142, 0.33166, 0.77675, 0.54467]
    near(found.density, density)
    near(found.distance, distance)
    near(found.means(X), [[0.8, 0.2, 0.03333], [0.05, 0.5, 0.525], [-1, 0, 0.1]])


@pytest.mark.parametrize("path", vector_files("sparsevlm_cluster_"))
def test_clusters_are_those_of_the_released_code(path):
    params, inputs, outputs = load(path)
    points = next(iter(inputs.values())).squeeze()
    merged = next(iter(outputs.values()))
    found = cluster_by_density(points, params["cluster_num"]).means(points)
    close(found, merged.reshape(found.shape))


@given(st.integers(0, 10_000), st.integers(3, 14), st.integers(1, 4))
def test_clusters_do_not_depend_on_the_order_of_the_points(seed, n, clusters):
    draw = torch.Generator().manual_seed(seed)
    points, order = torch.randn(n, 3, generator=draw), torch.randperm(n, generator=draw)
    found = cluster_by_density(points, min(clusters, n))
    ranked = (found.density * found.distance).sort(descending=True).values
    # where two points tie for the last place, one of them has to be left out
    assume(len(found.centers) == n or ranked[len(found.centers) - 1 :][:2].diff().abs() > 1e-6)
    shuffled = cluster_by_density(points[order], len(found.centers))
    assert set(order[shuffled.centers].tolist()) == set(found.centers.tolist())
    places = dict(zip(found.centers.tolist(), found.means(points), strict=True))
    for center, mean in zip(order[shuffled.centers], shuffled.means(points[order]), strict=True):
        near(mean, places[int(center)])


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(1, 4))
def test_clusters_are_those_of_the_definition_point_by_point(seed, n, clusters):
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    clusters = min(clusters, n)
    table = [[float((a - b).square().sum().sqrt()) / 3**0.5 for b in points] for a in points]
    density = [math.exp(-sum(d * d for d in sorted(row)[:clusters]) / clusters) for row in table]
    for i, got in enumerate(cluster_by_density(points, clusters).distance.tolist()):
        # what differs by rounding alone is a tie
        denser = [table[i][j] for j in range(n) if density[j] > density[i] + 1e-7]
        assert got == pytest.approx(min(denser, default=max(map(max, table))), abs=1e-5)


def test_a_copy_of_a_point_is_no_center_of_its_own():
    points = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.1, 0.0], [5.0, 5.0], [5.0, 5.1]])
    assert cluster_by_density(points, 2).centers.tolist() == [0, 4]


def test_equal_points_cluster_without_an_error():
    assert cluster_by_density(torch.ones(5, 2), 2).centers.tolist() == [0, 1]
    with pytest.raises(BudgetError, match="choose 1 to 5"):
        cluster_by_density(torch.ones(5, 2), 6)


def test_a_class_row_is_a_softmax_over_class_token_and_patches():
    query, keys = torch.randn(3, 4), torch.randn(3, 6, 4)
    full = (query[:, None] @ keys.transpose(1, 2) / 2).softmax(dim=-1)[:, 0]
    near(cls_row(query, keys), full[:, 1:])


def test_received_attention_is_the_same_in_blocks_and_from_the_map():
    queries, keys = torch.randn(2, 7, 4), torch.randn(2, 7, 4)
    attention = (queries @ keys.transpose(1, 2) / 2).softmax(dim=-1)
    near(received_from(queries, keys), mean_received(attention))
    expected = [0.10045, 0.12004, 0.12378, 0.11157, 0.19244, 0.13624, 0.11504, 0.10045]
    near(mean_received(formula(8)), expected)


def test_causal_attention_received_is_that_of_the_worked_example():
    causal = formula(8)[0].tril()
    causal = causal / causal.sum(dim=1, keepdim=True)
    expected = [0.31893, 0.19626, 0.17227, 0.16661, 0.45116, 0.10322, 0.03701, 0.0198]
    near(received_by_query(causal), expected)


def test_a_missing_layer_names_those_that_are_there():
    tokens = TokenContext(X, received={3: CLS, 5: CLS})
    with pytest.raises(ModelError, match="of encoder layer 4; these are there: 3, 5"):
        patch_mass(tokens, 4)
    assert patch_mass(tokens)[1] == {"score": "received"}


def test_cells_come_from_the_grid_or_the_boxes_and_survive_a_selection():
    grid = TokenContext(X, grid=(2, 4))
    assert cells_of(grid).tolist() == [[r, c] for r in range(2) for c in range(4)]
    some = torch.tensor([1, 6])
    assert cells_of(grid.select(some)).tolist() == [[0, 1], [1, 2]]
    corners = cells_of(grid).flip(1).double() * 12.5 + 3
    boxes = TokenContext(X, boxes_scene=torch.cat([corners, corners + 12.5], dim=1))
    assert torch.equal(cells_of(boxes), cells_of(grid))
    with pytest.raises(ModelError, match="such as divprune"):
        cells_of(TokenContext(X))


def test_even_cells_cut_a_grid_into_rectangles():
    cells = cells_of(TokenContext(torch.zeros(24, 1), grid=(4, 6)))
    labels = even_cells(cells, 2, 3).reshape(4, 6)
    assert labels.tolist() == [[0, 0, 1, 1, 2, 2]] * 2 + [[3, 3, 4, 4, 5, 5]] * 2
    assert int(even_cells(cells, 99, 99).max()) == 23
