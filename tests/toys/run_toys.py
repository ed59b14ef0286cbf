"""Work for tests of runs: real work with real failures, and small enough to be killed often."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.errors import DiskSpaceError, SceneReadError
from geofovea.pipeline.runs.item import Item, ItemKey, Record, Worker
from geofovea.pipeline.runs.lookahead import Lookahead


class PanicException(BaseException):
    """As libraries in Rust raise it."""


@dataclass(frozen=True)
class Squares:
    """Squares the numbers of its items; some numbers are trouble.

    Attributes:
        notes: A file that gets a line for each item that is worked on, if given.
        trouble: What happens at which number: ``bad``, ``strange``, ``nan``, ``full``, ``hangs``
            (in a read that never returns), ``killed`` (always), ``killed once`` (leaves a mark
            beside the notes), ``left`` (by ``os._exit``), ``crashes`` (by a bad address), or
            ``panics`` and ``quits`` (with what is no ``Exception``).
        seconds: What an item takes.
        open_error: What opening raises, if anything.
        opening_seconds: What opening takes.
    """

    notes: Path | None = None
    trouble: Mapping[int, str] | None = None
    seconds: float = 0.0
    open_error: str = ""
    opening_seconds: float = 0.0

    def open(self) -> Worker:
        time.sleep(self.opening_seconds)
        if self.open_error == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.open_error:
            raise ValueError(self.open_error)
        return self.square

    def square(self, group: str, payload: Mapping[str, Any]) -> Record:
        number = payload["number"]
        if self.notes:
            with self.notes.open("a") as file:
                file.write(f"{number} {group} {os.getpid()}\n")
        time.sleep(self.seconds)
        match (self.trouble or {}).get(number):
            case "bad":
                raise SceneReadError(f"number {number}\nis damaged")
            case "strange":
                raise ZeroDivisionError("never mind")
            case "full":
                raise DiskSpaceError("no room for levels")
            case "nan":
                return {"square": float("nan")}
            case "hangs":
                pipe = self.notes.with_name(f"pipe-{number}-{os.getpid()}")
                os.mkfifo(pipe)
                # nobody ever opens its other end
                pipe.read_bytes()
            case "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            case "left":
                os._exit(7)
            case "crashes":
                faulthandler.disable()
                ctypes.string_at(0)
            case "panics":
                raise PanicException("never mind")
            case "quits":
                sys.exit(5)
            case "killed once":
                mark = self.notes.with_name(f"killed-{number}")
                if not mark.exists():
                    mark.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
        return {"square": number**2, "group": group}

    def worked_on(self) -> list[int]:
        """The numbers that were worked on, in order."""
        if not self.notes.exists():
            return []
        return [int(line.split()[0]) for line in self.notes.read_text().splitlines()]


def items(count: int, groups: int = 1, configuration: str = "c") -> list[Item]:
    """Items with numbers from 0, in groups one after the other."""
    return [
        Item(
            ItemKey(f"scene {n * groups // count}", f"{n}?", configuration),
            f"g{n * groups // count}",
            {"number": n},
        )
        for n in range(count)
    ]


@dataclass(frozen=True)
class Choir(Squares):
    """Squares that are made together; each batch is a line of the file ``batches``."""

    def open(self):
        super().open()
        return Lookahead(self.together).answer

    def together(self, group, payloads):
        with self.notes.with_name("batches").open("a") as file:
            file.write(" ".join(str(p["number"]) for p in payloads) + "\n")
        return [self.one(group, payload) for payload in payloads]

    def one(self, group, payload):
        try:
            return self.square(group, payload)
        except Exception as error:
            return error

    def batches(self):
        text = self.notes.with_name("batches").read_text()
        return [[int(n) for n in line.split()] for line in text.splitlines()]
