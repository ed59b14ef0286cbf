"""What all tests of training share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def numbers_as_before() -> Iterator[None]:
    """Training changes how this process treats denormal numbers and draws random ones."""
    state = torch.get_rng_state()
    yield
    torch.set_flush_denormal(False)
    torch.set_rng_state(state)
