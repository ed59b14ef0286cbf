"""What a batch is going to ask: rows of scenes, times questions, times polygons."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from geofovea._plurals import counted
from geofovea.datasets.inputs.manifest import ManifestRow, check_ids
from geofovea.datasets.inputs.region_files import NamedRegion
from geofovea.errors import DataError, GeometryError, SceneError
from geofovea.pipeline.runs.item import Item, ItemKey
from geofovea.pipeline.runs.scene_worker import BEFORE, PLANNED, PLANNED_BEFORE
from geofovea.tiling.files.stamp import scene_identity
from geofovea.tiling.geo.region import AmbiguousRegionError, OutsideSceneError
from geofovea.tiling.remote.names import doubtful_secrets, is_remote_name

__all__ = ["BatchPlan", "PlannedRow", "plan_batch"]


@dataclass(frozen=True, slots=True)
class PlannedRow:
    """One row of the results to be.

    Attributes:
        id: Its name, unlike any other row's.
        scene: Path, or URL without secrets.
        question: What is asked.
        region: Name of the polygon that it is restricted to, None for the whole scene.
        item: What is worked on; rows that ask the same of the same scene share it.
        problem: Why the row fails without being asked; empty where it is asked.
    """

    id: str
    scene: str
    question: str
    region: str | None
    item: Item
    problem: str = ""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """All rows, scene by scene.

    Attributes:
        rows: In the order in which they are asked and written.
        notes: What was left out, for people.
    """

    rows: tuple[PlannedRow, ...]
    notes: tuple[str, ...] = ()

    @property
    def items(self) -> list[Item]:
        """What is worked on."""
        return [row.item for row in self.rows if not row.problem]


def plan_batch(
    rows: Sequence[ManifestRow],
    questions: Sequence[str],
    regions: Sequence[NamedRegion],
    configuration: str,
    access: Mapping[str, Any],
) -> BatchPlan:
    """Cross rows with questions and polygons.

    Files whose names are not UTF-8 text are left out with a note, unless a table or a catalog names
    them: no result could name them either. Questions are asked of rows that bring none. Polygons
    restrict rows that bring none; each scene is asked about those that it shows, and a polygon that
    no scene shows is noted.

    Args:
        rows: Scenes, perhaps with questions.
        questions: For rows without one.
        regions: For rows without one.
        configuration: Hash of the settings.
        access: What ``open_scene`` may open.

    Raises:
        DataError: If a row has no question, no scene shows any polygon, every row brings what is
            given for rows without it, or no name of a file is UTF-8 text.
    """
    rows, name_notes = _with_text_names(rows)
    for name, given, own in (("question", questions, "question"), ("regions", regions, "region")):
        if given and all(getattr(row, own) is not None for row in rows):
            raise DataError(
                f"{name}= is for rows that bring no {own}, and every row brings its own; leave out "
                f"{name}="
            )
    placed: list[tuple[ManifestRow, str | None]] = []
    for row in rows:
        if row.question is None and not questions and not row.problem:
            raise DataError(
                f"{row.origin or row.name}: has no question; ask all scenes one with question="
            )
        several = row.question is None and len(questions) > 1
        for number, question in enumerate([row.question] if row.question else questions, 1):
            name = f"{row.id}#{number}" if several else row.id
            placed.append((replace(row, id=name, question=question), None))
    unasked = {row.scene for row in rows if row.problem}
    scenes = dict.fromkeys(row.scene for row in rows)
    # before any of them is opened: what changes from here on is noticed by who asks
    identities = {s: s if s in unasked else scene_identity(s) for s in scenes}
    notes: tuple[str, ...] = ()
    if regions:
        placed, notes = _with_regions([row for row, _ in placed], regions, access)
    check_ids(row for row, _ in placed)
    # scene by scene, in the order of their first rows
    order = {identity: place for place, identity in enumerate(dict.fromkeys(identities.values()))}
    placed.sort(key=lambda pair: order[identities[pair[0].scene]])
    texts = _RegionTexts()
    planned = [_planned(r, name, identities[r.scene], configuration, texts) for r, name in placed]
    return BatchPlan(tuple(planned), (*name_notes, *notes, *_same_name_notes(rows)))


def _with_text_names(rows: Sequence[ManifestRow]) -> tuple[list[ManifestRow], tuple[str, ...]]:
    """Rows without files whose names no result could hold, and a note on these."""
    odd: list[ManifestRow] = []
    kept: list[ManifestRow] = []
    for row in rows:
        is_listed = row.origin or row.problem
        (kept if is_listed or _is_text(row.scene) else odd).append(row)
    if not odd:
        return kept, ()
    note = (
        f"{counted(len(odd), 'file')} with a name that is not UTF-8 text, such as "
        f"{odd[0].scene!r:.200}; rename {'it' if len(odd) == 1 else 'them'}"
    )
    if not kept:
        raise DataError(f"there is nothing but {note}")
    return kept, (note,)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _same_name_notes(rows: Sequence[ManifestRow]) -> Iterator[str]:
    """Notes on URLs that are taken for one scene although they may be two."""
    scenes_by_name: dict[str, dict[str, str]] = {}
    for row in rows:
        if is_remote_name(row.scene):
            doubtful = doubtful_secrets(row.scene)
            first = scenes_by_name.setdefault(row.name, doubtful)
            if names := sorted(n for n in doubtful if first.get(n, doubtful[n]) != doubtful[n]):
                yield (
                    f"{row.id}: taken for the same scene as another URL, from which it differs in "
                    f"{', '.join(names)}, as a secret does"
                )


class _RegionTexts:
    """The WKB of polygons and its digest: one for all rows of a polygon, which may be large."""

    def __init__(self) -> None:
        # the geometry is kept, so that no other can have its id
        self._by_region: dict[
            tuple[int, str | None], tuple[Any, tuple[bytes, str | None], str]
        ] = {}

    def of(self, geometry: Any, crs: str | None) -> tuple[tuple[bytes, str | None], str]:
        """``((WKB, CRS), digest)``."""
        key = (id(geometry), crs)
        if key not in self._by_region:
            wkb = geometry.wkb
            digest = hashlib.sha256(wkb + (crs or "").encode()).hexdigest()[:16]
            self._by_region[key] = geometry, (wkb, crs), digest
        return self._by_region[key][1:]


def _planned(
    row: ManifestRow,
    region_name: str | None,
    identity: str,
    configuration: str,
    texts: _RegionTexts,
) -> PlannedRow:
    question = row.question or ""
    problem = _problem_of_text(row.scene, question, row.before)
    if row.problem:
        problem = f"DataError: {row.problem}"
    region, within = None, ""
    payload: dict[str, Any] = {"question": question}
    if row.before:
        # as long as the scene of an earlier date stays as it is, the answer does, too
        identity_before = scene_identity(row.before)
        within = f"\nafter {identity_before}"
        payload |= {BEFORE: row.before, PLANNED_BEFORE: identity_before}
    if row.region is not None:
        region, digest = texts.of(row.region, row.region_crs)
        within += f"\nwithin {digest}"
    key = ItemKey(_storable(identity), _storable(question + within), configuration)
    item = Item(key, row.scene, payload | {"region": region, PLANNED: identity})
    name = region_name if region_name or row.region is None else row.id
    return PlannedRow(
        id=_storable(row.id),
        scene=_storable(row.name),
        question=_storable(question),
        region=None if name is None else _storable(name),
        item=item,
        problem=_storable(problem),
    )


def _storable(text: str) -> str:
    r"""A text that files can hold: bytes of a name that are no UTF-8 are written as ``\udce9``."""
    return text.encode("utf-8", "backslashreplace").decode()


def _problem_of_text(scene: str, question: str, before: str) -> str:
    """Why a row cannot be asked, as far as its characters tell."""
    names = (("name of the scene", scene), ("name of the earlier scene", before))
    for what, text in (*names, ("question", question)):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            help_ = "write the question again" if text is question else "rename the file"
            return (
                f"DataError: the {what} is not UTF-8 text at character {error.start + 1}: "
                f"{text!r:.200}; {help_}"
            )
    return ""


def _with_regions(
    rows: Sequence[ManifestRow], regions: Sequence[NamedRegion], access: Mapping[str, Any]
) -> tuple[list[tuple[ManifestRow, str | None]], tuple[str, ...]]:
    names: dict[str, str] = {}
    for region in regions:
        if region.name in names:
            raise DataError(
                f"the polygon name {region.name!r} occurs twice: in {names[region.name]} and in "
                f"{region.origin}; name another column, or none"
            )
        names[region.name] = region.origin
    pairs: list[tuple[ManifestRow, str | None]] = []
    visible_names: set[str] = set()
    visibility: dict[str, Callable[[NamedRegion], bool]] = {}
    for row in rows:
        if row.region is not None or row.problem:
            pairs.append((row, None))
            continue
        if row.scene not in visibility:
            visibility[row.scene] = _shows(row.scene, access)
        for region in regions:
            if visibility[row.scene](region):
                visible_names.add(region.name)
                placed = replace(
                    row,
                    id=f"{row.id}@{region.name}",
                    region=region.geometry,
                    region_crs=region.crs,
                )
                pairs.append((placed, region.name))
    nowhere = [region for region in regions if region.name not in visible_names]
    if not pairs:
        raise DataError(_nowhere(regions[0], len(regions)))
    notes = [f"{region.origin} ({region.name}): no scene shows this polygon" for region in nowhere]
    return pairs, tuple(notes)


def _nowhere(region: NamedRegion, count: int) -> str:
    """That no scene shows a polygon, with the CRS and the numbers of the first."""
    which = "the polygon lies" if count == 1 else f"none of the {count} polygons lies"
    place = "none" if count == 1 else "any"
    if region.geometry is None:
        return f"{region.origin}: has no geometry; remove the row"
    return (
        f"{which} in {place} of the scenes: check the CRS and that longitude comes first "
        f"({region.origin}: {region.extent})"
    )


def _shows(scene_name: str, access: Mapping[str, Any]) -> Callable[[NamedRegion], bool]:
    """Whether a scene shows a polygon; one that cannot be opened is asked, and fails as a row."""
    from geofovea.tiling.opening import open_scene

    try:
        scene = open_scene(scene_name, **access)
    except SceneError:
        return lambda region: region.geometry is not None

    def shows(region: NamedRegion) -> bool:
        if region.geometry is None:
            raise DataError(f"{region.origin}: has no geometry; remove the row")
        try:
            region.on(scene)
        except OutsideSceneError:
            return False
        except AmbiguousRegionError:
            raise  # the same for all rows, and one option answers it
        except GeometryError:
            return True  # it fails its own row, with its reason
        return True

    return shows
