"""How a model is loaded: where, in which numbers, in how many bits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, TypedDict

from geofovea._arguments import check_flag, is_whole, shown
from geofovea.errors import MissingExtraError, ModelError
from geofovea.tiling.machine.cores import MOST_THREADS

__all__ = [
    "AUTO",
    "DEVICE_MAPS",
    "DTYPES",
    "LONGEST_ANSWER",
    "POSITIONS",
    "QUANTIZATIONS",
    "THINKING",
    "LoadOptions",
    "Loading",
    "check_device",
]

AUTO = "auto"
"""Leaves the choice of a model or a device to what is there."""

DTYPES = ("auto", "float32", "bfloat16", "float16")
DEVICE_MAPS = ("auto", "balanced", "balanced_low_0", "sequential")
QUANTIZATIONS = ("8bit", "4bit")
LONGEST_ANSWER = 4096
"""Tokens of the longest answer, and of the longest thought, that may be allowed."""
THINKING = ("off", "room")
"""What becomes of the thought of a model that would think before it answers."""
POSITIONS = ("compact", "original", "scene")


class Loading(TypedDict, total=False):
    """How a model that is named is loaded, as keyword arguments; see ``LoadOptions``."""

    device: str
    dtype: str | None
    device_map: str | None
    quantization: str | None
    positions: str | None
    answer_tokens: int | None
    threads: int | None
    thinking: str | None
    thought_tokens: int | None
    compile_decode: bool


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is loaded.

    Attributes:
        device: A torch device; ``auto`` is the first GPU that torch can use, or else the CPU.
        dtype: One of `DTYPES`; ``auto`` is that of the weights. None is ``float32`` on a CPU, and
            ``auto`` elsewhere.
        device_map: One of `DEVICE_MAPS` spreads the model over devices, instead of ``device``.
        quantization: One of `QUANTIZATIONS`, by bitsandbytes; None keeps the weights as they are.
        positions: Position policy; None takes the model's own.
        answer_tokens: The longest answer, at most 4096; None takes the model's own.
        threads: Threads of torch; None chooses them by the size of the model.
        thinking: One of `THINKING`; None takes the model's own, which is ``off`` unless its
            settings say otherwise.
        thought_tokens: The longest thought, at most 4096; None takes the model's own.
        compile_decode: Whether the steps of an answer are recorded once, as a CUDA graph.

    Raises:
        ModelError: If a value is none of those, or two of them contradict each other.
    """

    device: str = AUTO
    dtype: str | None = None
    device_map: str | None = None
    quantization: str | None = None
    positions: str | None = None
    answer_tokens: int | None = None
    threads: int | None = None
    thinking: str | None = None
    thought_tokens: int | None = None
    compile_decode: bool = False

    def __post_init__(self) -> None:
        allowed = {
            "dtype": DTYPES,
            "device_map": DEVICE_MAPS,
            "quantization": QUANTIZATIONS,
            "positions": POSITIONS,
            "thinking": THINKING,
        }
        for name, values in allowed.items():
            value = getattr(self, name)
            if value is not None and value not in values:
                raise ModelError(f"{name}={value!r} is not one of {', '.join(values)}")
        for name in ("answer_tokens", "thought_tokens"):
            tokens = getattr(self, name)
            if tokens is not None and not is_whole(tokens, 1, LONGEST_ANSWER):
                raise ModelError(
                    f"{name}={shown(tokens)} is not a whole number from 1 to {LONGEST_ANSWER}"
                )
        if self.thought_tokens is not None and self.thinking != "room":
            raise ModelError("thought_tokens= is for thinking='room'; give both, or none")
        if self.threads is not None and not is_whole(self.threads, 1, MOST_THREADS):
            raise ModelError(
                f"threads={shown(self.threads)} is not a number of threads: a model computes with "
                f"1 to {MOST_THREADS}"
            )
        check_flag("compile_decode", self.compile_decode, ModelError)
        if self.device_map is not None and self.device not in (AUTO, "cpu"):
            raise ModelError(
                f"device_map={self.device_map!r} places the model by itself; leave out the device "
                f"{self.device!r}, or the device_map"
            )

    def check_recordable(self) -> None:
        """Refuse to record where nothing can be; the device must be known.

        Raises:
            ModelError: If the model is not on one CUDA device, with plain weights.
        """
        if not self.compile_decode:
            return
        if self.places:
            raise ModelError(
                "compile_decode=True records the steps of one device with plain weights; leave out "
                "the device_map and the quantization, or compile_decode"
            )
        if not self.place.startswith("cuda"):
            raise ModelError(
                f"compile_decode=True records a CUDA graph, and the device is {self.place!r}; "
                "leave it out, or use a machine with a GPU that torch can use"
            )

    def check_installed(self) -> None:
        """Refuse what needs a package that is not there.

        Raises:
            MissingExtraError: Naming the extra that brings it.
        """
        if self.quantization and find_spec("bitsandbytes") is None:
            raise MissingExtraError("bitsandbytes", "quantize", f"loading in {self.quantization}")
        if (self.device_map or self.quantization) and find_spec("accelerate") is None:
            purpose = "a device map" if self.device_map else f"loading in {self.quantization}"
            extra = "quantize" if self.quantization else "spread"
            raise MissingExtraError("accelerate", extra, purpose)

    def placed(self) -> LoadOptions:
        """These options with a device in the place of ``auto``; torch says which there are."""
        return replace(self, device=self.place) if self.device == AUTO else self

    @property
    def place(self) -> str:
        """The device; a device map begins at the CPU."""
        if self.device != AUTO:
            return self.device
        return "cpu" if self.device_map is not None else _best_device()

    def for_transformers(self) -> dict[str, Any]:
        """Arguments of ``from_pretrained``."""
        arguments: dict[str, Any] = {"dtype": self.numbers}
        if self.device_map:
            arguments["device_map"] = self.device_map
        if self.quantization:
            from transformers import BitsAndBytesConfig

            arguments["quantization_config"] = BitsAndBytesConfig(
                **{f"load_in_{self.quantization}": True}
            )
            arguments.setdefault("device_map", {"": self.place})
        return arguments

    @property
    def numbers(self) -> str:
        """The dtype that is asked for: the one that was given, or what stands for none."""
        if self.dtype:
            return self.dtype
        return "float32" if not self.places and self.place == "cpu" else AUTO

    @property
    def places(self) -> bool:
        """Whether loading also puts the model where it belongs."""
        return self.device_map is not None or self.quantization is not None


def _best_device() -> str:
    return _devices()[0]


def _devices() -> list[str]:
    """The devices that torch can use here, the best first."""
    # brings torch, which the list of options does without
    import torch

    graphics = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    others = ["mps"] if torch.backends.mps.is_available() else []
    return [*(["cuda"] if torch.cuda.is_available() else []), *graphics[1:], *others, "cpu"]


def check_device(device: str) -> None:
    """Refuse a device that torch cannot use here.

    Raises:
        ModelError: If it does not exist, or holds no numbers, as ``meta``.
    """
    if (reason := _why_unusable(device)) is not None:
        raise ModelError(f"device={device!r} {reason}; give {' or '.join(_devices())}")


def _why_unusable(device: str) -> str | None:
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError:
        return "is no device of torch"
    if kind == "meta":
        return "holds no numbers"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return "cannot be used on this machine"
    return None
