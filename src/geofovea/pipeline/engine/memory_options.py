"""What a scene memory may take, and how it stores; imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea._arguments import as_bytes, is_number, shown
from geofovea.errors import BudgetError
from geofovea.regionfocus.cache_policies.kv_spec import KvSpec, parse_kv

__all__ = ["MemoryOptions"]


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """Limits of a scene memory.

    Attributes:
        megabytes: Most megabytes of 10⁶ bytes of keys and values; tiles that were not read for
            longest are forgotten first.
        policy: How they are stored: ``exact``, ``plain`` (4 bits, ``plain:2`` and ``plain:8``
            likewise), ``zipcache`` or ``vidkv``; and how the words of a question read them:
            ``tokenselect``, ``compresskv`` or ``spatten_kv``, each with a share. ``+`` stands
            between them, as in ``plain:2+tokenselect:0.05``.
        ready_megabytes: Most megabytes of keys and values that are held restored beside them, where
            they are stored in few bits; 0 restores for each look anew.

    Raises:
        BudgetError: If there is no room.
        ModelError: If there is no such policy, or the number behind its name is not allowed.
    """

    megabytes: float = 512.0
    policy: str = "plain"
    ready_megabytes: float = 64.0

    def __post_init__(self) -> None:
        # no name of an option: megabytes= is another one where scenes are indexed
        if not is_number(self.megabytes) or self.megabytes <= 0:
            raise BudgetError(
                f"a scene memory of {shown(self.megabytes)} megabytes holds nothing; give it a "
                "number above 0"
            )
        if not is_number(self.ready_megabytes) or self.ready_megabytes < 0:
            raise BudgetError(
                "a scene memory holds restored keys and values in at least 0 megabytes, got "
                f"ready_megabytes={shown(self.ready_megabytes)}"
            )
        parse_kv(self.policy)

    @property
    def spec(self) -> KvSpec:
        """What `policy` says."""
        return parse_kv(self.policy)

    @property
    def limit_bytes(self) -> int:
        """Most bytes."""
        return as_bytes(self.megabytes, 1e6)

    @property
    def ready_bytes(self) -> int:
        """Most bytes of what is held restored."""
        return as_bytes(self.ready_megabytes, 1e6)
