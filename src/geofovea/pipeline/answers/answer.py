"""The answer to a question, which can save and show itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofovea.pipeline.answers.record import AnswerRecord

if TYPE_CHECKING:
    import folium

__all__ = ["Answer"]


@dataclass(frozen=True, repr=False)
class Answer(AnswerRecord):
    """An answer with everything that one needs to judge it.

    Attributes:
        question: As it was asked.
        text: The answer.
        confidence: Probability of the generated words, or of the choice among all choices, in
            [0, 1]. It is the model's own belief, not calibrated; 0 where it is not known.
        model: Name of the host.
        scene: The scene that was asked about.
        levels: Levels of the pyramid that the model saw it through.
        evidence: Where the answer was read from.
        cost: What it spent.
        looks: Where the model looked, coarse to fine; `to_xarray` makes a map of them.
        warnings: What a careful reader should know; empty if nothing.
        stopped: Why the search ended, such as ``native`` where it reached full resolution, or
            ``tiles`` where their limit ended it.
        route: Whether it looked closer at no place, one or several, and why; None for ways of
            looking that ignore the question.
        radiometry: Which bands it saw, and how their numbers became colors.
        choices: What it believes of each answer that it could choose from; empty without any.
        confidence_known: Whether the model said how sure it is, and may be believed; otherwise
            ``confidence`` is 0.
        is_demo: Whether it is a guess of the demo model about a scene that is not synthetic.
        measurement: The numbers and places that it was computed from; None for an answer of the
            model.
    """

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the answer in the format of the suffix.

        ``.png`` is the picture, ``.html`` a page with deep zoom that needs nothing else, ``.json``
        what `to_json` returns, ``.geojson`` the evidence with a QGIS style beside it,
        ``.gpkg`` the evidence with its style inside, ``.parquet`` GeoParquet, ``.tif`` the heat
        map of `to_xarray`.

        Raises:
            OutputError: If no format has this suffix, or the file cannot be written.
            MissingExtraError: If a package is missing for the format.
            SceneError: If a picture is wanted and the scene is not the file it was.
        """
        # here, because most answers are asked for words alone and no picture is drawn of them
        from geofovea.pipeline.answers.formats import save_answer

        save_answer(self, path)

    def show(self) -> Path | None:
        """Display the answer in a notebook; elsewhere open its page in a browser.

        Returns:
            None in a notebook, else where the page is.
        """
        from geofovea.pipeline.answers.showing import show_answer

        return show_answer(self)

    def explore(self, **options: Any) -> folium.Map:
        """The evidence on an interactive map, colored by attention.

        Args:
            **options: As ``GeoDataFrame.explore`` takes them, such as ``tiles`` for another
                background or ``m`` for a map that is there.

        Returns:
            A folium map. Its background comes from the network when it is shown; without
            georeference there is none, and the map is in pixels.

        Raises:
            MissingExtraError: If a package of the extra ``maps`` is not installed.
        """
        from geofovea.pipeline.answers.showing import explore_answer

        return explore_answer(self, **options)

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        # here, because most answers are asked for words alone and no picture is drawn of them
        from geofovea.pipeline.answers.html import answer_html

        return answer_html(self)
