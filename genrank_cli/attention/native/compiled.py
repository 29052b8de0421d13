"""Compiles ``kernel.cpp`` and its headers once for this machine, and loads them."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from genrank_cli.errors import GenrankError, data_error
from genrank_cli.paths import cache_dir

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("kernel.cpp")
HEADERS = sorted(SOURCE.parent.glob("*.h"))
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fno-math-errno")

_P = ctypes.c_void_p
_I = ctypes.c_int64
STEPS = ("token", "head")


class Problem(ctypes.Structure):
    """The arguments of a call; field by field the ``struct Problem`` of ``problem.h``."""

    _fields_ = (
        *((name, _I) for name in ("sequences", "heads", "width", "value_width", "half", "level")),
        *((f"{x}_{step}", _I) for x in ("q", "k", "v", "grad", "out") for step in STEPS),
        *((name, _P) for name in ("q", "k", "v", "offsets", "row_offsets")),
        *((name, _P) for name in ("context", "start", "stop", "peer_start", "peer_stop", "order")),
        ("softmax", _I),
        *((name, ctypes.c_float) for name in ("scale", "weight")),
        *((name, _I) for name in ("dropout", "seed", "threshold")),
        ("kept_scale", ctypes.c_float),
        *((name, _P) for name in ("out", "log_sum")),
        *((name, _I) for name in ("bias", "positions", "buckets")),
        *((name, _P) for name in ("slopes", "position", "row_position", "time", "row_time")),
        *((name, _P) for name in ("edges", "position_table", "time_table")),
        *((name, _P) for name in ("cells", "cells_first")),
        *((name, _P) for name in ("grad", "dq", "dk", "dv")),
        *((name, _P) for name in ("position_grad", "time_grad", "cells_grad")),
        *((name, _I) for name in ("item_heads", "items")),
        *((name, _P) for name in ("item", "next")),
    )


@functools.cache
def available() -> bool:
    """Whether the kernels can be had here; a warning tells, once, where a compiler cannot help."""
    if compiler() is None:
        return False
    try:
        kernels()
    except GenrankError as error:
        log.warning("%s; using blockwise", error.message)
        return False
    return True


@functools.cache
def compiler() -> str | None:
    """The path of a C++ compiler; None where there is none."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


@functools.cache
def kernels() -> ctypes.CDLL:
    """The compiled kernels, from the cache or compiled now (a few seconds).

    Raises `GenrankError` (2) where there is no compiler or it refuses the source.
    """
    found = compiler()
    if found is None:
        hint = f"install a C++ compiler ({', '.join(COMPILERS)}), or use the backend blockwise"
        raise GenrankError("attention backend native: no C++ compiler on this machine", hint)
    target = cache_dir() / f"attention-{_key(found)}.so"
    if not target.exists():
        _compile(found, target)
    try:
        loaded = ctypes.CDLL(str(target))
    except OSError as error:  # such as a folder that nothing may be executed from
        hint = "set XDG_CACHE_HOME to another folder, or use the backend blockwise"
        raise GenrankError(f"attention backend native: {target}: {error}", hint) from error
    for kernel in (loaded.genrank_forward, loaded.genrank_backward):
        kernel.argtypes = (ctypes.POINTER(Problem),)
    loaded.genrank_large_pages.argtypes = (_P, _I)
    loaded.genrank_large_pages.restype = None
    loaded.genrank_level.argtypes = (_I,)
    return loaded


def _key(found: str) -> str:
    """Changes with the source, the compiler, the flags and the processor."""
    version = subprocess.run([found, "--version"], capture_output=True, check=False).stdout
    sources = (file.read_bytes() for file in (SOURCE, *HEADERS))
    parts = (*sources, version, " ".join(FLAGS).encode(), _processor())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _processor() -> bytes:
    """What ``-march=native`` depends on: the processor's features, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_bytes().splitlines()
    except OSError:
        return platform.processor().encode()
    return next((line for line in lines if line.startswith((b"flags", b"Features"))), b"")


def _compile(found: str, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(dir=target.parent, suffix=".so")
        os.close(handle)
    except OSError as error:
        raise data_error(
            f"cannot write the compiled kernels in {target.parent}: {error}"
        ) from error
    try:
        done = subprocess.run(
            [found, *FLAGS, "-o", part, str(SOURCE)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            first = done.stderr.strip().splitlines()[:3]
            message = f"attention backend native: {found} failed: {' '.join(first)}"
            raise GenrankError(message, "use the backend blockwise")
        Path(part).replace(target)  # another process may compile at the same time
    finally:
        Path(part).unlink(missing_ok=True)
