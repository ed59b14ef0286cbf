"""What figures are drawn with: an extra, asked for where it is needed."""

from __future__ import annotations

from typing import Any

from geofovea.errors import MissingExtraError

__all__ = ["figure_class"]


def figure_class(purpose: str) -> Any:
    """``matplotlib.figure.Figure``, which draws without a screen.

    Args:
        purpose: What cannot be drawn without it, for the message.

    Raises:
        MissingExtraError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "train", purpose) from error
    return Figure
