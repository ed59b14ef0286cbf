"""Two dates of a synthetic world as files, and sessions about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack

SIDE = 768


@pytest.fixture(scope="session")
def dated_worlds() -> tuple[World, ...]:
    """A small world at three dates."""
    return tuple(make_dated_world(4, SIDE, SIDE, number) for number in range(3))


@pytest.fixture(scope="session")
def dated_paths(
    dated_worlds: tuple[World, ...], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """The same as files."""
    folder = tmp_path_factory.mktemp("dates")
    paths = tuple(folder / f"date{n}.tif" for n in range(len(dated_worlds)))
    for world, path in zip(dated_worlds, paths, strict=True):
        write_scene(world, path)
    return paths


@pytest.fixture
def make_pair(tiny_host: Any, dated_paths: tuple[Path, ...]) -> Callable[..., StackSession]:
    """``make_pair(paths, dates, **options)`` opens scenes with the toy model."""

    def make(paths: Any = None, dates: Any = None, **options: Any) -> StackSession:
        return StackSession(make_stack(paths or dated_paths[:2], dates), tiny_host, **options)

    return make
