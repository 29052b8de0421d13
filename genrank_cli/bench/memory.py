"""Peak extra memory of a call: what it holds at its worst moment beyond its inputs.

On a CPU this is resident memory in a process of its own: the counters of PyTorch's allocator would
miss what a C++ kernel or numpy takes, and a process that ran other things before would use again
what they gave back, so that nothing new would be seen. The process loads everything first, on a
call of the same kind but tiny; then the system's high-water mark is set back (Linux), and read
after the call. On CUDA it is the allocator's own peak, which is exact.
"""

from __future__ import annotations

import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from genrank_cli.errors import GenrankError

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc(5): set VmHWM back to what is resident now

KILLED = -9


def peak_extra_bytes(call: Callable[[], object], device: str) -> int:
    """Run ``call`` once. On a CPU only meaningful in a fresh process (`in_fresh_process`)."""
    return _cuda_peak(call) if device.startswith("cuda") else _resident_peak(call)


def _cuda_peak(call: Callable[[], object]) -> int:
    import torch

    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return int(torch.cuda.max_memory_allocated()) - before


def _resident_peak(call: Callable[[], object]) -> int:
    gc.collect()
    _give_back()
    before = psutil.Process().memory_info().rss
    _reset_peak()
    call()
    return max(0, _resident_high() - before)


def _give_back() -> None:
    """Let glibc return freed pages, or the call would take those and seem to need nothing."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _reset_peak() -> None:
    """Where this cannot be done, the peak of loading counts; calls worth measuring exceed it."""
    if RESET.exists():
        RESET.write_text(RESET_PEAK)


def _resident_high() -> int:
    if STATUS.exists():
        line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return high if sys.platform == "darwin" else high * 1024


def in_fresh_process(module: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Run ``python -m module`` with the request as JSON on stdin; the JSON that it prints.

    Raises `GenrankError` with the last line that it wrote to stderr where it fails.
    """
    done = subprocess.run(
        [sys.executable, "-m", module],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == KILLED:
        raise GenrankError("the process was killed: probably out of memory")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise GenrankError(lines[-1])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
