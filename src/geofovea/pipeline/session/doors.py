"""Doors of a session to what is made with it, by name: a session knows nothing of that."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

__all__ = ["door_to"]


def door_to(module: str, name: str) -> Callable[..., Any]:
    """A function of a folder above this one, imported when it is first used.

    Args:
        module: Within the pipeline, such as ``places.find``.
        name: Of the function, which takes a session first.
    """
    # by its name, as the root does: what is below knows no room above before somebody uses it
    pipeline = __package__.rpartition(".")[0]
    function: Callable[..., Any] = getattr(import_module(f"{pipeline}.{module}"), name)
    return function
