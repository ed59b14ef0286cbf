"""A calibration: rank layers and heads, try modes, choose one, and measure the choice.

Looks are divided into three parts, and no look is in two of them. The first part ranks layers and
heads, the second chooses among the modes, and the third measures how well the chosen mode points.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.errors import BudgetError
from geofovea.pipeline.calibration.candidates import (
    UNCALIBRATED,
    ModeScore,
    candidate_modes,
    choose_mode,
    mode_hits,
)
from geofovea.pipeline.calibration.journal import Journal
from geofovea.pipeline.calibration.pointing import (
    LookReader,
    LookRows,
    mean_interval,
    pointing_looks,
)
from geofovea.pipeline.calibration.ranking import RowRanking, look_record
from geofovea.pipeline.training.focus_samples import FocusSamples, WorldSamples
from geofovea.regionfocus.attention_mode import MOST_HALVINGS, WORDINGS, AttentionMode

__all__ = ["Calibration", "CalibrationBudget", "calibrate", "calibration_samples"]

JOURNAL = "calibration.jsonl"
_QUESTIONS_A_LOOK = 8
_SIDES = (4096, 8192, 16384)
_SEED = 500_000_000
_PARTS = 3


@dataclass(frozen=True, slots=True)
class CalibrationBudget:
    """What a calibration may spend.

    Attributes:
        looks: Looks of each of its three parts, each with up to eight questions.
        tokens: Vision tokens that may be run, those of earlier runs included.
        seconds: Of this run; what was measured until then is kept.

    Raises:
        BudgetError: If nothing could be measured with it.
    """

    looks: int = 8
    tokens: int = 2_000_000
    seconds: float | None = None

    def __post_init__(self) -> None:
        positive = self.looks >= 2 and self.tokens >= 1
        if not positive or (self.seconds is not None and not self.seconds > 0):
            limit = "" if self.seconds is None else f", seconds={self.seconds}"
            raise BudgetError(
                "a calibration needs at least two looks a part, and tokens and seconds above 0; "
                f"got looks={self.looks}, tokens={self.tokens}{limit}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a calibration found.

    Attributes:
        chosen: Name of the mode.
        ranking: Of layers and heads.
        choice: Scores on the looks that chose, by name of the mode.
        report: Scores on the looks that report, by name of the mode.
        tokens: Vision tokens that were run.
        seconds: Of all looks, those of earlier runs included.
    """

    chosen: str
    ranking: RowRanking
    choice: Mapping[str, ModeScore]
    report: Mapping[str, ModeScore]
    tokens: int
    seconds: float

    @property
    def mode(self) -> AttentionMode:
        """The mode that was chosen."""
        return self.report[self.chosen].mode

    @property
    def questions(self) -> int:
        """Questions of the looks that report."""
        return sum(map(len, self.report[self.chosen].hits))

    def accuracy(self, name: str | None = None) -> tuple[float, float, float]:
        """Held-out pointing accuracy and its 95 % interval, of the chosen mode by default."""
        return mean_interval(self.report[name or self.chosen].hits)

    @property
    def uncalibrated(self) -> tuple[float, float, float]:
        """The same of the mode that the host has without calibration."""
        return self.accuracy(UNCALIBRATED)


def calibration_samples(host: Any) -> WorldSamples:
    """Whole base levels of synthetic worlds that neither training nor benches show.

    Every search begins with such a look, and everything that a question can name is on it.
    """
    return WorldSamples(host, seed=_SEED, questions=_QUESTIONS_A_LOOK, finer=0.0, sides=_SIDES)


def calibrate(
    host: Any,
    folder: Path,
    budget: CalibrationBudget,
    settings: Mapping[str, Any],
    on_progress: Callable[[float], None] = lambda _: None,
    samples: FocusSamples | None = None,
) -> Calibration:
    """Measure a host; the same call resumes where an earlier one was stopped.

    Args:
        host: See `LookReader`.
        folder: An existing folder, for the journal.
        budget: What may be spent.
        settings: What the measurements depend on beside the budget: the model and its weights.
        on_progress: Takes the share that is done.
        samples: What is looked at; synthetic worlds if None.

    Raises:
        BudgetError: If the budget ends before all looks were taken.
        DataError: If the folder holds another calibration.
        ModelError: If the attention of the host cannot be read.
    """
    samples = samples or calibration_samples(host)
    described = {
        **settings,
        "samples": samples.name,
        "looks": budget.looks,
        # records hold hits of modes, which depend on them
        "wordings": list(WORDINGS),
        "early": True,
        "halvings": MOST_HALVINGS,
    }
    journal = Journal(folder / JOURNAL, described)
    walk = _Walk(host, samples, budget, journal, on_progress)
    ranked = walk.part(0, lambda rows: look_record(rows))
    ranking = RowRanking.of(ranked)
    modes = candidate_modes(
        ranking,
        host.default_attention_mode,
        walk.reader.layers,
        reuses_prefix=bool(host.reuses_prefix),
    )
    choice, report = (
        ModeScore.of_each(modes, walk.part(part, lambda rows: {"hits": mode_hits(rows, modes)}))
        for part in (1, 2)
    )
    seconds = sum(float(record["seconds"]) for record in journal.records.values())
    return Calibration(choose_mode(choice), ranking, choice, report, journal.tokens, seconds)


class _Walk:
    """Takes looks that the journal does not have."""

    def __init__(
        self,
        host: Any,
        samples: FocusSamples,
        budget: CalibrationBudget,
        journal: Journal,
        on_progress: Callable[[float], None],
    ) -> None:
        self.reader = LookReader(host, budget.tokens, journal.tokens)
        self._samples, self._budget, self._journal = samples, budget, journal
        self._on_progress = on_progress
        self._started = time.monotonic()

    def part(
        self, part: int, measure: Callable[[LookRows], dict[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """The records of the looks of one part."""
        looks = self._budget.looks
        records = []
        for place in range(looks):
            key = f"{part}-{place}"
            if key not in self._journal.records:
                self._check_time()
                self._journal.add(key, self._measured(part + _PARTS * place, measure))
            records.append(self._journal.records[key])
            self._on_progress((part * looks + place + 1) / (_PARTS * looks))
        with_questions = [record for record in records if record["questions"]]
        if len(with_questions) < 2:
            raise BudgetError(
                "too few looks single an object out to calibrate by; allow more with looks="
            )
        return with_questions

    def _measured(
        self, number: int, measure: Callable[[LookRows], dict[str, Any]]
    ) -> dict[str, Any]:
        began = time.monotonic()
        for look in pointing_looks(self._samples, [number]):
            rows = self.reader.read(look)
            record = {"questions": len(look.questions), "tokens": rows.tokens, **measure(rows)}
            return record | {"seconds": round(time.monotonic() - began, 3)}
        return {"questions": 0, "tokens": 0, "seconds": 0.0}

    def _check_time(self) -> None:
        limit = self._budget.seconds
        if limit is not None and time.monotonic() - self._started > limit:
            raise BudgetError(
                f"the {limit:g} s allowed are over, and {len(self._journal.records)} of "
                f"{_PARTS * self._budget.looks} looks are measured: run the same command again to "
                "continue"
            )
