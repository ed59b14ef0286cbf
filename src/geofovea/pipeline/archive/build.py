"""Many scenes into one index: resumable, within a budget, one bad file at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geofovea._arguments import is_whole, shown
from geofovea.datasets.inputs.scene_lists import list_scenes
from geofovea.errors import BudgetError, DataError, ModelError, SceneError
from geofovea.pipeline.archive.allowance import Allowance, IndexBudget
from geofovea.pipeline.archive.report import IndexReport, SceneReport
from geofovea.pipeline.archive.scene_walk import SceneWalk
from geofovea.pipeline.archive.wanted_levels import WantedLevels
from geofovea.pipeline.focus.dual_encoder import DualEncoder, load_dual_encoder
from geofovea.pipeline.hosts.learned.band_reading import refuse_extra_bands
from geofovea.pipeline.index.indexed_scene import IndexedScene, identity_of, lasting_name
from geofovea.pipeline.index.settings import IndexSettings, NumberFormat
from geofovea.pipeline.index.store import IndexStore
from geofovea.tiling.machine.paths import is_folder
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.bands import band_numbers
from geofovea.tiling.pixels.border import declared_number
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader
from geofovea.tiling.scene import Scene

__all__ = ["build_index"]


def build_index(
    folder: str | os.PathLike[str],
    scenes: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    asset: str | None = None,
    encoder: str | None = None,
    levels: Sequence[int] | None = None,
    tile_size: int | None = None,
    number_format: NumberFormat | None = None,
    budget: IndexBudget | None = None,
    bands: Sequence[int] | None = None,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
    nodata: float | str | None = None,
    allow_vrt: bool = False,
    allow_remote: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    on_progress: Callable[[str, float], None] | None = None,
) -> IndexReport:
    """Embed the tiles of many scenes with a dual encoder, and keep the vectors in a folder.

    A second call with the same folder resumes where the first one ended. It reads again what has
    changed since. Settings that are left out are those of the index that is there.

    Args:
        folder: Where the index lies or will lie.
        scenes: A raster file, folder, glob, manifest, STAC item collection or URL, or several.
        asset: Which asset of STAC items is the scene; by default ``visual``, ``data`` or ``image``,
            or the only raster among them.
        encoder: Folder or hub id of a CLIP or SigLIP, a folder that ``geofovea train --with
            dual_encoder`` wrote, or ``embedded``, which knows synthetic scenes alone. An index that
            is there knows its own.
        levels: Levels to embed, 0 for native, beside those that the index has. By default those of
            the index, and in a new one all from the base level to native. Levels that a scene does
            not have are left out for it.
        tile_size: Side of a tile in level pixels; by default the side of the encoder's pictures.
        number_format: ``int8`` (default) or ``float16``.
        budget: What this call may spend.
        bands: As in ``SceneSession``, and likewise the next two.
        composite: A named composite instead.
        band_map: Bands of its roles.
        nodata: As in ``open_scene``, and likewise the next three.
        allow_vrt: Open virtual rasters.
        allow_remote: Open URLs.
        allowed_hosts: Hosts that may be asked.
        on_progress: Told the name of a scene and the share of all scenes that is done, in [0, 1].

    Returns:
        What was done. A scene that cannot be read is a failure in it and does not end the run.

    Raises:
        ModelError: If no encoder is named, it cannot be loaded, or it is not that of the index.
        DataError: If a name stands for no scene, or the index is damaged or has other settings.
        OutputError: If the index cannot be written.
        BudgetError: If ``budget`` is not an ``IndexBudget``.
        QuestionError: If a level is not a whole number from 0 on.
    """
    limits: object = budget
    if limits is not None and not isinstance(limits, IndexBudget):
        raise BudgetError(f"budget is a geofovea.IndexBudget, got {shown(limits)}")
    place = Path(folder)
    sources = [scenes] if isinstance(scenes, (str, os.PathLike)) else scenes
    rows = list_scenes([os.fspath(source) for source in sources], asset=asset)
    names = list(dict.fromkeys(row.scene for row in rows))
    older = IndexStore.open(place).settings if IndexStore.exists(place) else None
    model = _encoder(encoder, older)
    settings = _settings(
        model,
        older,
        {"tile_size": tile_size, "number_format": number_format},
        {"bands": bands, "composite": composite, "band_map": band_map, "nodata": nodata},
    )
    store = IndexStore.create(place, settings)
    access = {"allow_vrt": allow_vrt, "allow_remote": allow_remote, "allowed_hosts": allowed_hosts}
    with store.locked():
        wanted = WantedLevels.of(store, levels)
        problems = {row.scene: row.problem for row in rows if row.problem}
        builder = _Builder(store, model, wanted, access, problems)
        return builder.run(names, budget or IndexBudget(), on_progress or (lambda *_: None))


def _encoder(name: str | None, older: IndexSettings | None) -> DualEncoder:
    if name is None and older is None:
        raise ModelError(
            "a new index needs a dual encoder; name one, for example "
            "encoder='openai/clip-vit-base-patch32', or encoder='embedded' for synthetic scenes"
        )
    chosen = name or (older.encoder if older else "")
    # the index outlives the working folder
    return load_dual_encoder(str(Path(chosen).absolute()) if is_folder(chosen) else chosen)


def _settings(
    model: DualEncoder,
    older: IndexSettings | None,
    form: Mapping[str, Any],
    view: Mapping[str, Any],
) -> IndexSettings:
    """What is asked for, and for the rest what the index has or what is usual."""
    base = older or IndexSettings("", "", len(model.embed_text("scene")), model.side)
    changes: dict[str, Any] = {name: value for name, value in form.items() if value is not None}
    bands, band_map = view["bands"], view["band_map"]
    if bands is not None:
        # which bands there are is another thing for each scene
        if (numbers := band_numbers(bands)) is None:
            raise DataError(f"bands={shown(bands)} cannot be shown; give one or three numbers")
        changes["bands"] = numbers
    if view["composite"] is not None:
        changes["composite"] = view["composite"]
    if band_map is not None:
        if not isinstance(band_map, Mapping) or not all(is_whole(b, 1) for b in band_map.values()):
            raise DataError(
                f"band_map={shown(band_map)} is not a band map; give one such as {{'nir': 4}}"
            )
        changes["band_map"] = tuple(sorted(band_map.items()))
    if (nodata := view["nodata"]) is not None:
        if not isinstance(nodata, str) or nodata != "auto":
            declared_number(nodata)
        changes["nodata"] = str(nodata)
    return replace(base, encoder=model.name, fingerprint=model.fingerprint, **changes)


@dataclass(frozen=True, slots=True)
class _Builder:
    """The scenes of one call."""

    store: IndexStore
    encoder: DualEncoder
    levels: WantedLevels
    access: Mapping[str, Any]
    problems: Mapping[str, str]

    def run(
        self, names: Sequence[str], budget: IndexBudget, on_progress: Callable[[str, float], None]
    ) -> IndexReport:
        allowance = Allowance(budget)
        reports: list[SceneReport] = []
        for number, name in enumerate(names):

            def advance(share: float, name: str = name, number: int = number) -> None:
                on_progress(name, (number + share) / len(names))

            if not allowance.tiles_of(1):
                break
            reports.append(self._scene(name, allowance, advance))
            advance(1.0)
        records_removed = self.store.remove_unreadable()
        known = self.store.scenes()
        return IndexReport(
            folder=str(self.store.folder),
            encoder=self.encoder.name,
            scenes=tuple(reports),
            scenes_left=len(names) - len(reports),
            stopped=allowance.stopped,
            tiles_read=allowance.tiles,
            seconds=allowance.seconds,
            size_bytes=self.store.size_bytes,
            indexed_gigapixels=sum(
                scene.width * scene.height * self.store.share_done(scene) for scene in known
            )
            / 1e9,
            records_removed=records_removed,
        )

    def _scene(
        self, name: str, allowance: Allowance, advance: Callable[[float], None]
    ) -> SceneReport:
        """Index one scene; what is wrong with it ends nothing but itself."""
        report = SceneReport(lasting_name(name))
        if name in self.problems:
            return replace(report, error=self.problems[name])
        before, entry = allowance.tiles, None
        try:
            scene = open_scene(name, nodata=self._nodata, **self.access)
            report = replace(report, megapixels=scene.width * scene.height / 1e6)
            entry, was_replaced = self.store.begin(self._entry(scene, report.name))
            damaged = self.store.remove_damaged(entry)
            report = replace(report, was_replaced=was_replaced, tiles_damaged=damaged)
            reader = self._reader(scene, entry)
            SceneWalk(self.store, entry, reader, self.encoder, allowance, advance).run()
        except SceneError as error:
            report = replace(report, error=str(error))
        self.store.note_problem(report.name, report.error)
        if entry is not None:
            report = replace(report, share_done=self.store.share_done(entry), levels=entry.levels)
        return replace(report, tiles_read=allowance.tiles - before)

    def _entry(self, scene: Scene, name: str) -> IndexedScene:
        side = self.store.settings.tile_size
        levels = self.levels.of_scene(name, scene.pyramid(side))
        return IndexedScene(name, identity_of(name), scene.width, scene.height, side, levels)

    def _reader(self, scene: Scene, entry: IndexedScene) -> TileReader:
        view = self.store.settings
        radiometry = plan_radiometry(
            scene,
            view.bands or None,
            composite=view.composite or None,
            band_map=dict(view.band_map) or None,
        )
        refuse_extra_bands(radiometry, "indexes")
        return TileReader(scene, entry.pyramid, radiometry)

    @property
    def _nodata(self) -> Any:
        text = self.store.settings.nodata
        if text in ("", "auto"):
            return text or None
        try:
            return int(text) if text.lstrip("+-").isdecimal() else float(text)
        except ValueError as error:
            raise DataError(f"the index holds nodata={text!r}, which is not a number") from error
