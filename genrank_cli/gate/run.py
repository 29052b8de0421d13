"""One run of the suite on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genrank_cli.errors import GenrankError
from genrank_cli.gate.measurement import Failure, Measurement, Pace, Quality
from genrank_cli.gate.pace import measure_pace
from genrank_cli.gate.quality import open_part, run_quality
from genrank_cli.gate.suite import Suite
from genrank_cli.training.environment import environment

PARTS = ("auc", "speed")

#: What of the environment decides relative times. The memory and the number of cores do not.
MACHINE = ("cpu", "torch", "attention", "layer", "cuda")


@dataclass(frozen=True)
class Watch:
    """What is told while the suite runs: a trained cell by name, and a round by number."""

    cell: Callable[[str], None] = lambda name: None
    round: Callable[[int], None] = lambda done: None


def machine(block: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an environment block that relative times depend on."""
    return {name: block.get(name) for name in MACHINE}


def measure_suite(
    suite: Suite,
    parts: Sequence[str] = PARTS,
    *,
    jobs: int | None = None,
    watch: Watch | None = None,
) -> Measurement:
    """AUC and times; what cannot be measured is a `Failure`, and the rest goes on."""
    begun, watch = time.monotonic(), watch or Watch()
    quality: list[Quality] = []
    pace: Pace | None = None
    failures: list[Failure] = []
    # Whatever is wrong with the data is said before the long work.
    stores = {part.name: open_part(part) for part in suite.quality if "auc" in parts}
    if "speed" in parts:  # first, while the machine has not been heated by the training
        pace, failures = pace_of(suite, watch)
    for part in suite.quality if "auc" in parts else ():
        store = stores[part.name]
        if isinstance(store, str):
            failures += [
                Failure(id=f"auc/{part.name}/{model}", reason=store, skipped=True)
                for model in part.models
            ]
            continue
        for found in run_quality(suite, part, store, jobs or cores(), watch.cell):
            if isinstance(found, Quality):
                quality.append(found)
            else:
                failures.append(found)
    return Measurement(
        suite_version=suite.version,
        suite_hash=suite.hash,
        parts=tuple(parts),
        quality=tuple(quality),
        pace=pace,
        failures=tuple(failures),
        environment=environment(),
        wall_s=time.monotonic() - begun,
    )


def pace_of(suite: Suite, watch: Watch) -> tuple[Pace, list[Failure]]:
    """The suite's times, on the data of the part that it names."""
    store = open_part(suite.part(suite.pace.quality))
    if isinstance(store, str):
        raise GenrankError(f"pace.quality = {suite.pace.quality!r} has no data here: {store}")
    return measure_pace(suite, store, watch.round)


def cores() -> int:
    """Cores that this process may use: that many models train at once."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, usable or 1)
