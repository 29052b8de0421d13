"""Cases for the kernels in Triton: on the CUDA device, else in Triton's interpreter."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch

from genrank_cli.attention import BiasModule
from genrank_cli.attention.gpu.interpreter import interpreted
from tests.attention.cases import BIASES, Case, Shape, make_case

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HAS_TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(
    not (HAS_TRITON and (DEVICE == "cuda" or interpreted())),
    reason="needs triton, and a CUDA device or TRITON_INTERPRET=1",
)

#: Blocks are 32 rows and 16 keys in the interpreter.
SMALL: Shape = [(31, 6), (0, 0), (7, 3), (1, 1)]


def _patch_once() -> None:
    """Let the interpreter prepare ``triton.language`` once for a kernel, not for every function.

    It looks through the whole module for each call of a ``@triton.jit`` function inside a kernel,
    which takes half of the time of these tests.
    """
    from triton import language
    from triton.runtime import interpreter

    original, done = getattr(interpreter, "_patch_lang", None), set[frozenset[str]]()
    if original is None:
        return

    def patch_lang(function: Any) -> Any:
        modules = (language, language.core)
        names = {
            x.__name__
            for x in function.__globals__.values()
            if isinstance(x, ModuleType) and x in modules
        }
        if frozenset(names) in done:
            return interpreter._LangPatchScope()
        done.add(frozenset(names))
        scope = original(function)
        restore = scope.restore

        def restore_all() -> None:
            done.clear()
            restore()

        scope.restore = restore_all
        return scope

    interpreter._patch_lang = patch_lang


if HAS_TRITON and interpreted():
    _patch_once()


def gpu_case(shape: Shape, *, width: int | None = None, **options: Any) -> Case:
    """A batch on the device; ``width``: of q and k, and of v if it has no other."""
    case = make_case(shape, **options)
    for name in ("q", "k", "v", "grad") if width is not None else ():
        random = torch.Generator().manual_seed(len(name) + ord(name[0]))
        size = (*getattr(case, name).shape[:2], width)
        setattr(case, name, torch.randn(size, generator=random, dtype=torch.float64))
    for name, x in vars(case).items():
        setattr(case, name, x.to(DEVICE))
    return case


def gpu_bias(name: str) -> BiasModule | None:
    """A bias on the device."""
    make: Callable[[], BiasModule | None] = BIASES[name]
    module = make()
    return None if module is None else module.to(DEVICE)
