"""What the file of a stock image processor says of colors, and of the size of images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.inference.vision.pixels import Colors

__all__ = ["ImageProcessor"]

_BYTE = 255


@dataclass(frozen=True, slots=True)
class ImageProcessor:
    """What a model's image processor does to an image, as far as its file says so.

    Attributes:
        mean: Of red, green and blue in [0, 1].
        std: Their standard deviations, as ``Normalization`` has them.
        least: An image that is smaller is enlarged; 0 where none is. Families differ in whether
            this counts pixels of an area or along a side.
        most: An image that is larger is shrunk; infinite where none is.
    """

    mean: Colors
    std: Colors
    least: float = 0
    most: float = math.inf

    @staticmethod
    def of(record: Mapping[str, Any], mean: Colors, std: Colors) -> ImageProcessor:
        """Read the file, as ``AutoImageProcessor`` does.

        Args:
            record: ``preprocessor_config.json``, or ``image_processor`` of
                ``processor_config.json``.
            mean: Of the family, for a file that says neither this nor a class that has one.
            std: Likewise.

        Raises:
            ModelError: If it says something that no stock processor could do.
        """
        mean = _colors(record, "image_mean", mean)
        std = _colors(record, "image_std", std)
        if record.get("do_normalize") is False:
            mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        scale = _scale(record)
        size = record.get("size")
        edges = size if isinstance(size, Mapping) else {}
        least, most = (
            next((value for value in values if value is not None), default)
            for values, default in (
                ((_count(record, "min_pixels"), _count(edges, "shortest_edge")), 0),
                ((_count(record, "max_pixels"), _count(edges, "longest_edge")), math.inf),
            )
        )
        return ImageProcessor(
            (mean[0] / scale, mean[1] / scale, mean[2] / scale),
            (std[0] / scale, std[1] / scale, std[2] / scale),
            least,
            most,
        )


def _colors(record: Mapping[str, Any], key: str, default: Colors) -> Colors:
    value = record.get(key)
    if value is None:
        value = _of_class(record, key)
    if value is None:
        return default
    # one number is meant for all colors
    numbers = value if isinstance(value, list) else [value] * 3
    if len(numbers) != 3 or not all(map(_is_number, numbers)):
        raise _is_wrong(key, value, "a number, or one for each of three colors")
    return (float(numbers[0]), float(numbers[1]), float(numbers[2]))


def _of_class(record: Mapping[str, Any], key: str) -> Any:
    """What the class that a file names has for a value that the file leaves out."""
    # most files say all, and this import takes a while
    import transformers

    named = record.get("image_processor_type")
    # a file names a class by its fast form, or by the only one that there was
    kind = named.removesuffix("Fast") if isinstance(named, str) else ""
    classes = (getattr(transformers, name, None) for name in (f"{kind}Pil", kind) if kind)
    values = (getattr(each, key, None) for each in classes)
    value = next((each for each in values if each is not None), None)
    return list(value) if isinstance(value, tuple) else value


def _scale(record: Mapping[str, Any]) -> float:
    """By how much its images are brighter than images of values from 0 to 1."""
    if record.get("do_rescale") is False:
        return _BYTE
    factor = record.get("rescale_factor")
    if factor is None:
        return 1.0
    if not _is_number(factor) or not 0 < factor < math.inf:
        raise _is_wrong("rescale_factor", factor, "a number above 0")
    scale = factor * _BYTE
    # files have a rounded 1 / 255
    return 1.0 if math.isclose(scale, 1.0, rel_tol=1e-6) else float(scale)


def _count(record: Mapping[str, Any], key: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    if not _is_number(value) or not 1 <= value < math.inf:
        raise _is_wrong(key, value, "a number of pixels")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_wrong(key: str, value: object, expected: str) -> ModelError:
    return ModelError(
        f"the image processor of this model (preprocessor_config.json, or processor_config.json) "
        f"has {key} = {value!r:.60}, which should be {expected}; correct it, or download it again"
    )
