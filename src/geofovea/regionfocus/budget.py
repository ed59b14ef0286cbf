"""What one answer may cost at most."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from geofovea._arguments import is_number, is_whole, shown
from geofovea.errors import BudgetError

__all__ = ["Budget", "share_down", "share_up"]

_NOISE = 1e-9
"""Products of shares and counts are off by less: 0.07 of 100 is above 7, 0.29 of 100 below 29."""


def share_up(share: float, count: int) -> int:
    """A share of some things, rounded up."""
    return math.ceil(share * count - _NOISE)


def share_down(share: float, count: int) -> int:
    """A share of some things, rounded down."""
    return math.floor(share * count + _NOISE)


@dataclass(frozen=True, slots=True)
class Budget:
    """Upper limits on the cost of one answer; None means no limit.

    Tiles and tokens are never exceeded. Time and memory end the search.

    Attributes:
        tiles: Tiles that may be encoded, the overview included.
        tokens: Vision tokens that may reach the decoder.
        seconds: Wall-clock time after which nothing more is looked at. The first look and the
            answer itself are never left out; an answer that took longer says so. It is an error if
            building level files takes longer.
        host_ram_mb: Resident memory of the process in MiB above which nothing more is looked at.
            An answer says so if the process has held more, its children included.
        device_ram_mb: The same for memory on the accelerator, in MiB.

    Raises:
        BudgetError: If a limit is not a positive number, or a count is not a whole one.

    Examples:
        >>> geofovea.Budget(tiles=24, tokens=300)
        Budget(tiles=24, tokens=300, seconds=None, host_ram_mb=None, device_ram_mb=None)
    """

    tiles: int = 64
    tokens: int = 2376
    seconds: float | None = None
    host_ram_mb: float | None = None
    device_ram_mb: float | None = None

    def __post_init__(self) -> None:
        for name in ("tiles", "tokens"):
            count = getattr(self, name)
            if not is_whole(count, 1):
                raise BudgetError(
                    f"{name}={shown(count)} is not a budget: it needs a whole number of at least 1"
                )
            # one of numpy could not be written as JSON
            object.__setattr__(self, name, int(count))
        for name in ("seconds", "host_ram_mb", "device_ram_mb"):
            limit = getattr(self, name)
            if limit is None:
                continue
            if not is_number(limit) or limit <= 0:
                raise BudgetError(
                    f"{name}={shown(limit)} is not a budget: it needs a positive number; leave "
                    "it out for no limit"
                )
            if not isinstance(limit, (int, float)):
                object.__setattr__(self, name, float(limit))

    def to_json(self) -> dict[str, int | float | None]:
        """The limits by name, ready for ``json.dumps``."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
