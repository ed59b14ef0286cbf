"""Places the panels of the picture for a scene of any shape."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.pipeline.answers.drawing.theme import GAP, MARGIN, PAGE_WIDTH

__all__ = ["CAPTION_HEIGHT", "Frame", "Layout", "arranged"]

CAPTION_HEIGHT = 122
"""Room below a panel for its title, its facts and its scale bar."""

_INNER = PAGE_WIDTH - 2 * MARGIN
_TALLEST, _LEAST = 760, 40
_TALLEST_ALONE = 900
_WIDEST_IN_A_ROW = 2.2
_TALLEST_ABOVE = 560
_TALLEST_BELOW = 560
_NARROWEST_SLOT = 330


@dataclass(frozen=True, slots=True)
class Frame:
    """A rectangle of the page in pixels, and how wide its caption may be.

    Attributes:
        left: Its first column.
        top: Its first row.
        width: Of what it shows.
        height: Likewise.
        slot: Width of the caption.
        is_beside: Whether the caption stands at the right of it, not below.
    """

    left: int
    top: int
    width: int
    height: int
    slot: int
    is_beside: bool = False

    @property
    def caption(self) -> tuple[int, int]:
        """Where its caption begins, as column and row."""
        return (self.right + GAP, self.top) if self.is_beside else (self.left, self.bottom + 12)

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    @property
    def right(self) -> int:
        """The column after its last."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The row after its last."""
        return self.top + self.height


@dataclass(frozen=True, slots=True)
class Layout:
    """The panels of a page.

    Attributes:
        scene: Of the whole scene.
        others: Of what is shown more closely.
        is_stacked: Whether these stand below the scene, not beside it.
        legend: Where the legend may begin, as column and row.
        bottom: Where all panels and captions end, which is where a legend below them begins.
    """

    scene: Frame
    others: tuple[Frame, ...]
    is_stacked: bool
    legend: tuple[int, int]
    bottom: int


def arranged(aspect: float, others: int, top: int) -> Layout:
    """Arrange panels on the page.

    Args:
        aspect: Width over height of the scene.
        others: How many panels show more closely.
        top: Where the panels begin.
    """
    if not others:
        return _alone(aspect, top)
    return (_stacked if aspect > _WIDEST_IN_A_ROW else _in_a_row)(aspect, others, top)


def _alone(aspect: float, top: int) -> Layout:
    width, height = _shaped(aspect, _INNER, _TALLEST_ALONE)
    room = _INNER - width - GAP
    if room < _NARROWEST_SLOT:
        scene = Frame(MARGIN, top, width, height, _INNER)
        return _below(scene, (), False, scene.bottom + CAPTION_HEIGHT)
    scene = Frame(MARGIN, top, width, height, room, is_beside=True)
    left, caption_top = scene.caption
    end = caption_top + CAPTION_HEIGHT
    return Layout(scene, (), False, (left, end), max(scene.bottom, end) + 16)


def _below(scene: Frame, others: tuple[Frame, ...], is_stacked: bool, bottom: int) -> Layout:
    return Layout(scene, others, is_stacked, (MARGIN, bottom), bottom)


def _in_a_row(aspect: float, others: int, top: int) -> Layout:
    height = min(_TALLEST, round((_INNER - others * GAP) / (aspect + others)))
    width = max(_LEAST, round(aspect * height))
    slot = max(width, _NARROWEST_SLOT)
    # what the scene leaves, in equal parts
    room = (_INNER - slot) // others - GAP
    scene = Frame(MARGIN, top, width, height, slot)
    lefts = (MARGIN + slot + GAP + i * (room + GAP) for i in range(others))
    frames = tuple(Frame(left, top, room, height, room) for left in lefts)
    return _below(scene, frames, False, top + height + CAPTION_HEIGHT)


def _stacked(aspect: float, others: int, top: int) -> Layout:
    width, height = _shaped(aspect, _INNER, _TALLEST_ABOVE)
    left = MARGIN + (_INNER - width) // 2
    scene = Frame(left, top, width, height, PAGE_WIDTH - MARGIN - left)
    below = scene.bottom + CAPTION_HEIGHT + GAP
    room = (_INNER + GAP) // others - GAP
    tall = min(_TALLEST_BELOW, round(0.75 * room))
    frames = tuple(Frame(MARGIN + i * (room + GAP), below, room, tall, room) for i in range(others))
    return _below(scene, frames, True, below + tall + CAPTION_HEIGHT)


def _shaped(aspect: float, widest: int, tallest: int) -> tuple[int, int]:
    height = min(tallest, round(widest / aspect))
    return min(widest, max(_LEAST, round(height * aspect))), max(_LEAST, height)
