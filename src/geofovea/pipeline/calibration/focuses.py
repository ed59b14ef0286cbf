"""Compares the ways to focus on a host: how well each points, and what it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import BudgetError
from geofovea.pipeline.calibration.pointing import hits_of, mean_interval
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.focus.factory import FocusFactory
from geofovea.pipeline.hosts.base import Host, SupportsImages
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pyramid import Box

__all__ = ["FocusScore", "focuses_of", "measure_focuses"]

_SIDE = 2048
_FIRST_WORLD = 700_000


@dataclass(frozen=True, slots=True)
class FocusScore:
    """How well one focus points at objects on base levels, and what it costs.

    Attributes:
        focus: One of ``attention``, ``similarity``, ``prompted``.
        hits: 1 or 0 for each question, by scene.
        seconds: Mean wall time of a question.
        tokens: Mean vision tokens that the host was shown for a question.
    """

    focus: str
    hits: tuple[tuple[int, ...], ...]
    seconds: float
    tokens: float

    @property
    def accuracy(self) -> tuple[float, float, float]:
        """Share of the questions whose best token touches the object, with its 95 % interval."""
        return mean_interval(self.hits)


def focuses_of(host: Host, focus_model: str | None) -> tuple[str, ...]:
    """The focuses that a host has: its own attention, pictures that it is asked about, a model."""
    names = ["attention"] if host.capabilities.attention else []
    names += ["prompted"] if isinstance(host, SupportsImages) else []
    return (*names, *(["similarity"] if focus_model else []))


def measure_focuses(
    host: Host,
    names: Sequence[str],
    folder: Path,
    *,
    scenes: int,
    focus_model: str | None = None,
    seconds: float | None = None,
) -> list[FocusScore]:
    """Point at the same objects with each focus.

    Args:
        host: The model.
        names: Focuses; see `focuses_of`.
        folder: For the scenes, which are used again.
        scenes: How many of them.
        focus_model: Folder or hub id of the dual encoder of ``similarity``.
        seconds: No question is begun later than this.

    Raises:
        BudgetError: If the time ends before every focus was measured.
        OutputError: If a scene cannot be written.
    """
    started = time.monotonic()
    hits: dict[str, list[tuple[int, ...]]] = {name: [] for name in names}
    seconds_of = dict.fromkeys(names, 0.0)
    tokens_of = dict.fromkeys(names, 0)
    for session, questions, tokens in _base_looks(host, folder, scenes):
        for name in names:
            of_scene = []
            for question, box in questions:
                if seconds is not None and time.monotonic() - started > seconds:
                    raise BudgetError(
                        f"the {seconds:g} s allowed are over before all focuses were measured: "
                        "allow more with seconds=, or ask for fewer looks="
                    )
                usage, began = QuestionUsage(), time.monotonic()
                scores = _scores(session, name, question, tokens, usage, focus_model)
                seconds_of[name] += time.monotonic() - began
                # a picture of all tiles goes with each request
                is_shown_all = name == "prompted"
                tokens_of[name] += len(tokens) if is_shown_all else usage.tokens_scored
                of_scene.append(int(hits_of(scores, _touching(tokens, box))))
            hits[name].append(tuple(of_scene))
    counts = {name: sum(map(len, groups)) for name, groups in hits.items()}
    return [
        FocusScore(
            name, tuple(groups), seconds_of[name] / counts[name], tokens_of[name] / counts[name]
        )
        for name, groups in hits.items()
        if counts[name]
    ]


def _base_looks(
    host: Host, folder: Path, scenes: int
) -> Iterator[tuple[SceneSession, list[tuple[Question, Box]], TokenSet]]:
    for seed in range(_FIRST_WORLD, _FIRST_WORLD + scenes):
        world = make_world(seed, _SIDE, _SIDE)
        path = folder / f"scene_{_SIDE}_{seed}.tif"
        if not path.exists():
            write_scene(world, path)
        session = SceneSession(open_scene(path), host)
        questions = [(q, q.box) for q in ask_world(world, 1) if q.box is not None]
        pyramid = session.pyramid
        yield session, questions, session.tokens(list(pyramid.tiles(pyramid.base_level)))


def _scores(
    session: SceneSession,
    name: str,
    question: Question,
    tokens: TokenSet,
    usage: QuestionUsage,
    focus_model: str | None,
) -> Tensor:
    calls = DirectCalls(session.host, session.tiles)
    focus = FocusFactory(session.host, session.reader).make(
        name,
        question.text,
        calls,
        usage,
        focus_model=focus_model if name == "similarity" else None,
    )
    return focus.score(tokens).float().cpu()


def _touching(tokens: TokenSet, box: Box) -> Tensor:
    x0, y0, x1, y1 = box.as_tuple()
    low, high = tokens.boxes_scene[:, :2], tokens.boxes_scene[:, 2:]
    corner, end = low.new_tensor([x0, y0]), low.new_tensor([x1, y1])
    return ((low < end) & (high > corner)).all(1)
