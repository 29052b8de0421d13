"""Figures in words: shares, spans of time, moments, lists of names."""

from __future__ import annotations

import math
from datetime import UTC, datetime


def percent(share: float) -> str:
    """``0.0004`` → ``0.04 %``; what is not 0 never reads as 0."""
    scaled = 100 * share
    digits = 1 if scaled >= 0.1 or scaled == 0 else 1 - math.floor(math.log10(scaled))
    return f"{scaled:.{digits}f} %"


def of_test(share: float) -> str:
    """A share of the test events."""
    return f"{percent(share)} of test" if share else "none"


def duration(seconds: float) -> str:
    """``93784.0`` → ``26.1 h``."""
    for name, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.3g} s"


def utc(seconds: float) -> str:
    """ISO date-time in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def listed(names: list[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
