"""How many times a hot path is run: enough to see a change of a tenth, all of them in a minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

ROUNDS, LARGE_ROUNDS, WARM_UP = 5, 3, 1


def timed(benchmark: Any, step: Callable[[], object], rounds: int = ROUNDS) -> None:
    """Run ``step`` a fixed number of times: a calibrated number would take a second and more."""
    benchmark.pedantic(step, rounds=rounds, warmup_rounds=WARM_UP)
