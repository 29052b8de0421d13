"""What belongs to a device where the user did not say."""

from __future__ import annotations

from typing import Any

from genrank_cli.attention.backends import BACKEND_NAMES
from genrank_cli.attention.native.compiled import available as native_available
from genrank_cli.bench.attention.plan import DEFAULT_BIASES, REFERENCE, Request, checked
from genrank_cli.training.runtime import resolve_device


def request_for(device: str, **fields: Any) -> Request:
    """The request of a device's name (``auto`` is resolved); fields that are None get a default.

    On CUDA the default batch is one that fills it, and the dtype the one it is used with. Raises
    `GenrankError` (2) for a device that is not there and as `checked` does.
    """
    target = resolve_device(device)
    on_cuda = target.type == "cuda"
    defaults: dict[str, Any] = {
        "batch_size": 128 if on_cuda else 8,
        "dtypes": ("bfloat16",) if on_cuda else ("float32", "bfloat16"),
        "biases": DEFAULT_BIASES,
        "backends": _cuda_backends() if on_cuda else _cpu_backends(),
    }
    given = {name: value for name, value in fields.items() if value is not None}
    plain = {name: tuple(x) if isinstance(x, tuple) else x for name, x in given.items()}
    return checked(Request(**defaults | plain, device=str(target)), BACKEND_NAMES)


def _cpu_backends() -> tuple[str, ...]:
    native = ("native",) if native_available() else ()
    return (REFERENCE, *native, "blockwise", "sdpa")


def _cuda_backends() -> tuple[str, ...]:
    fast = "triton" if "triton" in BACKEND_NAMES else "blockwise"
    return (REFERENCE, fast, "sdpa", "flash", "flex")
