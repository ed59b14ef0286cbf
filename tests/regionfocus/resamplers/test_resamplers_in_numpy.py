"""Resamplers computed again in NumPy from their formulas: one token, odd heads, batches."""

import math

import numpy as np
import pytest
import torch

from geofovea.regionfocus.resamplers.mqt import Mqt
from geofovea.regionfocus.resamplers.nested import Nested, TokenFlex
from geofovea.regionfocus.resamplers.quecc import QueCc

# rows and columns of the grid, width, heads, lessons in a batch
SHAPES = [((1, 1), 3, 1, 1), ((2, 3), 9, 3, 2), ((4, 4), 10, 5, 3), ((3, 3), 4, 1, 2)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def given(shape):
    """Tokens, which of them are visible, and a question of each; of a batch of 2 some are not."""
    (rows, cols), width, _, batch = shape
    made = torch.Generator().manual_seed(rows * cols + width)
    tokens = torch.randn(batch, rows * cols, width, generator=made)
    visible = torch.ones(batch, rows * cols, dtype=torch.bool)
    visible[1:, 1::3] = False
    return tokens, visible, torch.randn(batch, width, generator=made)


def weights(module):
    """Its own, anew, so that none is a zero or a one; by name, as arrays."""
    made = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=made) * 0.7
    return {name: value.detach().numpy() for name, value in module.named_parameters()}


def norm(x, own, name):
    spread = np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    return (x - x.mean(-1, keepdims=True)) / spread * own[f"{name}.weight"] + own[f"{name}.bias"]


def linear(x, own, name):
    return x @ own[f"{name}.weight"].T + own[f"{name}.bias"]


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def attention(queries, keys, values, seen, own, heads):
    """Of one lesson: each query over the tokens that it sees, ``(m, d)``."""
    width = queries.shape[1]
    projected = [
        x @ own["attention.in_proj_weight"][rows].T + own["attention.in_proj_bias"][rows]
        for x, rows in (
            (queries, slice(0, width)),
            (keys, slice(width, 2 * width)),
            (values, slice(2 * width, None)),
        )
    ]
    parts = []
    for columns in np.split(np.arange(width), heads):
        q, k, v = (x[:, columns] for x in projected)
        powers = np.exp(q @ k.T / math.sqrt(len(columns))) * seen
        parts.append(powers / powers.sum(1, keepdims=True) @ v)
    return linear(np.concatenate(parts, 1), own, "attention.out_proj")


def same(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=2e-4, atol=2e-4)


@every_shape
@pytest.mark.parametrize("keys", ["content", "position"])
def test_mqt_is_an_attention_of_its_first_queries(shape, keys):
    grid, width, heads, _ = shape
    tokens, visible, _ = given(shape)
    output = torch.randn(width, 2 * width) if keys == "position" else None
    resampler = Mqt(grid, width, queries=5, heads=heads, keys=keys, output=output)
    own = weights(resampler)
    for count in (1, 5):
        found = resampler(tokens, visible, count)
        queries = norm(own["query"] + own["query_position"], own, "norm_query")[:count]
        for number, (tile, seen) in enumerate(zip(tokens.numpy(), visible.numpy(), strict=True)):
            read = own["key_position"] + (tile if keys == "content" else 0)
            latents = attention(
                queries,
                norm(read, own, "norm_key"),
                norm(tile, own, "norm_value"),
                seen[None].repeat(count, 0),
                own,
                heads,
            )
            mean = tile[seen].mean(0)
            as_told = latents + own["mean"] * mean if output is None else latents @ own["output"]
            same(found[number], as_told)


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len({*shape[0]}) == 1], ids=str)
def test_quecc_is_an_attention_of_each_window_by_the_question(shape):
    (rows, cols), width, heads, _ = shape
    tokens, visible, question = given(shape)
    resampler = QueCc((rows, cols), width, heads)
    own = weights(resampler)

    def projected(x, name):
        inner = gelu(linear(x, own, f"{name}.0"))
        return norm(linear(inner, own, f"{name}.2"), own, f"{name}.3")

    for count in resampler.counts:
        found = resampler(tokens, visible, count, question)
        window = rows // math.isqrt(count)
        for number, (tile, seen) in enumerate(zip(tokens.numpy(), visible.numpy(), strict=True)):
            text = norm(linear(question[number].numpy(), own, "text.0"), own, "text.1")
            queries = projected(tile + text, "query") * seen[:, None]
            keys, values = projected(tile, "key"), projected(tile, "value")
            place = np.arange(rows * cols)
            label = place // cols // window * (cols // window) + place % cols // window
            for output in range(count):
                members = np.flatnonzero(label == output)
                kernel = own[f"windows.{window}.weight"].reshape(width, -1).T
                coarse = (queries[members] * kernel).sum(0) + own[f"windows.{window}.bias"]
                shown = members[seen[members]]
                if not len(shown):
                    continue
                latent = attention(coarse[None], keys, values, np.isin(place, shown), own, heads)
                same(found[number, output], latent[0] + own["mean"] * tile[shown].mean(0))


@every_shape
def test_nested_lengths_are_means_and_tokenflex_adds_a_gate(shape):
    (rows, cols), width, _, _ = shape
    tokens, visible, _ = given(shape)
    flexible = TokenFlex((rows, cols), width)
    own = weights(flexible)
    for count in Nested((rows, cols)).counts:
        means, corrected = (
            made(tokens, visible, count) for made in (Nested((rows, cols)), flexible)
        )
        side = (rows, cols) if count == rows * cols else (math.isqrt(count),) * 2
        place = np.arange(rows * cols)
        label = place // cols * side[0] // rows * side[1] + place % cols * side[1] // cols
        for number, (tile, seen) in enumerate(zip(tokens.numpy(), visible.numpy(), strict=True)):
            expected = np.zeros((count, width))
            for output in range(count):
                shown = (label == output) & seen
                expected[output] = tile[shown].mean(0) if shown.any() else 0
            same(means[number], expected)
            gate = expected @ own["gate.weight"].T
            inner = expected @ own["first.weight"].T * gate / (1 + np.exp(-gate))
            same(corrected[number], expected + linear(inner, own, "last"))
