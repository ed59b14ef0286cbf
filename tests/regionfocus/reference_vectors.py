"""The reference vectors of token reductions, walked by file name."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(os.environ.get("GEOFOVEA_SHARED", Path(__file__).resolve().parents[2] / "../shared"))
VECTORS = SHARED / "vectors"


def files_named(pattern):
    """Parameters, one a file of the folder; one that skips with a reason where there is none."""
    found = sorted(VECTORS.glob(f"{pattern}.npz"))
    if not found:
        reason = f"no {pattern}.npz in {VECTORS}"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    return [pytest.param(path, id=path.stem) for path in found]


def read(path):
    """Inputs and outputs by name, and the parameters of the index."""
    with np.load(path) as arrays:
        data = {name: torch.from_numpy(np.atleast_1d(arrays[name])) for name in arrays.files}
    rows = json.loads((path.parent / "index.json").read_text(encoding="utf-8"))
    params = next(row["params"] for row in rows if row["file"] == path.name)
    return data, params


def worked_examples():
    """The worked examples, or a skip where they are absent."""
    path = VECTORS / "worked_examples.json"
    if not path.exists():
        pytest.skip(f"no {path}")
    return json.loads(path.read_text(encoding="utf-8"))


def close(a, b, tolerance=1e-4):
    """Equal within a tolerance, relative and absolute."""
    torch.testing.assert_close(a, b.reshape(a.shape), rtol=tolerance, atol=tolerance)
