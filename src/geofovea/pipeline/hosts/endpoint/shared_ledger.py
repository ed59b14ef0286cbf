"""What all workers of a run spend at an endpoint, under one limit.

It is a small database beside the journal. What a request may cost is written there before it is
sent, so workers that are killed, replaced or started again never spend more shared than one
could. Workers on other machines do not see the file and are refused.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path

from geofovea.errors import OutputError
from geofovea.pipeline.hosts.endpoint.ledger import CostRatio, Ledger, Reservation
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.hosts.usage import EndpointUse

__all__ = ["LEDGER_FILE", "SharedLedger", "make_ledger_file", "spent", "with_shared_ledger"]

LEDGER_FILE = "spending.sqlite"
_BUSY_SECONDS = 30
# kept beside the counts, in thousandths
_RATIO, _PARTS = "dearness_", 1000
_RATIO_NAMES = tuple(field.name for field in fields(CostRatio))
_NAMES = tuple(field.name for field in fields(EndpointUse))


class SharedLedger(Ledger):
    """A ledger whose limit holds for all that use its file; ``use`` is what this one spent."""

    def __init__(self, limit: SpendLimit, path: str | os.PathLike[str]) -> None:
        """Share what may be spent.

        Raises:
            OutputError: If there is no such file on this machine.
        """
        super().__init__(limit)
        self._path = Path(path)
        if not self._path.is_file():
            raise OutputError(
                f"{self._path} is not on this machine, so what is spent here could not be counted: "
                "let workers that ask an endpoint run on the machine of the journal, as "
                "--executor processes does"
            )

    def reserve(
        self, prompt_tokens: int, answer_tokens: int, images: int, *, is_repeat: bool
    ) -> Reservation:
        """See ``Ledger``; what others spent counts too, and what they found it to cost."""
        with self._lock, _changing(self._path) as shared:
            reserved = shared.cost_ratio.applied(prompt_tokens, answer_tokens)
            request = EndpointUse(1, int(is_repeat), images, *reserved.tokens, 1)
            self._check(shared.use, request)
            shared.use = shared.use.plus(request)
            self._note(lambda use: use.plus(request))
            return reserved

    def settle(self, reserved: Reservation, actual: tuple[int, int]) -> None:
        """See ``Ledger``."""
        with self._lock, _changing(self._path) as shared:
            shared.use = shared.use.settled(reserved.tokens, actual)
            shared.cost_ratio = shared.cost_ratio.after(reserved, actual)
            self._note(lambda use: use.settled(reserved.tokens, actual))


class _Shared:
    """What all have spent and found it to cost, while nobody else may change it."""

    def __init__(self, use: EndpointUse, cost_ratio: CostRatio) -> None:
        self.use, self.cost_ratio = use, cost_ratio


def make_ledger_file(folder: Path) -> None:
    """Make the ledger file of a run; one that is there stays, with what was spent.

    Raises:
        OutputError: If it cannot be written.
    """
    path = folder / LEDGER_FILE
    with _base(path) as base:
        base.execute("CREATE TABLE IF NOT EXISTS spent (name TEXT PRIMARY KEY, count INTEGER)")
        base.executemany("INSERT OR IGNORE INTO spent VALUES (?, 0)", [(n,) for n in _NAMES])


def with_shared_ledger(settings: EndpointSettings | None, folder: Path) -> EndpointSettings | None:
    """The same settings under one limit for all that use the ledger file in this folder."""
    if settings is None:
        return None
    return replace(settings, ledger_file=str((folder / LEDGER_FILE).absolute()))


def spent(folder: Path) -> EndpointUse | None:
    """What the ledger file in a folder has recorded as spent; None where there is none.

    Raises:
        OutputError: If it cannot be read.
    """
    path = folder / LEDGER_FILE
    if not path.is_file():
        return None
    with _base(path) as base:
        return _read(base)


@contextmanager
def _changing(path: Path) -> Iterator[_Shared]:
    with _base(path) as base:
        shared = _Shared(_read(base), _read_cost_ratio(base))
        yield shared
        values = asdict(shared.use)
        ratios = asdict(shared.cost_ratio)
        values |= {_RATIO + name: math.ceil(times * _PARTS) for name, times in ratios.items()}
        base.executemany("INSERT OR REPLACE INTO spent VALUES (?, ?)", values.items())


def _read(base: sqlite3.Connection) -> EndpointUse:
    counts = dict(base.execute("SELECT name, count FROM spent").fetchall())
    return EndpointUse(**{name: int(counts[name]) for name in _NAMES})


def _read_cost_ratio(base: sqlite3.Connection) -> CostRatio:
    names = [_RATIO + name for name in _RATIO_NAMES]
    rows = base.execute("SELECT name, count FROM spent WHERE name IN (?, ?)", names).fetchall()
    # a file of an earlier version has none
    return CostRatio(**{name.removeprefix(_RATIO): count / _PARTS for name, count in rows})


@contextmanager
def _base(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, held against all others; what was done is kept if nothing failed."""
    try:
        # a connection for each use: hosts are asked by threads, and what is sent takes far longer
        base = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        try:
            base.execute("BEGIN IMMEDIATE")
            yield base
            base.execute("COMMIT")
        finally:
            # closing undoes what was not committed
            base.close()
    except (sqlite3.Error, KeyError) as error:
        raise OutputError(
            f"what is spent at the endpoint cannot be counted in {path}: {error}; nothing was "
            "sent: make room, or move the file away to begin with an empty one"
        ) from error
