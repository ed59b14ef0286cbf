"""At which layers of an encoder tokens go, and how many are left after each."""

from __future__ import annotations

from geofovea.errors import BudgetError

__all__ = ["acting_layers", "geometric_counts", "steady_counts"]


def acting_layers(layers: int, numbers: tuple[int, ...] | None = None) -> tuple[int, ...]:
    """Layers at which a method of few steps acts: ``numbers``, or one, two and three quarters.

    Of twelve layers these are 3, 6 and 9.

    Raises:
        BudgetError: If a chosen layer is not among the ``layers`` that run.
    """
    if numbers is None:
        return tuple(sorted({min(layers * i // 4, layers - 1) for i in (1, 2, 3)}))
    if not numbers or not all(0 <= layer < layers for layer in numbers):
        raise BudgetError(
            f"tokens can be dropped at layers 0 to {layers - 1} of this encoder, got {numbers}; "
            "choose among those, or leave the choice out"
        )
    return tuple(sorted(set(numbers)))


def geometric_counts(n: int, k: int, steps: int) -> tuple[int, ...]:
    """Tokens left after each of ``steps`` that drop the same share, the last exactly ``k``."""
    if steps < 1:
        raise BudgetError(f"a schedule needs at least one step, got {steps}")
    counts = [max(k, round(n * (k / n) ** ((i + 1) / steps))) for i in range(steps)]
    return (*counts[:-1], k)


def steady_counts(n: int, k: int, steps: int) -> tuple[int, ...]:
    """Tokens left after each of ``steps`` that drop the same number, the last exactly ``k``."""
    if steps < 1:
        raise BudgetError(f"a schedule needs at least one step, got {steps}")
    return tuple(n - (n - k) * (i + 1) // steps for i in range(steps))
