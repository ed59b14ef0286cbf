"""Runs many items, with a journal, so that nothing is lost and nothing is done twice.

Batches and evaluation runs are the same here: items that have a key, a group and a payload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from geofovea.errors import GeoFoveaError, OutputError, RunError, SceneChangedError
from geofovea.pipeline.runs.executors.base import Executor
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.item import Item, ItemKey
from geofovea.pipeline.runs.item_queue import ItemQueue
from geofovea.pipeline.runs.journal import Entry, Journal
from geofovea.pipeline.runs.lookahead import with_lookahead
from geofovea.pipeline.runs.outcome import Answered, Failed, Halted, Result, TimedOut, WorkerDied
from geofovea.pipeline.system.interruption import shielded

__all__ = ["MAX_TRIES", "RunCounts", "run_items"]

MAX_TRIES = 3
"""How many workers may die over one item before it is given up."""

_DEATHS_BEFORE_READY = 3
# what failed so is not to blame: the file that was planned may be back
_PASSING = f"{SceneChangedError.__name__}:"


@dataclass(frozen=True, slots=True)
class RunCounts:
    """How far a run has come; every item with a key of its own counts once.

    Attributes:
        planned: Items of the run.
        earlier: Answered or failed for good before this run began.
        answered: Answered in this run.
        failed: Failed in this run.
        deaths: Workers that died and were replaced.
        overdue: Workers that were ended because their item took too long, and were replaced.
        stopped: Whether the run ended early because too many items failed.
    """

    planned: int
    earlier: int
    answered: int = 0
    failed: int = 0
    deaths: int = 0
    overdue: int = 0
    stopped: bool = False

    @property
    def remaining(self) -> int:
        """Items that still have to be worked on."""
        return self.planned - self.earlier - self.answered - self.failed

    def shown_by(self, advance: Callable[[int, str], None]) -> None:
        """Tell a ``counting_bar`` how far the run has come."""
        failed = f"{self.failed} failed" if self.failed else ""
        advance(self.planned - self.remaining, failed)


def run_items(
    items: Sequence[Item],
    journal: Journal,
    executor: Executor,
    *,
    retry_failed: bool = False,
    max_failures: int | None = None,
    max_tries: int = MAX_TRIES,
    batch_size: int = 1,
    report: Callable[[RunCounts], None] | None = None,
) -> RunCounts:
    """Answer every item that the journal does not know the end of.

    Each end is on disk, in the journal, before that worker is given its next item. Items that
    were in hand when an earlier run died come last, and this process does not work on them itself:
    if it died over an item it could neither give it up nor write results.

    An interrupt ends the run at once. What was answered is in the journal then, and what was in
    hand is as if it had never been begun.

    Args:
        items: Those of one group stand together or not, as they like. Their keys name the
            configuration that the journal has adopted.
        journal: Held by this process.
        executor: Not entered yet; where nothing is left to do, no worker is started.
        retry_failed: Work on items again that failed before.
        max_failures: Stop when this many items have failed in this run; None never stops.
        max_tries: How many workers may die over one item.
        batch_size: How many items of a group a worker may answer together; see ``Lookahead``. A
            group over which a worker died goes on one by one.
        report: Called with the counts at the beginning and after each item.

    Returns:
        The counts at the end.

    Raises:
        RunError: If workers die before they are ready, or cannot do any item.
        OutputError: If the journal cannot be written. All answers before are in it.
        Interrupted: If a signal asks this process to end, and those are watched.
    """
    if batch_size < 1:
        raise RunError(f"items are answered 1 at a time or more, got batch_size={batch_size}")
    if max_failures is not None and max_failures < 1:
        raise RunError(f"a run may stop after 1 failure or more, got max_failures={max_failures}")
    distinct = {item.key: item for item in items}
    entries: dict[ItemKey, Entry] = {}
    for configuration in {key.configuration for key in distinct}:
        entries |= journal.entries(configuration)
    todo = [i for key, i in distinct.items() if _is_open(entries.get(key), retry_failed)]
    started = {key for key, entry in entries.items() if entry.state == "begun"}
    fresh = [item for item in todo if item.key not in started]
    suspect = [item for item in todo if item.key in started]
    if suspect and isinstance(executor, InProcessExecutor):
        executor = executor.apart()
    run = _Run(
        journal, executor, max_failures, max_tries, len(distinct), len(todo), batch_size, report
    )
    if todo:
        run.work_off(ItemQueue(fresh, last=suspect))
    return run.counts


def _is_open(entry: Entry | None, retry_failed: bool) -> bool:
    if entry is None or entry.state == "begun":
        return True
    return entry.state == "failed" and (retry_failed or (entry.error or "").startswith(_PASSING))


class _Run:
    """The loop of one run and what it has counted."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        max_failures: int | None,
        max_tries: int,
        planned: int,
        todo: int,
        batch_size: int,
        report: Callable[[RunCounts], None] | None,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._max_failures = max_failures
        self._max_tries = max_tries
        self._planned = planned
        self._todo = todo
        self._report = report
        self._ends: Counter[str] = Counter()
        self._deaths_of: Counter[ItemKey] = Counter()
        self._deaths_before_ready = 0
        self._halted = ""
        self._batch_size = batch_size
        self._perilous: set[str] = set()
        self._deaths_over: Counter[str] = Counter()
        self._fruitful: set[str] = set()
        self._tell()

    @property
    def counts(self) -> RunCounts:
        return RunCounts(
            planned=self._planned,
            earlier=self._planned - self._todo,
            answered=self._ends["answered"],
            failed=self._ends["failed"],
            deaths=self._ends["deaths"],
            overdue=self._ends["overdue"],
            stopped=self._is_stopped,
        )

    @property
    def _is_stopped(self) -> bool:
        return self._max_failures is not None and self._ends["failed"] >= self._max_failures

    def work_off(self, queue: ItemQueue) -> None:
        in_hand: dict[int, Item] = {}
        with self._executor as executor:
            try:
                self._work_off(executor, queue, in_hand)
            finally:
                with shielded(), suppress(GeoFoveaError):
                    self._wind_up(executor, queue, in_hand)

    def _work_off(self, executor: Executor, queue: ItemQueue, in_hand: dict[int, Item]) -> None:
        results: list[tuple[int, Result]] = []
        gone: set[int] = set()
        while True:
            # a signal waits until the journal and the items in hand agree
            with shielded():
                with self._journal.together():
                    for worker, result in results:
                        if self._settle(in_hand.pop(worker), result, queue):
                            gone.add(worker)
                    handed_out = self._handed_out(executor, queue, in_hand)
                if results:
                    self._tell()
                if self._halted and not in_hand:
                    raise RunError(self._halted)
                if not in_hand or self._is_stopped:
                    return
                # not before there is something to do for it: loading a model takes long
                for worker in gone & handed_out.keys():
                    executor.replace(worker)
                gone -= handed_out.keys()
                for worker, item in handed_out.items():
                    executor.give(worker, self._with_batch(worker, item, queue))
            results = list(executor.results())

    def _handed_out(
        self, executor: Executor, queue: ItemQueue, in_hand: dict[int, Item]
    ) -> Mapping[int, Item]:
        """Note who works on what next."""
        handed_out: dict[int, Item] = {}
        is_over = self._is_stopped or bool(self._halted)
        for worker in range(0 if is_over else executor.size):
            if worker not in in_hand and (item := self._next(worker, queue)) is not None:
                self._journal.begin(item.key)
                in_hand[worker] = handed_out[worker] = item
        return handed_out

    def _next(self, worker: int, queue: ItemQueue) -> Item | None:
        """The next item for a worker; those of a group that only ends workers are given up."""
        while (item := queue.take(worker)) is not None:
            deaths = self._deaths_over[item.group]
            if item.group in self._fruitful or deaths < self._max_tries**2:
                return item
            self._journal.begin(item.key)
            self._fail(
                item, f"RunError: not tried: workers died {deaths} times over others about the same"
            )
        return None

    def _wind_up(self, executor: Executor, queue: ItemQueue, in_hand: Mapping[int, Item]) -> None:
        """Keep what is there at an early end, and put back what nobody works on any more."""
        with self._journal.together():
            for worker, item in in_hand.items():
                result = executor.ready_result(worker, item)
                if isinstance(result, Answered | Failed):
                    self._settle(item, result, queue)
                else:
                    self._journal.put_back(item.key)
            for worker in in_hand:
                for item in queue.ahead(worker, self._batch_size):
                    if isinstance(result := executor.ready_result(worker, item), Answered | Failed):
                        self._journal.begin(item.key)
                        self._settle(item, result, queue)
        if in_hand:
            self._tell()

    def _with_batch(self, worker: int, item: Item, queue: ItemQueue) -> Item:
        # what killed a worker may have been one of those that came along
        few = 0 if item.group in self._perilous else self._batch_size - 1
        return with_lookahead(item, queue.ahead(worker, few))

    def _settle(self, item: Item, result: Result, queue: ItemQueue) -> bool:
        """Write down what became of an item; whether its worker is gone."""
        match result:
            case Answered(record):
                self._journal.answer(item.key, record)
                self._ends["answered"] += 1
                self._fruitful.add(item.group)
            case Failed(error):
                self._fail(item, error)
            case Halted(error):
                # what others have in hand may have been paid for: they may come to an end
                self._halted = error
                with suppress(OutputError):
                    self._journal.put_back(item.key)
            case TimedOut(seconds):
                # not tried again by itself: it would take as long, and keep a worker from others
                why = f"no end after {seconds:g} s (--item-timeout): its worker was ended"
                self._fail(item, f"RunError: {why}")
                self._ends["overdue"] += 1
                return True
            case WorkerDied(how, was_ready):
                self._perilous.add(item.group)
                self._mourn(item, how, was_ready, queue)
                return True
        return False

    def _fail(self, item: Item, error: str) -> None:
        self._journal.fail(item.key, error)
        self._ends["failed"] += 1

    def _mourn(self, item: Item, how: str, was_ready: bool, queue: ItemQueue) -> None:
        self._ends["deaths"] += 1
        if not was_ready:
            self._deaths_before_ready += 1
            if self._deaths_before_ready >= _DEATHS_BEFORE_READY:
                self._journal.put_back(item.key)
                raise RunError(
                    f"{self._deaths_before_ready} workers died before they were ready "
                    f"({how}): check that there is memory for each to load the model"
                )
            queue.put_last(item)
            return
        self._deaths_of[item.key] += 1
        self._deaths_over[item.group] += 1
        deaths = self._deaths_of[item.key]
        if deaths >= self._max_tries:
            self._fail(item, f"RunError: the worker died over it {deaths} times ({how})")
        else:
            queue.put_last(item)

    def _tell(self) -> None:
        if self._report:
            self._report(self.counts)
