"""The forward pass of a stock decoder, or of one of its layers, with a KV cache.

The only place that knows what transformers calls the cache: up to 5.23 the argument is
``past_key_values``, later it is ``cache``. The signature tells, not the version, for a stock
``forward`` also swallows unknown names: under the wrong one it would run without a cache, silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from inspect import signature
from typing import Any

from torch import nn

from geofovea.errors import ModelError
from geofovea.pipeline.system.cancellation import check_cancelled, is_cancellable

__all__ = ["forward", "recordable"]

_NAMES = ("cache", "past_key_values")


def forward(module: nn.Module, *args: Any, cache: Any, **inputs: Any) -> Any:
    """Call a decoder, or a decoder layer, that reads and fills a cache.

    Where somebody may end the question, a long prompt is left between two layers of a decoder. What
    the cache holds then is of no use.

    Args:
        module: A stock text model, or one of its layers.
        args: What it takes by position.
        cache: The KV cache; None runs without one.
        inputs: What it takes by name.

    Returns:
        The output of the module.

    Raises:
        CancelledError: If nobody wants the answer any more.
        ModelError: If the module takes no cache, or left it empty.
    """
    # each token of an answer comes through here, and each layer of a run that drops tokens
    check_cancelled()
    if cache is None:
        with _checked_layers(module, inputs):
            return module(*args, use_cache=False, **inputs)
    kind: Any = type(module)
    with _checked_layers(module, inputs):
        output = module(*args, use_cache=True, **{_cache_argument(kind): cache}, **inputs)
    # a layer may stand anywhere in the cache; a whole decoder begins with its first layer
    if hasattr(module, "layers") and not cache.get_seq_length():
        raise ModelError(
            f"{type(module).__name__} left its KV cache empty, so that an answer would not see "
            "the prompt; use a release of transformers that pyproject.toml allows"
        )
    return output


@contextmanager
def _checked_layers(module: Any, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Ask before each layer whether the answer is still wanted, for more than one token."""
    embedded = inputs.get("inputs_embeds")
    with ExitStack() as hooks:
        if is_cancellable() and embedded is not None and embedded.shape[1] > 1:
            # who else runs this decoder meanwhile asks for itself: a check belongs to its thread
            for layer in getattr(module, "layers", ()):
                hooks.enter_context(layer.register_forward_pre_hook(_check))
        yield


def _check(*_: Any) -> None:
    check_cancelled()


def recordable(module: nn.Module, cache: Any) -> Callable[..., Any]:
    """A decoder with its cache, as a function of its other inputs that does nothing on the host.

    Nobody is asked whether the answer is still wanted, and the cache is taken to be filled: whoever
    records the call, or replays it, has to see to both.
    """
    kind: Any = type(module)
    return partial(module, use_cache=True, **{_cache_argument(kind): cache})


@lru_cache(maxsize=64)
def _cache_argument(kind: Any) -> str:
    """Name of the argument by which this class of modules takes its cache."""
    parameters = signature(kind.forward).parameters
    for name in _NAMES:
        if name in parameters:
            return name
    raise ModelError(
        f"{kind.__name__}.forward takes no KV cache: none of its arguments is named "
        f"{' or '.join(_NAMES)}; use a release of transformers that pyproject.toml allows"
    )
