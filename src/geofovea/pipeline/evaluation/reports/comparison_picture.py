"""Differences between runs as a picture: a point and its interval for each run, beside zero.

An SVG of plain shapes, for it is small, sharp at any size, and needs no library.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from geofovea.datasets.scoring.metrics import Estimate, interval_text, is_interval

__all__ = ["comparison_svg"]

_WIDTH, _ROW, _TOP, _LEFT, _RIGHT = 760, 34, 64, 240, 150
_INK, _FAINT, _BETTER, _WORSE = "#202228", "#8a8e98", "#1b7f5c", "#b3432f"
_LONGEST_NAME = 34


def comparison_svg(title: str, gains: Sequence[tuple[str, Estimate]]) -> str:
    """Draw differences of accuracies.

    Args:
        title: Above the picture.
        gains: Name and difference of each run, as shares in [-1, 1].
    """
    reach = max([0.02, *(abs(end) for _, gain in gains for end in _ends(gain))]) * 1.1
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    half = (_WIDTH - _RIGHT - _LEFT) / 2
    height = _TOP + _ROW * len(gains) + 44
    bottom = _TOP + _ROW * len(gains)

    def x(share: float) -> float:
        return round(middle + half * share / reach, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="system-ui, sans-serif" font-size="14" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="16" fill="{_INK}">{escape(title)}</text>',
        f'<line x1="{middle}" x2="{middle}" y1="{_TOP - 10}" y2="{bottom}" stroke="{_FAINT}" '
        'stroke-dasharray="3 3"/>',
    ]
    for index, (name, gain) in enumerate(gains):
        parts += _row(name, gain, _TOP + _ROW * (index + 0.5), x)
    for share in (-reach / 1.1, 0.0, reach / 1.1):
        parts.append(
            f'<text x="{x(share)}" y="{bottom + 20}" text-anchor="middle" fill="{_FAINT}">'
            f"{100 * share:+.1f}</text>"
        )
    parts.append(
        f'<text x="{middle}" y="{bottom + 38}" text-anchor="middle" fill="{_FAINT}">'
        "points of accuracy, with 95 % intervals</text></svg>"
    )
    return "\n".join(parts)


def _ends(gain: Estimate) -> tuple[float, ...]:
    known = is_interval(gain.low, gain.high)
    return (gain.value, gain.low, gain.high) if known else (gain.value,)


def _row(name: str, gain: Estimate, y: float, place: Callable[[float], float]) -> list[str]:
    known = is_interval(gain.low, gain.high)
    beyond = known and (gain.low > 0 or gain.high < 0)
    color = _FAINT if not beyond else _BETTER if gain.value > 0 else _WORSE
    short = name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
    ends = interval_text(100 * gain.low, 100 * gain.high, "+.1f")
    line = (
        f'<line x1="{place(gain.low)}" x2="{place(gain.high)}" y1="{y}" y2="{y}" '
        f'stroke="{color}" stroke-width="3"/>'
    )
    return [
        f'<text x="16" y="{y + 5}" fill="{_INK}">{escape(short)}</text>',
        *([line] if known else []),
        f'<circle cx="{place(gain.value)}" cy="{y}" r="5" fill="{color}"/>',
        f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 5}" fill="{_INK}">'
        f"{100 * gain.value:+.1f} {ends}</text>",
    ]
