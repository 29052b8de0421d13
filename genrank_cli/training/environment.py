"""What a result was measured on: machine, versions, threads, commit. Never who nor which host."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrank_cli import __version__
from genrank_cli.paths import PACKAGE

ABSOLUTE_PATH = re.compile(r"(^|[=,:])/(?:[^/=,:]+/)*([^/=,:]*)")


def environment(device: str | None = None) -> dict[str, Any]:
    """The block written beside every result; ``device`` (``cpu``, ``cuda:1``) is what was used.

    Keys: ``genrank, commit, python, platform, cpu, cores_physical, cores_logical, cores_usable,
    memory_bytes, torch, threads, blas, attention, layer, numpy, polars, device, cuda, command``.
    ``attention`` and ``layer`` are what ``auto`` stands for on that device, or the best one here;
    ``device`` is its kind; ``cuda`` is what the machine has, used or not: None or ``device, count,
    runtime, driver, memory_bytes``; ``commit`` is None outside a checkout. What cannot be found
    out, or was not told, is None.
    Imports torch.
    """
    import numpy as np
    import polars as pl
    import psutil
    import torch

    from genrank_cli.attention import resolve_backend
    from genrank_cli.models.layer import resolve_layer

    used = None if device is None else device.partition(":")[0]
    best = used or ("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "genrank": __version__,
        "commit": git_commit(PACKAGE.parent),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores_physical": psutil.cpu_count(logical=False),
        "cores_logical": psutil.cpu_count(),
        "cores_usable": _usable_cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "torch": str(torch.__version__),
        "threads": torch.get_num_threads(),
        "blas": _blas(),
        "attention": resolve_backend("auto", best),
        "layer": resolve_layer("auto", best),
        "numpy": np.__version__,
        "polars": pl.__version__,
        "device": used,
        "cuda": _cuda(device),
        "command": command_line(sys.argv),
    }


def one_line(block: Mapping[str, Any]) -> str:
    """The line above a table: machine, threads, torch, Python, and the version measured.

    A GPU that was not used is not named. Blocks of older records know nothing of the device and the
    layer.
    """
    commit = f" ({block['commit']})" if block["commit"] else ""
    used = block["cuda"] if block.get("device") != "cpu" else None
    device = f"{used['device']} · " if used else ""
    return (
        f"{device}{block['cpu']}, {_count(block['cores_usable'], 'core')}, "
        f"{block['memory_bytes'] / 2**30:.0f} GiB · {_count(block['threads'], 'thread')} · "
        f"attention {block['attention']}, layer {block.get('layer', '?')} · "
        f"torch {block['torch']} · Python {block['python']} · genrank {block['genrank']}{commit}"
    )


def git_commit(folder: Path) -> str | None:
    """Short commit of the checkout ``folder``, with ``+dirty`` where tracked files changed."""
    if not (folder / ".git").exists():
        return None
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+dirty" if changed else commit


def command_line(arguments: Sequence[str]) -> str:
    """The command as typed, absolute paths cut to their last part (they name people and hosts)."""
    words = [ABSOLUTE_PATH.sub(r"\1.../\2", word) for word in arguments[1:]]
    return shlex.join(["genrank", *words])


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return " ".join(line.partition(":")[2].split())
    return platform.processor() or platform.machine()


def _usable_cores() -> int | None:
    """Cores that this process may run on: fewer than the machine's in a container or a job."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _blas() -> str | None:
    from threadpoolctl import threadpool_info

    libraries = {
        f"{pool['internal_api']} {pool['version'] or ''}".strip() for pool in threadpool_info()
    }
    return ", ".join(sorted(libraries)) or None


def _cuda(device: str | None) -> dict[str, Any] | None:
    """Of the GPU ``device``; of the first one where another device, or none, was used."""
    import torch

    if not torch.cuda.is_available():
        return None
    number = torch.device(device).index or 0 if device and device.startswith("cuda") else 0
    return {
        "device": torch.cuda.get_device_name(number),
        "count": torch.cuda.device_count(),
        "runtime": torch.version.cuda,
        "driver": _driver(),
        "memory_bytes": torch.cuda.get_device_properties(number).total_memory,
    }


def _driver() -> str | None:
    try:
        import pynvml
    except ImportError:  # comes with the extra `gpu`
        return None
    try:
        pynvml.nvmlInit()
        return str(pynvml.nvmlSystemGetDriverVersion())
    except pynvml.NVMLError:
        return None


def _count(number: int | None, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}" if number else f"? {noun}s"
