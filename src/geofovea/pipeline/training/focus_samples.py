"""What a region focus module is taught with: the tokens of one level, and questions about them.

A sample is a function of a seed and of its number, so that a run that was stopped meets the same
ones again. Two sources: worlds that are rendered on the fly, and scene files with questions in the
LRS-VQA format, whose boxes (where a row has any) say where to look.
"""

from __future__ import annotations

import hashlib
import random
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from geofovea.datasets.records.annotations import Record, read_records
from geofovea.datasets.synthetic.questions import Question, ask_about, ask_world
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import check_version, world_of
from geofovea.datasets.synthetic.vocabulary import CATEGORIES
from geofovea.datasets.synthetic.world import World
from geofovea.errors import DataError
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.training.samples import tiles_around
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["FocusSample", "FocusSamples", "RecordSamples", "WorldSamples"]

_SHARE_OF_STRANGERS = 0.5
_FEWEST_TILES, _MOST_TILES = 4, 12
_OPEN_SCENES = 4
_HELD_OUT_SCENES = 5
"""Of files, every scene with this step is for measuring, where there are so many."""


@dataclass(frozen=True, slots=True, eq=False)
class FocusSample:
    """The tokens of one level of one scene, with questions.

    Attributes:
        tokens: n tokens, as a descent would hand them to its focus.
        size: ``(width, height)`` of the scene in pixels.
        questions: q of them.
        boxes: For each question where one has to look, in scene pixels; empty where unknown.
        is_base: Whether this is the whole base level, where every place is as likely as any other.

    Raises:
        DataError: If there is no question or no token, or not one entry of boxes per question.
    """

    tokens: TokenSet
    size: tuple[int, int]
    questions: tuple[str, ...]
    boxes: tuple[tuple[Box, ...], ...]
    is_base: bool

    def __post_init__(self) -> None:
        if not self.questions or len(self.questions) != len(self.boxes) or not len(self.tokens):
            raise DataError(
                f"a sample needs questions, as many entries of boxes, and tokens; got "
                f"{len(self.questions)}, {len(self.boxes)} and {len(self.tokens)}"
            )

    @property
    def right(self) -> Tensor:
        """Which tokens share area with a box of which question, bool ``(q, n)``."""
        corners = self.tokens.boxes_scene
        rows = torch.zeros(len(self.questions), len(self.tokens), dtype=torch.bool)
        for row, boxes in zip(rows, self.boxes, strict=True):
            for box in boxes:
                x0, y0, x1, y1 = box.as_tuple()
                low, high = torch.tensor([x0, y0]), torch.tensor([x1, y1])
                row |= ((corners[:, :2] < high) & (corners[:, 2:] > low)).all(1)
        return rows


class FocusSamples(Protocol):
    """An endless supply of samples."""

    @property
    def name(self) -> str:
        """What tells these samples from others, for the record of a run."""
        ...

    def sample(self, index: int) -> FocusSample:
        """TrainingSample number ``index``, the same whenever it is asked for."""
        ...

    def held_out(self) -> FocusSamples | None:
        """Base levels of scenes that no sample shows; None if there are none to spare."""
        ...


