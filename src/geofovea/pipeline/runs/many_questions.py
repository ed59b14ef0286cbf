"""Many questions about one open scene: answered in batches, each reported as soon as it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.hosts.base import SupportsBatching
from geofovea.pipeline.runs.outcome import OF_THE_RUN
from geofovea.pipeline.runs.workers import BATCH_QUESTIONS
from geofovea.pipeline.session.question_lines import QuestionLine, open_questions
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.system.failure import failure_of
from geofovea.pipeline.system.interruption import shielded
from geofovea.tiling.pyramid import Box

__all__ = ["ManyQuestions", "Tally"]


@dataclass(slots=True)
class Tally:
    """How far many questions have come.

    Attributes:
        answered: Questions that were answered and told.
        failed: Questions that were told to have failed.
    """

    answered: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class ManyQuestions:
    """Questions about one scene, and how they are asked.

    Attributes:
        session: Of the scene.
        settings: How.
        boxes: Where the evidence is, for all of them.
        choices: Answers to choose from, for all of them.
    """

    session: SceneSession
    settings: AskSettings
    boxes: Sequence[Box] = ()
    choices: Sequence[str] = ()

    def ask(
        self,
        words: Sequence[str],
        files: Sequence[Path | None],
        tell: Callable[[str, Answer | Exception], None],
        tally: Tally,
    ) -> None:
        """Ask all of them; only those that are answered together are held at a time.

        Args:
            words: Questions.
            files: Files of more, one a line; None for standard input.
            tell: Takes each question with its answer, or why there is none, in their order.
            tally: Is kept up to date.

        Raises:
            GeoFoveaError: If no question can be answered as things are: a full disk, a used up
                spend limit. Those before were told.
        """
        most = self._batch_size
        lines = [QuestionLine(text) for text in words]
        for start in range(0, len(lines), most):
            self._ask(lines[start : start + most], tell, tally)
        for path in files:
            with open_questions(path, most) as groups:
                self._ask_groups(groups, tell, tally)

    def _ask_groups(
        self,
        groups: Iterable[Sequence[QuestionLine]],
        tell: Callable[[str, Answer | Exception], None],
        tally: Tally,
    ) -> None:
        for group in groups:
            self._ask(group, tell, tally)

    @property
    def _batch_size(self) -> int:
        """How many gain by being asked together; none waits for others that it gains nothing by."""
        host = self.session.host
        request = self.settings.request(host, "")
        return (
            BATCH_QUESTIONS if isinstance(host, SupportsBatching) and request.can_be_batched else 1
        )

    def _ask(
        self,
        group: Sequence[QuestionLine],
        tell: Callable[[str, Answer | Exception], None],
        tally: Tally,
    ) -> None:
        outcomes = list(self._ends(group))
        # what was computed is told before a signal ends this process
        with shielded():
            for line, end in zip(group, outcomes, strict=True):
                if isinstance(end, OF_THE_RUN):
                    raise end
                tell(line.text, end)
                tally.failed += isinstance(end, Exception)
                tally.answered += not isinstance(end, Exception)

    def _ends(self, group: Sequence[QuestionLine]) -> Iterator[Answer | Exception]:
        host = self.session.host
        requests = [
            self.settings.request(host, line.text, boxes=self.boxes, choices=self.choices)
            for line in group
            if line.error is None
        ]
        try:
            answers = iter(self.session.answer_many(requests))
        except BaseException as error:
            failure = failure_of(error)
            answers = iter([failure] * len(requests))
        for line in group:
            yield next(answers) if line.error is None else line.error
