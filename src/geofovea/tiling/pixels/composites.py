"""Named composites: which parts of the spectrum they show, as values in a table.

A composite names *roles* (``red``, ``nir``...), never band numbers: which band plays a role is a
fact about a file, and is found in ``bands``. A formula is a value too: no text is ever evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

from geofovea._arguments import shown
from geofovea.errors import SceneError

__all__ = ["COMPOSITES", "ROLES", "Composite", "Role", "composite_named"]


@dataclass(frozen=True, slots=True)
class Role:
    """A part of the spectrum.

    Attributes:
        name: As composites and band maps say it.
        low_um: Shortest central wavelength of a band that plays it, in micrometers.
        high_um: Longest one.
        center_um: Of several bands in the range, the nearest to this plays it.
    """

    name: str
    low_um: float
    high_um: float
    center_um: float


# ranges that hold Sentinel-2, Landsat, PlanetScope, WorldView and NAIP and do not overlap
ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role("coastal", 0.400, 0.455, 0.443),
        Role("blue", 0.455, 0.520, 0.490),
        Role("green", 0.520, 0.600, 0.560),
        Role("red", 0.620, 0.690, 0.665),
        Role("rededge", 0.690, 0.760, 0.705),
        Role("nir", 0.760, 0.900, 0.842),
        Role("swir1", 1.550, 1.750, 1.610),
        Role("swir2", 2.080, 2.350, 2.190),
    )
}


@dataclass(frozen=True, slots=True)
class Composite:
    """Three roles shown as red, green and blue, or two as one normalized difference.

    Four are shown by their first three; the fourth is for models that read a band beside these.

    Attributes:
        name: As the user names it.
        roles: Three roles in the order red, green, blue, and maybe a fourth; or two, ``(plus,
            minus)``, shown as ``(plus - minus) / (plus + minus)``.
        shows: In plain words, for help texts and reasons.

    Raises:
        SceneError: If there are not two to four roles, or one does not exist.
    """

    name: str
    roles: tuple[str, ...]
    shows: str

    def __post_init__(self) -> None:
        if len(self.roles) not in (2, 3, 4) or not set(self.roles) <= set(ROLES):
            raise SceneError(
                f"a composite needs two to four of {', '.join(ROLES)}; got {self.roles}"
            )

    @property
    def is_index(self) -> bool:
        """Whether it is a normalized difference, one number in [-1, 1] for each pixel."""
        return len(self.roles) == 2


COMPOSITES: dict[str, Composite] = {
    composite.name: composite
    for composite in (
        Composite("true-color", ("red", "green", "blue"), "what an eye would see"),
        Composite("false-color", ("nir", "red", "green"), "vegetation in red"),
        Composite("agriculture", ("swir1", "nir", "blue"), "crops in bright green"),
        Composite("swir", ("swir2", "nir", "red"), "fire and bare soil in red, through haze"),
        Composite("ndvi", ("nir", "red"), "green vegetation bright"),
        Composite("gndvi", ("nir", "green"), "chlorophyll bright"),
        Composite("ndre", ("nir", "rededge"), "chlorophyll of dense crops bright"),
        Composite("ndwi", ("green", "nir"), "open water bright"),
        Composite("mndwi", ("green", "swir1"), "open water bright, built-up land dark"),
        Composite("ndmi", ("nir", "swir1"), "moist vegetation bright"),
        Composite("ndbi", ("swir1", "nir"), "built-up land bright"),
        Composite("nbr", ("nir", "swir2"), "burned land dark"),
        Composite("rgb-nir", ("red", "green", "blue", "nir"), "true color, with near infrared"),
    )
}
_SPELLINGS = {"true-colour": "true-color", "false-colour": "false-color"}


def composite_named(name: str) -> Composite:
    """The composite of a name; upper case, underscores and British spelling are accepted.

    Raises:
        SceneError: If there is none.
    """
    plain = str(name).strip().lower().replace("_", "-")
    composite = COMPOSITES.get(_SPELLINGS.get(plain, plain))
    if composite is None:
        raise SceneError(
            f"there is no composite {shown(name)}; choose one of {', '.join(COMPOSITES)}"
        )
    return composite
