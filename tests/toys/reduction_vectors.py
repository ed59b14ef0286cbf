"""Numbers recorded from official implementations, and the specification's worked examples."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from repository import SHARED

from geofovea.regionfocus.reductions.context import TokenContext

FOLDER = SHARED / "vectors"
SECOND = SHARED / "vectors2"
"""Trained, cache and layer methods."""

# the fixture of the worked examples: 8 tokens of 3 features on a grid of 2 x 4
X = torch.tensor(
    [
        [1, 0, 0],
        [0.9, 0.1, 0],
        [0, 1, 0],
        [0, 0.9, 0.2],
        [0, 0, 1],
        [0.5, 0.5, 0.1],
        [-1, 0, 0.1],
        [0.2, 0.1, 0.9],
    ]
)
CLS = torch.tensor([0.05, 0.22, 0.10, 0.08, 0.03, 0.30, 0.12, 0.10])
TEXT = torch.tensor([0.1, 0.2, 1.0])
OTHER = torch.tensor([0.10, 0.12, 0.30, 0.03, 0.08, 0.10, 0.22, 0.05])


def tokens(**fields):
    """The tokens of the worked examples with some fields of a `TokenContext`."""
    return TokenContext(X, grid=(2, 4), **fields)


def noise(*shape, seed):
    """Normal numbers that a seed repeats."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def formula(n):
    """Attention ``(2, n, n)`` of the worked examples."""
    h, i, j = torch.meshgrid(torch.arange(2), torch.arange(n), torch.arange(n), indexing="ij")
    return (((3 * i + 5 * j + i * j + 2 * h) % 7) / 2).softmax(dim=-1)


def vector_files(*prefixes, folder=FOLDER):
    """Each recorded file of a method is one test; one skipped test where there are none."""
    files = sorted(p for prefix in prefixes for p in folder.glob(f"{prefix}*.npz"))
    if not files:
        skip = pytest.mark.skip(reason=f"no {'/'.join(prefixes)} in {folder}; set GEOFOVEA_SHARED")
        return [pytest.param(None, marks=skip, id="absent")]
    return [pytest.param(path, id=path.stem) for path in files]


def read(path):
    """Arrays of a recorded file as tensors, and its parameters."""
    index = json.loads((path.parent / "index.json").read_text(encoding="utf-8"))
    params = next(entry["params"] for entry in index if entry["file"] == path.name)
    with np.load(path) as arrays:
        return {name: torch.from_numpy(np.asarray(arrays[name])) for name in arrays.files}, params


def load(path):
    """Parameters, inputs and outputs of a recorded file."""
    values, params = read(path)
    given = {name[3:]: value for name, value in values.items() if name.startswith("in_")}
    made = {name[4:]: value for name, value in values.items() if name.startswith("out_")}
    return params, given, made


def close(found, expected, tolerance=1e-4):
    """Compare at the tolerance of the recorded files; they may have axes of length one more."""
    if expected.ndim > found.ndim:
        expected = expected.reshape(found.shape)
    torch.testing.assert_close(
        found.to(torch.float64), expected.to(torch.float64), rtol=tolerance, atol=tolerance
    )


def near(found, expected, atol=2e-5):
    """Compare with a number printed to five digits."""
    torch.testing.assert_close(
        torch.as_tensor(found, dtype=torch.float64),
        torch.as_tensor(expected, dtype=torch.float64),
        rtol=0,
        atol=atol,
    )
