"""Scene memories of many scenes, filled before anybody asks."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from typing import Any

from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.errors import OutputError, SceneError
from geofovea.pipeline.engine.memory_fill import MemoryFill, fill_memory, tiles_of_levels
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.engine.token_store_upkeep import (
    TOKENS_LIMIT_VARIABLE,
    tokens_limit_bytes,
)
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.opening import open_scene

__all__ = ["RememberedScene", "remember_scenes"]


@dataclass(frozen=True, slots=True)
class RememberedScene:
    """One scene.

    Attributes:
        name: Of its file.
        megapixels: Native size.
        fill: What is stored of it now; None if nothing is.
        warnings: What went wrong beside it.
        error: Why it could not be read or kept; empty if it was.
    """

    name: str
    megapixels: float = 0.0
    fill: MemoryFill | None = None
    warnings: tuple[str, ...] = ()
    error: str = ""

    @property
    def megabytes_per_gigapixel(self) -> float | None:
        """Size of the keys and values of the tiles that were wanted; None if nothing is stored."""
        if self.fill is None or not self.megapixels:
            return None
        return self.fill.nbytes / 1e6 / (self.megapixels / 1e3)

    def to_dict(self) -> dict[str, Any]:
        """As JSON can say it."""
        return asdict(self) | {"megabytes_per_gigapixel": self.megabytes_per_gigapixel}


def remember_scenes(
    scenes: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    host: Host,
    memory: MemoryOptions,
    *,
    asset: str | None = None,
    levels: Sequence[int] | None = None,
    nodata: Any = None,
    access: Mapping[str, Any] | None = None,
    on_progress: Callable[[str, float], None] | None = None,
    **view: Any,
) -> Iterator[RememberedScene]:
    """Run the tiles of scenes through a model, and keep the keys and values of its decoder on disk.

    Sessions with the same model, the same policy and ``cache_tokens=True`` then run no tile again.
    A second call resumes where an earlier one ended, and runs what has changed since once more.

    Args:
        scenes: A raster file, folder, glob, manifest, STAC item collection or URL, or several.
        host: The model.
        memory: How keys and values are stored; its megabytes hold for each scene.
        asset: Which asset of STAC items is the scene; see ``build_index``.
        levels: Which levels, 0 for native; None for all. Levels that a scene does not have are left
            out for it.
        nodata: As in ``open_scene``.
        access: Further options of ``open_scene``, such as ``allow_vrt``.
        on_progress: Told the name of a scene and the share of all scenes that is done.
        view: ``bands``, ``composite`` and ``band_map`` of ``SceneSession``.

    Yields:
        One scene after the other. One that cannot be read or kept says why, and does not end the
        run.

    Raises:
        DataError: If a name stands for no scene.
        OutputError: If ``$GEOFOVEA_TOKENS_GB`` is not a positive number.
        ModelError: If the model cannot answer from a memory.
    """
    sources = [scenes] if isinstance(scenes, (str, os.PathLike)) else scenes
    rows = list_scenes([os.fspath(source) for source in sources], asset=asset)
    names = list(dict.fromkeys(row.scene for row in rows))
    problems = {row.scene: row.problem for row in rows if row.problem}
    limit_bytes, nbytes = tokens_limit_bytes(), 0
    for number, name in enumerate(names):

        def tell(share: float, name: str = name, number: int = number) -> None:
            if on_progress is not None:
                on_progress(name, (number + share) / len(names))

        try:
            if name in problems:
                raise SceneError(problems[name])
            scene = open_scene(name, nodata=nodata, **(access or {}))
            session = SceneSession(scene, host, cache_tokens=True, memory=memory, **view)
            remembered = _remember(name, session, memory, levels, tell)
        except (SceneError, OutputError) as error:
            remembered = RememberedScene(name, error=str(error))
        nbytes += 0 if remembered.fill is None else remembered.fill.nbytes
        if nbytes > limit_bytes:
            warnings = (*remembered.warnings, _do_not_stay(nbytes, limit_bytes))
            remembered = replace(remembered, warnings=warnings)
        tell(1.0)
        yield remembered


def _do_not_stay(nbytes: int, limit_bytes: int) -> str:
    # what a session writes pushes out what is oldest without a word: it can be made anew
    return (
        f"keys and values of the scenes so far take {nbytes / 1e6:.2f} MB, and tiles of all scenes "
        f"may take {limit_bytes / 1e6:.2f} MB on disk, so that not all of them stay there; set "
        f"{TOKENS_LIMIT_VARIABLE}"
    )


def _remember(
    name: str,
    session: SceneSession,
    memory: MemoryOptions,
    levels: Sequence[int] | None,
    tell: Callable[[float], None],
) -> RememberedScene:
    """Run the tiles of one scene; ``tell`` takes the share of them that is done."""
    pyramid, own = session.pyramid, session.memory
    if own is None or not own.is_kept:
        raise SceneError(
            f"cannot keep a memory of {name}: a later session could not tell whether a virtual "
            "raster or a remote scene has changed; save it as one GeoTIFF first"
        )
    every = range(pyramid.top_level + 1)
    chosen = every if levels is None else [level for level in every if level in levels]
    # a full disk takes nothing more, and what no file keeps is of no use to a later session
    tiles = takewhile(lambda _: not own.warnings, tiles_of_levels(pyramid, chosen))
    wanted = sum(math.prod(pyramid.grid_shape(level)) for level in chosen)
    fill = fill_memory(own, tiles, memory.limit_bytes, lambda done: tell(done / wanted))
    if own.warnings:
        raise OutputError(f"{own.warnings[0]}; the same command continues where this one ended")
    megapixels = pyramid.width * pyramid.height / 1e6
    return RememberedScene(name, megapixels, fill, tuple(session.tiles.warnings))
