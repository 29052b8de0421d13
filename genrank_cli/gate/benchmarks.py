"""Files of pytest-benchmark (``--benchmark-json``), compared without its blind spots.

pytest-benchmark itself passes where a benchmark vanished, is new, or was run on another machine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genrank_cli.errors import data_error
from genrank_cli.gate.measurement import Benchmark, Benchmarks

#: With so many rows in common, the median of their changes is the machine's pace, not a change.
ROWS_FOR_PACE = 5

#: A row of fewer rounds has no quartiles worth the name.
FEWEST_ROUNDS = 5


class Compared(NamedTuple):
    """A row's outcome (as `judge.Outcome` writes it) and why."""

    name: str
    outcome: str
    reason: str
    old_s: float | None = None
    new_s: float | None = None
    tolerance: float | None = None


def read_benchmarks(path: Path) -> Benchmarks:
    """The rows of a file that ``pytest --benchmark-json`` wrote; raises `GenrankError` (5)."""
    hint = "make it with: pytest tests/benchmarks --benchmark-only --benchmark-json FILE"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        cpu = str(fields["machine_info"]["cpu"].get("brand_raw", "unknown"))
        rows = {
            row["fullname"]: Benchmark(
                low_s=row["stats"]["q1"],
                median_s=row["stats"]["median"],
                high_s=row["stats"]["q3"],
                rounds=row["stats"]["rounds"],
            )
            for row in fields["benchmarks"]
        }
    except OSError as error:
        raise data_error(f"{path}: {error.strerror}", hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise data_error(f"{path} is no file of pytest-benchmark: {error!r}", hint) from error
    return Benchmarks(cpu=cpu, rows=rows)


def compare_benchmarks(old: Benchmarks, new: Benchmarks, tolerance: float) -> Iterator[Compared]:
    """Every row of either file.

    A row regressed when its median is slower by more than ``tolerance`` after the pace that all
    rows share is taken out, and the middle halves of its times do not even touch. Where that pace
    is itself beyond the tolerance nobody knows whose it is, the machine's or the code's: where
    all became slower no row passes, and no row regressed that is slower with the correction only.
    """
    if not old.rows and not new.rows:
        yield Compared("all", "cannot judge", "there is no row in the baseline, nor in this file")
        return
    if old.cpu != new.cpu:
        reason = f"another machine: {new.cpu}, the baseline's {old.cpu}"
        yield Compared("all", "cannot judge", reason)
        return
    common = [name for name in old.rows if name in new.rows]
    changes = [new.rows[name].median_s / old.rows[name].median_s for name in common]
    pace = float(np.median(changes)) if len(common) >= ROWS_FOR_PACE else 1.0
    for name in dict.fromkeys([*old.rows, *new.rows]):
        if name not in new.rows:
            yield Compared(name, "cannot judge", "vanished: it is in the baseline only")
        elif name not in old.rows:
            yield Compared(name, "cannot judge", "new: not in the baseline; add it with --update")
        else:
            yield _compared(name, old.rows[name], new.rows[name], pace, tolerance)
    if pace > 1 + tolerance:
        yield Compared("pace", "cannot judge", _shared(pace))


def _shared(pace: float) -> str:
    return f"all rows together take {pace:.2f}× the time: another pace of the machine, or the code"


def _compared(name: str, old: Benchmark, new: Benchmark, pace: float, tolerance: float) -> Compared:
    whole = new.median_s / old.median_s
    change = whole / pace
    limit = 1 + tolerance
    apart = new.low_s / pace > old.high_s
    text = f"time {change:.3f}× of the baseline's, tolerated {limit:g}×"
    figures = (old.median_s, new.median_s, tolerance)
    if min(old.rounds, new.rounds) < FEWEST_ROUNDS:
        return Compared(name, "cannot judge", f"fewer than {FEWEST_ROUNDS} rounds", *figures)
    if change <= limit and pace <= limit:
        return Compared(name, "passed", text, *figures)
    unclear = pace > limit or pace < 1 / limit
    if unclear and min(change, whole) <= limit:
        text = f"time {whole:.3f}× of the baseline's, tolerated {limit:g}×; {_shared(pace)}"
        return Compared(name, "cannot judge", text, *figures)
    if apart:
        return Compared(name, "regressed", text, *figures)
    text += ": the times of both overlap"
    return Compared(name, "cannot judge", text, *figures)
