"""A chat model for lmms-eval.

    lmms_eval --model geofovea --model_args model=llava-hf/llava-1.5-7b-hf,tiles=64 --tasks ...

Tasks of lmms-eval hand decoded images over, which is what this package avoids. A task of your own
keeps reading lazy by naming the file: ``{"type": "image", "url": "/path/scene.tif"}`` in its
``doc_to_messages``. An image that comes decoded is written to a temporary PNG, and told once.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmms_eval.api.model import lmms
from PIL import Image

from geofovea.errors import ModelError, QuestionError
from geofovea.pipeline.evaluation.harness import make_answerer, only_image

__all__ = ["GeoFovea"]


class GeoFovea(lmms):  # type: ignore[misc]
    """Answers requests of kind ``generate_until``; likelihoods of given texts are not offered."""

    is_simple = False

    def __init__(
        self,
        batch_size: int = 1,  # noqa: ARG002 questions are answered one by one
        max_batch_size: int | None = None,  # noqa: ARG002
        **settings: Any,
    ) -> None:
        """Load the model; the settings are those of ``make_answerer``."""
        super().__init__()
        self._answer = make_answerer(**settings)
        self._folder: Path | None = None
        self._image_count = 0

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer requests in their order, greedily, each as long as its task allows or longer."""
        return [self._answered(request.args) for request in requests]

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:  # noqa: ARG002
        """Not offered.

        Raises:
            ModelError: Always.
        """
        raise ModelError("geofovea answers one question at a time: choose a task of one round")

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:  # noqa: ARG002
        """Not offered.

        Raises:
            ModelError: Always.
        """
        raise ModelError("geofovea gives no likelihoods of given texts: choose a generating task")

    def _answered(self, arguments: Sequence[Any]) -> str:
        # 0.7 has the plain text of the question in front of what earlier releases hand over
        doc_to_messages, how, doc_id, task, split = arguments[-5:]
        messages = doc_to_messages(self.task_dict[task][split][doc_id])
        parts = [part for message in messages for part in _parts(message)]
        images = [self._path(part["url"]) for part in parts if part["type"] == "image"]
        words = [part["text"] for part in parts if part["type"] == "text"]
        if any(part["type"] not in ("image", "text") for part in parts):
            raise QuestionError(f"{task}: only images and text can be asked about")
        most = how.get("max_new_tokens") if isinstance(how, Mapping) else None
        allowed = most if isinstance(most, int) and most > 0 else None
        return self._answer(only_image(images), "\n".join(words), allowed)

    def _path(self, image: Any) -> str:
        if isinstance(image, str | Path):
            return str(image)
        if not isinstance(image, Image.Image):
            raise QuestionError(f"an image must be a path or a PIL image, got {type(image)}")
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="geofovea-lmms-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            warnings.warn(
                "this task hands decoded images to geofovea; name files in its doc_to_messages to "
                "read them lazily",
                stacklevel=2,
            )
        self._image_count += 1
        path = self._folder / f"{self._image_count}.png"
        image.convert("RGB").save(path)
        return str(path)


def _parts(message: Any) -> list[Mapping[str, Any]]:
    content = message["content"] if isinstance(message, Mapping) else message.content
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return [part if isinstance(part, Mapping) else dict(part) for part in content]
