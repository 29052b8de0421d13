"""What a comparison says; written as JSON, shown as a table."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict

from genrank_cli.bench.record import Interval
from genrank_cli.data.declare import Frozen

FASTER, SLOWER, SAME = "faster", "slower", "no difference seen"
UNKNOWN, DISTURBED = "too few rounds", "another pace"
SYMBOLS = {FASTER: "+", SLOWER: "x", SAME: "~", UNKNOWN: "?", DISTURBED: "!"}


class _Part(Frozen):
    model_config = ConfigDict(ser_json_inf_nan="null", extra="forbid", frozen=True)


class Change(_Part):
    """One quantity of one row.

    ``quantity``: ``time``; the time over that of a fixed product (``time / product/float32``) or of
    the row's base; ``P99``. ``old``, ``new``: seconds, or ratios. ``ratio``: new / old with 95 %.
    ``smallest``: the smallest change, as a share, that these two runs could have shown.
    ``verdict``: ``another pace`` where the machine was disturbed in a run, or did a fixed product
    at another pace: only ratios to a base are judged then.
    """

    case: str
    row: str
    quantity: str
    old: Interval
    new: Interval
    ratio: Interval
    smallest: float | None
    verdict: str


class Comparison(_Part):
    """Of two records of the same bench.

    ``machine``, ``versions``, ``settings``: name → [old, new], where they differ; the first makes
    times incomparable. ``environments``: of the old record and of the new one. ``work``: rows whose
    FLOPs changed. ``only_old``, ``only_new``: rows of one record. ``checks``: those whose verdict
    changed.
    """

    bench: str
    old: str
    new: str
    machine: dict[str, list[Any]]
    versions: dict[str, list[Any]]
    settings: dict[str, list[Any]]
    changes: list[Change]
    work: dict[str, list[int]]
    checks: dict[str, list[str]]
    only_old: list[str]
    only_new: list[str]
    environments: list[dict[str, Any]]
    command: str

    def count(self, verdict: str) -> int:
        """Changes of that verdict."""
        return sum(change.verdict == verdict for change in self.changes)
