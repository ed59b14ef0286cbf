"""An answer before somebody's eyes: in a notebook, in a browser, on a map."""

from __future__ import annotations

import os
import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofovea.errors import MissingExtraError
from geofovea.pipeline.answers.evidence_files import as_shown_by_a_gis
from geofovea.pipeline.answers.formats import save_answer
from geofovea.pipeline.answers.record import AnswerRecord

if TYPE_CHECKING:
    import folium


__all__ = ["explore_answer", "has_screen", "open_in_browser", "show_answer"]

_NUMBERS = ["level", "attention", "tokens", "area_m2"]


def show_answer(answer: AnswerRecord) -> Path | None:
    """Display an answer in a notebook; elsewhere open its page with the system's browser.

    Returns:
        None in a notebook; else the page, in a folder for temporary files that only its owner can
        read.
    """
    if _is_notebook():
        from IPython.display import display

        display(answer)  # type: ignore[no-untyped-call]
        return None
    path = Path(tempfile.mkdtemp(prefix="geofovea-")) / "answer.html"
    save_answer(answer, path)
    open_in_browser(path)
    return path


def open_in_browser(file: Path) -> bool:
    """Open a file in the system's browser; False where there is none with a window of its own."""
    if not has_screen():
        return False
    try:
        return webbrowser.open(file.resolve().as_uri())
    except webbrowser.Error:
        return False


def has_screen() -> bool:
    """Whether a browser opens in a window of its own; one in text would take the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _is_notebook() -> bool:
    """Whether a kernel runs this, which shows what it is given."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def explore_answer(answer: AnswerRecord, **options: Any) -> folium.Map:
    """The evidence on an interactive map, colored by attention; see ``Answer.explore``.

    Raises:
        MissingExtraError: If folium or another package for it is not installed.
    """
    frame = as_shown_by_a_gis(answer.evidence.to_geodataframe(), answer.scene)
    # words of models and people would become HTML in the tooltips
    frame = frame[[*_NUMBERS, "geometry"]].astype(dict.fromkeys(_NUMBERS, float))
    is_scored = bool(frame["attention"].notna().any())
    chosen: dict[str, Any] = {"tooltip": _NUMBERS, "popup": False}
    if is_scored:
        chosen |= {"column": "attention", "cmap": "YlOrBr", "legend": True}
    try:
        shown: folium.Map = frame.explore(**(chosen | options))
    except ImportError as error:
        raise MissingExtraError(error.name or "folium", "maps", "explore()") from error
    return shown
