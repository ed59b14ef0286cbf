"""An index on disk: a folder with its settings, and a folder of parts for each scene."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geofovea._arguments import shown
from geofovea.errors import DataError, ModelError, OutputError
from geofovea.pipeline.index.index_files import (
    NoAccessError,
    OtherVersionError,
    listed,
    read_record,
    remove_file,
)
from geofovea.pipeline.index.indexed_scene import IndexedScene, identity_of, key_of
from geofovea.pipeline.index.part import Part, PartName, read_part, write_part
from geofovea.pipeline.index.settings import FORMAT, IndexSettings
from geofovea.pipeline.system.files import make_folder, sole_user, write_text
from geofovea.tiling.machine.paths import is_file
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["IndexStore"]

_SETTINGS, _SCENES, _SCENE, _LOCK = "index.json", "scenes", "scene.json", "index.lock"
_PROBLEM = "problem.json"
# without them, nobody knows what the vectors mean
_NO_SETTINGS = "build the index again in another folder"
_NO_SCENE = (
    "run geofovea index with the scenes again, or remove the folder of this file if the scene is "
    "gone"
)


@dataclass(frozen=True, slots=True)
class IndexStore:
    """The files of an index.

    ``index.json`` holds the settings. ``scenes/KEY/scene.json`` says what a scene is, and beside
    it lie its vectors: ``L<level>-<first tile>-<tiles>.safetensors``. A part is written whole or
    not at all, so what a run that was ended left behind is where the next one goes on. Where a
    run could not read a scene to its end, ``problem.json`` says why.

    Attributes:
        folder: Where it lies.
        settings: What all vectors have in common.
    """

    folder: Path
    settings: IndexSettings

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether a folder holds an index."""
        return is_file(folder / _SETTINGS)

    @staticmethod
    def open(folder: Path) -> IndexStore:
        """The index in a folder.

        Raises:
            DataError: If there is none, or it is damaged or of another version.
        """
        if not IndexStore.exists(folder):
            listed(folder)
            raise DataError(f"{folder} holds no index; make one with geofovea index")
        return IndexStore(folder, read_record(folder / _SETTINGS, _settings_of, _NO_SETTINGS))

    @staticmethod
    def create(folder: Path, settings: IndexSettings) -> IndexStore:
        """The index in a folder, made if there is none.

        Raises:
            DataError: If the folder holds other files, or an index with other settings.
            ModelError: If it holds an index of another encoder.
            OutputError: If it cannot be written.
        """
        if IndexStore.exists(folder):
            store = IndexStore.open(folder)
            store.check_encoder(settings.fingerprint, settings.encoder)
            differences = store.settings.differences(settings)
            if differences:
                raise DataError(
                    f"the index in {folder} was made with other settings: leave out "
                    f"{', '.join(f'{name}=' for name in differences)} to continue with its own, or "
                    "name another folder"
                )
            return store
        make_folder(folder)
        strangers = [path.name for path in listed(folder) if path.name != _LOCK]
        if strangers:
            raise OutputError(
                f"{folder} holds other files, such as {sorted(strangers)[0]!r}; name an empty "
                "folder or a new one"
            )
        record = {"format": FORMAT, "settings": settings.to_record()}
        write_text(folder / _SETTINGS, json.dumps(record, indent=1))
        return IndexStore(folder, settings)

    def check_encoder(self, fingerprint: str, name: str) -> None:
        """Refuse an encoder whose vectors mean something else.

        Raises:
            ModelError: If it is not the one that the index was made with.
        """
        if fingerprint != self.settings.fingerprint:
            raise ModelError(
                f"the index in {self.folder} was made with the encoder {self.settings.encoder!r}, "
                f"and {name!r} has other weights; name the same encoder, or make another index"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing.

        Raises:
            OutputError: If one does so now, or the folder cannot be written.
        """
        with sole_user(
            self.folder / _LOCK,
            f"another process writes the index in {self.folder}; wait for its end, or name another "
            "folder",
            lambda error: (
                f"the index in {self.folder} cannot be written: {reason_of(error)}; name a folder "
                "that you may write to"
            ),
        ):
            yield

    def scenes(self) -> list[IndexedScene]:
        """All scenes, by name.

        Raises:
            DataError: If a record is damaged.
        """
        scenes = (read_record(path, self._scene_of, _NO_SCENE) for path in self._records())
        return sorted(scenes, key=lambda scene: scene.name)

    def readable_scenes(self) -> list[IndexedScene]:
        """The scenes whose records are not damaged: a run makes the others anew."""
        scenes = []
        for path in self._records():
            with suppress(DataError):
                scenes.append(read_record(path, self._scene_of, _NO_SCENE))
        return scenes

    def scene_named(self, name: str) -> IndexedScene | None:
        """A scene by its lasting name; None if the index does not hold it.

        Raises:
            DataError: If its record is damaged.
        """
        path = self.folder / _SCENES / key_of(name) / _SCENE
        return read_record(path, self._scene_of, _NO_SCENE) if path.exists() else None

    def begin(self, scene: IndexedScene) -> tuple[IndexedScene, bool]:
        """Enter a scene; what is known of other content under its name is removed.

        Returns:
            The scene with all levels that the index is to hold, and whether something was removed.

        Raises:
            OutputError: If it cannot be written.
        """
        folder, was_removed = self._folder(scene), False
        older: IndexedScene | None = None
        if (folder / _SCENE).exists():
            try:
                older = read_record(folder / _SCENE, self._scene_of, _NO_SCENE)
            except NoAccessError:
                raise
            except DataError:
                older = None
            if older is not None and replace(older, levels=scene.levels) == scene:
                scene = replace(scene, levels=tuple(sorted({*scene.levels, *older.levels})))
            else:
                _remove_parts(folder)
                was_removed = True
        if scene != older:
            make_folder(folder.parent)
            make_folder(folder)
            write_text(folder / _SCENE, json.dumps(scene.to_record(), indent=1))
        return scene, was_removed

    def remove_unreadable(self) -> int:
        """Remove what belongs to damaged records, of which nobody knows the scene.

        Returns:
            How many records that was.

        Raises:
            OutputError: If a file cannot be removed.
        """
        records = 0
        for path in self._records():
            try:
                read_record(path, self._scene_of, _NO_SCENE)
            except NoAccessError:
                raise
            except DataError:
                _remove_parts(path.parent)
                remove_file(path.parent / _PROBLEM)
                remove_file(path)
                records += 1
        return records

    def note_problem(self, name: str, problem: str) -> None:
        """Keep why a scene of the index could not be read as it is now, or that it could.

        Args:
            name: The lasting name of the scene; nothing is kept of one that the index does not
                hold.
            problem: Why; empty if it was read to its end.

        Raises:
            OutputError: If it cannot be written.
        """
        folder = self.folder / _SCENES / key_of(name)
        if not problem:
            remove_file(folder / _PROBLEM)
        elif (folder / _SCENE).exists():
            record = {"identity": identity_of(name), "problem": problem}
            write_text(folder / _PROBLEM, json.dumps(record, indent=1))

    def problem_of(self, scene: IndexedScene) -> str:
        """Why the last run could not read a scene to its end; empty if another one might."""
        try:
            record = read_record(self._folder(scene) / _PROBLEM, dict, "")
        except DataError:
            return ""
        # a file that was mended since may well be read
        is_present = record.get("identity") == identity_of(scene.name)
        return str(record.get("problem", "")) if is_present else ""

    def part_names(self, scene: IndexedScene, level: int | None = None) -> list[PartName]:
        """The parts of a scene, or of one of its levels, that follow each other from the start."""
        by_level: dict[int, list[PartName]] = {}
        folder = self._folder(scene)
        present = (PartName.of(path.name) for path in listed(folder))
        for name in sorted(each for each in present if each is not None):
            parts = by_level.setdefault(name.level, [])
            end = parts[-1].start + parts[-1].count if parts else 0
            if name.start == end and name.level in scene.levels:
                parts.append(name)
        levels = by_level if level is None else [level]
        return [name for each in levels for name in by_level.get(each, [])]

    def tiles_done(self, scene: IndexedScene, level: int) -> int:
        """How many tiles of a level are there, from its first one on."""
        return sum(name.count for name in self.part_names(scene, level))

    def share_done(self, scene: IndexedScene) -> float:
        """The share of the tiles of a scene that is there, in [0, 1]."""
        total = sum(scene.tile_count(level) for level in scene.levels)
        return sum(name.count for name in self.part_names(scene)) / total

    def write(self, scene: IndexedScene, part: Part) -> int:
        """Add a part; returns its size in bytes.

        Raises:
            OutputError: If it cannot be written.
        """
        return write_part(self._folder(scene), part, self._owner(scene))

    def read(self, scene: IndexedScene, name: PartName) -> Part:
        """One part of a scene.

        Raises:
            DataError: If it is damaged.
        """
        part = read_part(self._folder(scene), name, self._owner(scene))
        if part.vectors.numbers.shape[1] != self.settings.dimension:
            raise DataError(f"{name.file} of {scene.name} holds vectors of another length")
        if name.start + name.count > scene.tile_count(name.level):
            raise DataError(f"{name.file} of {scene.name} holds tiles that the scene does not have")
        return part

    def remove_damaged(self, scene: IndexedScene) -> int:
        """Remove what cannot be used; returns how many tiles are to be read again.

        That is, of each level, the first part that cannot be read and all behind it; and what a
        run that was killed left half written.

        Raises:
            DataError: If the system does not let a file be read: it may be whole.
            OutputError: If a file cannot be removed.
        """
        folder, tiles = self._folder(scene), 0
        usable = set()
        for level in scene.levels:
            for name in self.part_names(scene, level):
                try:
                    self.read(scene, name)
                except NoAccessError:
                    raise
                except DataError:
                    break
                usable.add(name)
        for path in list(folder.iterdir()):
            part = PartName.of(path.name)
            if part is not None and part not in usable:
                tiles += part.count
                remove_file(path)
            elif path.name.startswith(".geofovea-"):
                remove_file(path)
        return tiles

    @property
    def size_bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def _records(self) -> list[Path]:
        folders = listed(self.folder / _SCENES)
        return [record for each in folders if (record := each / _SCENE).exists()]

    def _folder(self, scene: IndexedScene) -> Path:
        return self.folder / _SCENES / scene.key

    def _owner(self, scene: IndexedScene) -> str:
        return f"{self.settings.fingerprint}|{self.settings.tile_size}|{scene.identity}"

    def _scene_of(self, record: Any) -> IndexedScene:
        scene = IndexedScene.from_record(record)
        if scene.tile_size != self.settings.tile_size:
            raise DataError(f"it has tiles of {scene.tile_size} pixels")
        return scene


def _settings_of(record: Any) -> IndexSettings:
    if not isinstance(record, dict):
        raise DataError("it holds no settings")
    if record["format"] != FORMAT:
        raise OtherVersionError(
            f"it has the format {shown(record['format'])}, and this version reads {FORMAT}"
        )
    return IndexSettings.from_record(record["settings"])


def _remove_parts(folder: Path) -> None:
    for path in folder.iterdir():
        if PartName.of(path.name) is not None:
            remove_file(path)
