"""Settings of all tests."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import settings

# a slow test takes as long as about this many others
SLOW_TESTS_WEIGHT = 60

# how long an example takes says more of the machine than of the code
settings.register_profile("geofovea", deadline=None, max_examples=40)
settings.load_profile("geofovea")

# most tests ask a toy model, or the demo model about pictures of noise; those of what happens
# without a model take the variable away
os.environ["GEOFOVEA_MODEL"] = "embedded"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with the most slow tests first; tests keep their order within a file.

    A worker takes a file at a time.  A long file that begins last would keep one worker busy
    while the others have nothing left to do.
    """
    weights: dict[Path, float] = defaultdict(float)
    for item in items:
        weights[item.path] += SLOW_TESTS_WEIGHT if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: -weights[item.path])
