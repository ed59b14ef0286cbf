"""A device that is not there: its tensors are computed on the CPU and may not meet those that are.

They say that they are on ``cuda:0``. What a GPU refuses is refused: tensors of two devices in one
operation, NumPy on a tensor of the device. What a GPU is asked for is counted: launches, and what
waits until it has done all that was asked before. So a machine without a GPU can tell whether a
program would run on one, and what it would ask of it; not how long that takes.

    with PretendDevice() as device:
        model = to_device(model)
        ...
    print(device.launches, device.waits)
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["DEVICE", "Far", "PretendDevice", "to_device"]

DEVICE = torch.device("cuda:0")

_COPIES = ("_to_copy", "copy_")
# what a program cannot go on without: a number of the device, or a size that depends on one
_WAITS = (
    "_local_scalar_dense",
    "_unique2",
    "equal",
    "masked_select",
    "nonzero",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
)
_NO_GPU = {
    "_lazy_init": None,
    # of Hopper; by it transformers chooses how experts are multiplied
    "get_device_capability": (9, 0),
    "get_device_name": "a pretend device",
    "max_memory_allocated": 0,
    "reset_peak_memory_stats": None,
    "synchronize": None,
}
_WHOLE_NUMBERS = ("histc",)
# a GPU takes indices from either side
_INDEXED = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
# attention is one launch with a fused kernel; ``where`` makes tensors of numbers, on no device here
_WHOLE = (
    torch.nn.functional.scaled_dot_product_attention,
    torch.nn.functional.cosine_similarity,
    torch.where,
    Tensor.where,
)


class Far(Tensor):
    """A tensor of the device; its numbers lie in ``near``."""

    near: Tensor

    @staticmethod
    def __new__(cls, near: Tensor) -> Far:
        """A tensor of the shape and type of ``near``, which it shares."""
        # else views of weights would be tied to versions that inference does not keep
        with torch.inference_mode(False):
            tensor: Far = Tensor._make_wrapper_subclass(
                cls,
                near.shape,
                strides=near.stride(),
                storage_offset=near.storage_offset(),
                dtype=near.dtype,
                layout=near.layout,
                # to torch itself, which has no such device here
                device="meta",
            )
        return tensor

    def __init__(self, near: Tensor) -> None:
        self.near = near

    @property
    def device(self) -> torch.device:
        """Where it seems to be."""
        return DEVICE

    @property
    def is_cuda(self) -> bool:
        """As of a GPU."""
        return True

    @property
    def is_meta(self) -> bool:
        """It has numbers."""
        return False

    def __repr__(self) -> str:
        return f"Far({self.near!r})"

    def data_ptr(self) -> int:
        """Of its numbers."""
        return self.near.data_ptr()

    def numpy(self, *, force: bool = False) -> Any:  # noqa: ARG002
        """Refused, as on a GPU."""
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"can't convert {DEVICE} device type tensor to numpy")

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {}, None)


class PretendDevice:
    """Where the device can be used, also by threads that start inside; one at a time.

    Attributes:
        launches: By operation; those that only look at a tensor in another way are none.
        waits: By operation.
        moved: Bytes, by direction.
    """

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self._inside = ExitStack()

    def __enter__(self) -> PretendDevice:
        # torch would begin to look for a GPU when it hears of one
        for name, answer in _NO_GPU.items():
            self._inside.enter_context(_replaced(torch.cuda, name, lambda *_, a=answer: a))
        plain = threading.Thread.run

        def run(thread: threading.Thread) -> None:
            with self._on_this_thread():
                plain(thread)

        self._inside.enter_context(_replaced(threading.Thread, "run", run))
        self._inside.enter_context(self._on_this_thread())
        return self

    def __exit__(self, *error: object) -> None:
        self._inside.close()

    @contextmanager
    def _on_this_thread(self) -> Iterator[None]:
        with _Functions(self), _Operations(self):
            yield

    def note(self, func: Any, args: Any, stays: bool) -> None:
        """One operation, whose result stays on the device or comes from it."""
        name = func.overloadpacket.__name__
        if name in (*_COPIES, "_local_scalar_dense"):
            source = args[1] if name == "copy_" else args[0]
            if isinstance(source, Far) != stays:
                self.moved["to the device" if stays else "from the device"] += source.nbytes
        if name in _WAITS or (name in _COPIES and not stays):
            self.waits[name] += 1
        if not func.is_view and not name.startswith(("empty", "new_empty", "_local")):
            self.launches[name] += 1


class _Operations(TorchDispatchMode):
    """What torch asks of a device, whether a tensor of it is given or one is made."""

    def __init__(self, device: PretendDevice) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func._can_decompose():
            with self:
                result = func.decompose(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        return _run(func, args, kwargs or {}, self._device)


class _Functions(TorchFunctionMode):
    """What torch does before it asks which device a tensor is on."""

    def __init__(self, device: PretendDevice) -> None:
        super().__init__()
        self._device = device

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if func in _WHOLE and any(isinstance(t, Far) for t in tree_leaves((args, named))):
            return self._whole(func, args, named)
        if func is Tensor.tolist and isinstance(args[0], Far):
            self._device.waits["tolist"] += 1
            self._device.moved["from the device"] += args[0].nbytes
            return args[0].near.tolist()
        if func is Tensor.__setitem__ and isinstance(args[0], Far):
            return self._set_item(*args)
        if func is Tensor.__getitem__ and isinstance(args[0], Far):
            return self._item(*args)
        if func in (torch.tensor, torch.as_tensor) and _is_far(named.get("device")):
            self._device.launches["upload"] += 1
            near = func(*args, **{**named, "device": "cpu"})
            self._device.moved["to the device"] += near.nbytes
            return Far(near)
        return func(*args, **named)

    def _item(self, source: Far, key: Any) -> Tensor:
        """Of a list in a key, too, torch would make a tensor."""
        inside = [k for k in tree_leaves(key) if isinstance(k, Tensor)]
        if any(t.dtype == torch.bool for t in inside):
            self._device.waits["nonzero"] += 1
        self._device.launches["index"] += bool(inside) or isinstance(key, list)
        with _disable_current_modes():
            return Far(source.near[tree_map(_near, key)])

    def _set_item(self, target: Far, key: Any, value: Any) -> None:
        """Torch would make a tensor of a number on its own, on no device that we can tell."""
        if isinstance(value, Tensor) and not isinstance(value, Far):
            _check_one_device("__setitem__", [value])
        self._device.launches["__setitem__"] += 1
        with _disable_current_modes():
            target.near[tree_map(_near, key)] = _near(value)

    def _whole(self, func: Any, args: Any, named: dict[str, Any]) -> Any:
        """One launch, of which torch would make several, or tensors of its own."""
        name = func.__name__
        tensors = [t for t in tree_leaves((args, named)) if isinstance(t, Tensor)]
        _check_one_device(name, [t for t in tensors if not isinstance(t, Far)])
        self._device.launches[name] += 1
        with _disable_current_modes():
            return Far(func(*tree_map(_near, args), **tree_map(_near, named)))


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def to_device(model: nn.Module) -> nn.Module:
    """Put the weights of a model on the device, in place; weights that are shared stay so."""
    moved: dict[int, Any] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and not isinstance(weight, Far):
                far = nn.Parameter(Far(weight.data), requires_grad=False)
                module._parameters[name] = moved.setdefault(id(weight), far)
        for name, buffer in module._buffers.items():
            if buffer is not None and not isinstance(buffer, Far):
                module._buffers[name] = moved.setdefault(id(buffer), Far(buffer))
        for name, value in vars(module).items():
            # a rotary embedding keeps a buffer under a second name
            if id(value) in moved:
                setattr(module, name, moved[id(value)])
    return model


def _run(func: Any, args: Any, kwargs: dict[str, Any], counting: PretendDevice | None) -> Any:
    """Compute on the CPU what was asked of either device."""
    leaves = tree_leaves((args, kwargs))
    far = [t for t in leaves if isinstance(t, Far)]
    name, device = func.overloadpacket.__name__, kwargs.get("device")
    stays = bool(far) if device is None else _is_far(device)
    if name == "copy_":
        stays = isinstance(args[0], Far)
    elif far and name != "_to_copy":
        checked = (args[0], args[2:]) if name in _INDEXED else leaves
        others = [t for t in tree_leaves(checked) if isinstance(t, Tensor)]
        _check_one_device(name, [t for t in others if not isinstance(t, Far)])
    if counting is not None and (far or stays):
        counting.note(func, args, stays)
    if name == "_to_copy" and far and stays and set(kwargs) <= {"device"}:
        return far[0]
    near = tree_map(_near, args)
    if name in _WHOLE_NUMBERS:
        # a GPU counts whole numbers, which the CPU takes as floats alone
        result = func(near[0].double(), *near[1:], **tree_map(_near, kwargs)).to(near[0].dtype)
    else:
        result = func(*near, **tree_map(_near, kwargs))
    written = {id(t.near): t for t in far}

    def wrapped(value: Any) -> Any:
        if not isinstance(value, Tensor) or not stays:
            return value
        source = written.get(id(value))
        return Far(value) if source is None else source

    return tree_map(wrapped, result)


def _check_one_device(name: str, others: list[Tensor]) -> None:
    """Of another device only single numbers are taken."""
    if any(t.dim() for t in others):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but {name} got {DEVICE} and cpu"
        )


def _is_far(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _near(value: Any) -> Any:
    if isinstance(value, Far):
        return value.near
    return torch.device("cpu") if _is_far_device(value) else value


def _is_far_device(value: Any) -> bool:
    return isinstance(value, torch.device) and _is_far(value)
