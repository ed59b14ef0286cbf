"""Runs the examples of public docstrings."""

from __future__ import annotations

import doctest
import inspect
from typing import Any

import geofovea


def faults_of_example(name: str, **modules: Any) -> list[str]:
    """What the example of a public name gives other than it shows; empty if nothing."""
    text = inspect.getdoc(getattr(geofovea, name)) or ""
    names = {"geofovea": geofovea, **modules}
    example = doctest.DocTestParser().get_doctest(text, names, name, None, 0)
    assert example.examples, name
    faults: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=faults.append)
    return faults
