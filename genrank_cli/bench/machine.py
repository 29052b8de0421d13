"""What the machine can do, and whether something else disturbed the measurement."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from genrank_cli.bench.statistics import drift, spread

#: Shares from which a disturbance is worth a warning.
BUSY, STOLEN, DRIFT, SPREAD = 0.05, 0.02, 0.05, 0.05

BF16_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert", "bf16"}  # the last one: ARM


def bf16_instructions() -> bool:
    """Whether the processor multiplies bfloat16 (AVX-512 BF16, AMX, ARM BF16)."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not BF16_FLAGS.isdisjoint(flags.split())


def available_bytes() -> int:
    """Memory that a process may still take."""
    return int(psutil.virtual_memory().available)


@dataclass(frozen=True)
class Load:
    """Seconds of all cores since the machine started, and of this process."""

    wall_s: float
    busy_s: float
    stolen_s: float
    own_s: float
    cores: int

    @classmethod
    def now(cls) -> Load:
        """Read the counters (cheap)."""
        all_cores, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = all_cores.idle + getattr(all_cores, "iowait", 0.0)
        stolen = getattr(all_cores, "steal", 0.0)
        return cls(
            time.monotonic(),
            sum(all_cores) - idle - stolen - getattr(all_cores, "guest", 0.0),
            stolen,
            own.user + own.system,
            os.cpu_count() or 1,
        )


def load_warnings(begin: Load, end: Load) -> list[str]:
    """Other processes, and a hypervisor that gave the cores to others, between two readings."""
    cores_s = max(end.wall_s - begin.wall_s, 1e-9) * end.cores
    others = ((end.busy_s - begin.busy_s) - (end.own_s - begin.own_s)) / cores_s
    stolen = (end.stolen_s - begin.stolen_s) / cores_s
    warnings = []
    if others > BUSY:
        warnings.append(
            f"other processes used {100 * others:.0f} % of the machine's {end.cores} cores "
            "meanwhile: stop them, or give a longer --budget"
        )
    if stolen > STOLEN:
        warnings.append(
            f"the hypervisor gave {100 * stolen:.0f} % of the cores' time to other machines: "
            "give a longer --budget"
        )
    return warnings


def pace_warnings(times: Sequence[float], more: str = "--rounds") -> list[str]:
    """Throttling and unrest, from a fixed piece of work (a matrix product) timed in every round.

    ``more``: the command's option that makes more of them.
    """
    if len(times) < 2:
        return []
    warnings = []
    moved, unrest = drift(times), spread(times)
    if abs(moved) > DRIFT:
        word = "slower" if moved > 0 else "faster"
        warnings.append(
            f"the machine became {100 * abs(moved):.0f} % {word} during the rounds (a fixed "
            "matrix product; heat, or a neighbour): ratios are paired, times are not comparable"
        )
    if unrest > SPREAD:
        warnings.append(
            f"a fixed matrix product varied by {100 * unrest:.0f} % (quartiles) between rounds: "
            f"a noisy machine; give more {more} or a longer --budget"
        )
    return warnings
