"""Who wants to hear how far a bench of several cases is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Watch:
    """Called with a case's or a row's name and figures."""

    warming: Callable[[str, str], None] = lambda case, row: None
    round_done: Callable[[str, int, float], None] = lambda case, done, precision: None
    memory: Callable[[str], None] = lambda row: None