@dataclass(frozen=True)
class WorldSamples:
    """Samples about synthetic worlds, rendered tile by tile.

    Attributes:
        host: What encodes the tiles.
        seed: Of the worlds.
        questions: Most questions of a sample.
        finer: Share of samples about levels below the base level.
        sides: Sides of the scenes in pixels; each sample draws one.
        version: Of the worlds, one of ``VERSIONS``.

    Raises:
        DataError: If there are no questions, no sides, or no such version.
    """

    host: Host
    seed: int = 0
    questions: int = 24
    finer: float = 0.4
    sides: tuple[int, ...] = (4096, 8192, 16384, 24576, 32768, 49152, 65536)
    version: int = 1

    def __post_init__(self) -> None:
        check_version(self.version)
        if self.questions < 1 or not self.sides or not 0 <= self.finer <= 1:
            raise DataError(
                "samples need at least one question, one side, and a share of finer levels in 0 "
                f"to 1; got {self.questions}, {list(self.sides)} and {self.finer}"
            )

    @property
    def name(self) -> str:
        """See `FocusSamples`."""
        sides = ",".join(map(str, self.sides))
        name = f"worlds {self.seed}, sides {sides}, {self.questions} questions, {self.finer} finer"
        # runs of the first version were recorded under this name when there was one
        return name if self.version == 1 else f"{name}, version {self.version}"

    def sample(self, index: int) -> FocusSample:
        """See `FocusSamples`."""
        rng = random.Random(f"geofovea-focus-{self.seed}-{index}")
        side = rng.choice(self.sides)
        world = world_of(self.version, rng.getrandbits(48), side, side)
        pyramid = Pyramid(world.width, world.height, self.host.tile_size)
        tiles, questions = _base_of(pyramid), self._about_all(rng, world)
        is_base = not pyramid.base_level or rng.random() >= self.finer
        if not is_base:
            site = rng.choice(world.named_sites)
            level = rng.randrange(pyramid.base_level)
            count = rng.randint(_FEWEST_TILES, _MOST_TILES)
            about = list(islice(ask_about(world, site, rng), self.questions))
            place = rng.choice(rng.choice(about).places)
            tiles = _each_once(tiles_around(rng, pyramid, level, place, count))
            questions = _mixed(rng, about, questions, self.questions)
        return FocusSample(
            tokens=self._encode(world, pyramid, tiles),
            size=(world.width, world.height),
            questions=tuple(question.text for question in questions),
            boxes=tuple(question.places for question in questions),
            is_base=is_base,
        )

    def held_out(self) -> WorldSamples:
        """See `FocusSamples`; its worlds come from another seed."""
        return replace(self, seed=self.seed + 10**9, finer=0.0)

    def _about_all(self, rng: random.Random, world: World) -> list[Question]:
        per_category = -(-2 * self.questions // len(CATEGORIES))
        questions = ask_world(world, per_category, seed=rng.getrandbits(32))
        return rng.sample(questions, min(self.questions, len(questions)))

    def _encode(self, world: World, pyramid: Pyramid, tiles: list[Tile]) -> TokenSet:
        side = self.host.tile_size
        pixels = np.stack(
            [render_window(world, t.level, t.col * side, t.row * side, side, side) for t in tiles]
        )
        features = self.host.encode(pixels, tiles, pyramid)
        return tokens_of_tiles(features, self.host.grid, tiles, pyramid)


@dataclass(frozen=True)
class RecordSamples:
    """Samples about scene files, with questions in the LRS-VQA format.

    Attributes:
        host: What encodes the tiles.
        root: Folder that images are relative to; scenes are opened when their turn comes.
        by_image: The rows about each image.
        images: Those that samples show.
        spared: Those that none shows; samples about them measure.
        seed: Of the order.
        questions: Most questions of a sample.
        finer: Share of samples about levels below the base level, where rows have boxes.
        name: What tells these samples from others.

    Raises:
        DataError: If there are no questions.
    """

    host: Host
    root: Path
    by_image: Mapping[str, Sequence[Record]]
    images: tuple[str, ...]
    spared: tuple[str, ...]
    seed: int
    questions: int
    finer: float
    name: str
    _sessions: OrderedDict[str, SceneSession] = field(
        init=False, repr=False, compare=False, default_factory=OrderedDict
    )

    def __post_init__(self) -> None:
        if self.questions < 1:
            raise DataError(f"a sample needs at least one question, got {self.questions}")

    @classmethod
    def read(
        cls,
        host: Host,
        annotations: Path,
        *,
        seed: int = 0,
        questions: int = 24,
        finer: float = 0.4,
    ) -> RecordSamples:
        """Samples about the images of a file of annotations, some of them spared for measuring.

        Args:
            host: What encodes the tiles.
            annotations: A file of JSON lines; images are relative to its folder.
            seed: Of the order.
            questions: Most questions of a sample.
            finer: Share of samples about levels below the base level.

        Raises:
            DataError: If the file holds no question, or a row is damaged.
        """
        by_image: dict[str, list[Record]] = {}
        for record in read_records(annotations):
            by_image.setdefault(record.image, []).append(record)
        if not by_image:
            raise DataError(f"{annotations} holds no question; name a file with at least one")
        images = sorted(by_image)
        held_out = images[::_HELD_OUT_SCENES] if len(images) >= _HELD_OUT_SCENES else []
        digest = hashlib.sha256(annotations.read_bytes()).hexdigest()[:16]
        return cls(
            host=host,
            root=annotations.parent,
            by_image=by_image,
            images=tuple(image for image in images if image not in held_out),
            spared=tuple(held_out),
            seed=seed,
            questions=questions,
            finer=finer,
            name=f"records {digest}, order {seed}, {questions} questions, {finer} finer",
        )

    def sample(self, index: int) -> FocusSample:
        """See `FocusSamples`; each pass over the scenes has an order of its own."""
        turn, place = divmod(index, len(self.images))
        order = random.Random(f"geofovea-scenes-{self.seed}-{turn}")
        image = order.sample(self.images, len(self.images))[place]
        rng = random.Random(f"geofovea-records-{self.seed}-{index}")
        session, records = self._session(image), self.by_image[image]
        asked_records = rng.sample(records, min(self.questions, len(records)))
        pyramid = session.pyramid
        boxes = [places for record in asked_records if (places := _places(record))]
        is_base = not boxes or not pyramid.base_level or rng.random() >= self.finer
        tiles = _base_of(pyramid)
        if not is_base:
            level = rng.randrange(pyramid.base_level)
            around = rng.choice(rng.choice(boxes))
            count = rng.randint(_FEWEST_TILES, _MOST_TILES)
            tiles = _each_once(tiles_around(rng, pyramid, level, around, count))
        return FocusSample(
            tokens=session.tokens(tiles),
            size=(pyramid.width, pyramid.height),
            questions=tuple(record.question for record in asked_records),
            boxes=tuple(_places(record) for record in asked_records),
            is_base=is_base,
        )

    def held_out(self) -> RecordSamples | None:
        """See `FocusSamples`; every fifth scene, where there are five."""
        if not self.spared:
            return None
        name = f"{self.name}, held out"
        return replace(self, images=self.spared, spared=(), finer=0.0, name=name)

    def _session(self, image: str) -> SceneSession:
        if image not in self._sessions:
            self._sessions[image] = SceneSession(open_scene(self.root / image), self.host)
        self._sessions.move_to_end(image)
        while len(self._sessions) > _OPEN_SCENES:
            self._sessions.popitem(last=False)
        return self._sessions[image]


def _base_of(pyramid: Pyramid) -> list[Tile]:
    return list(pyramid.tiles(pyramid.base_level))


def _each_once(tiles: list[Tile]) -> list[Tile]:
    return list(dict.fromkeys(tiles))


def _mixed(
    rng: random.Random, about: list[Question], others: list[Question], count: int
) -> list[Question]:
    """Questions about what is shown and about other places: what both attend to is no answer."""
    strangers = min(len(others), round(_SHARE_OF_STRANGERS * count))
    return [*about[: count - strangers], *rng.sample(others, strangers)]


def _places(record: Record) -> tuple[Box, ...]:
    """Where a row says that one has to look; a synthetic row may name several places."""
    return tuple(_boxes(record.more.get("places"), record)) or ((record.box,) if record.box else ())


def _boxes(places: Any, record: Record) -> Iterator[Box]:
    for corners in places or ():
        try:
            x0, y0, x1, y1 = (float(c) for c in corners)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"the places of {record.question_id} must be [x0, y0, x1, y1] each, got {corners!r}"
            ) from error
        yield Box(x0, y0, x1, y1)
