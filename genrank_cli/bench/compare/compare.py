"""Two records → what changed: row by row, quantity by quantity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from genrank_cli.bench.compare.result import (
    DISTURBED,
    FASTER,
    SAME,
    SLOWER,
    UNKNOWN,
    Change,
    Comparison,
)
from genrank_cli.bench.compare.shift import shift
from genrank_cli.bench.quantiles import quantile_interval, quantile_ratio
from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.bench.statistics import SMALLEST, differs, median_interval
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.metrics.intervals import Interval

#: What must be the same for times to be compared, in the block of `environment`.
MACHINE = ("device", "cpu", "cores_usable", "cuda", "torch", "threads")

#: What may differ and is named.
VERSIONS = ("genrank", "commit", "python", "platform", "blas", "attention", "layer", "numpy")

#: Who compares many rows meets chance often: see `differs`.
STRICT = 0.99

#: The bench whose times are requests, so that their tail is a result.
TAILED = "serve"


def compare(
    old: BenchRecord,
    new: BenchRecord,
    names: tuple[str, str],
    command: str,
    *,
    anyway: bool = False,
) -> Comparison:
    """What changed from ``old`` to ``new``; ``names`` of their files, the ``command`` as typed.

    Raises `GenrankError`: (2) for two benches, (4) where the machine, PyTorch or the threads differ
    and not ``anyway``, and where no row is in both.
    """
    if old.bench != new.bench:
        raise GenrankError(
            f"{names[0]} is of bench {old.bench}, {names[1]} of bench {new.bench}",
            "compare two records of one bench",
        )
    machine = _differences(_machine(old), _machine(new), MACHINE)
    if machine and not anyway:
        listed = "; ".join(f"{name}: {a} and {b}" for name, (a, b) in machine.items())
        raise GenrankError(
            f"measured on different machines: {listed}",
            "times of these say nothing of the program; --anyway compares them all the same",
            ExitCode.CANNOT_JUDGE,
        )
    rows = [_by_name(record) for record in (old, new)]
    shared = [key for key in rows[0] if key in rows[1]]
    if not shared:
        raise GenrankError(
            "no row is in both records", "compare runs of the same rows", ExitCode.CANNOT_JUDGE
        )
    pairs = {key: (rows[0][key], rows[1][key]) for key in shared}
    return Comparison(
        bench=old.bench,
        old=names[0],
        new=names[1],
        machine=machine,
        versions=_differences(old.environment, new.environment, VERSIONS),
        settings=_differences(old.settings, new.settings, sorted({*old.settings, *new.settings})),
        changes=[
            change for key, pair in pairs.items() for change in _changes(old.bench, key[0], *pair)
        ],
        work=_work(pairs),
        checks=_checks(old, new),
        only_old=[" ".join(key) for key in rows[0] if key not in rows[1]],
        only_new=[" ".join(key) for key in rows[1] if key not in rows[0]],
        environments=[old.environment, new.environment],
        command=command,
    )


_Found = tuple[Case, Row]


def _by_name(record: BenchRecord) -> dict[tuple[str, str], _Found]:
    """(case, row) → both."""
    return {(case.name, row.name): (case, row) for case in record.cases for row in case.rows}


def _differences(
    old: Mapping[str, Any], new: Mapping[str, Any], names: Any
) -> dict[str, list[Any]]:
    found = {}
    for name in names:
        values = [_told(name, block.get(name)) for block in (old, new)]
        if values[0] != values[1]:
            found[name] = values
    return found


def _machine(record: BenchRecord) -> dict[str, Any]:
    """The block of a record; where it does not say what was used, the settings may."""
    device = record.environment.get("device") or record.settings.get("device")
    kind = None if device is None else str(device).partition(":")[0]
    return record.environment | {"device": kind}


def _told(name: str, value: Any) -> Any:
    """Of a GPU only which one: its driver is a version."""
    return value.get("device") if name == "cuda" and isinstance(value, dict) else value


def _changes(bench: str, case: str, old: _Found, new: _Found) -> Iterator[Change]:
    row = old[1].name
    steady = _steady(old[0], new[0])
    yield _paced(_change(case, row, "time", old[1].total_s(), new[1].total_s()), steady)
    for quantity, pair in _relative(old, new).items():
        found = _change(case, row, quantity, *pair)
        yield found if quantity == f"time / {old[1].base}" else _paced(found, steady)
    if bench == TAILED:
        yield _paced(_tail(case, row, old[1].total_s(), new[1].total_s()), steady)


def _steady(old: Case, new: Case) -> bool:
    """Whether neither run was disturbed and both did the same fixed products at one pace.

    Where they did not, a row is slowed by as much as it uses what was short, which no fixed piece
    of work tells: rows of one round still bear comparison, times of two runs do not.
    """
    if old.warnings or new.warnings:
        return False
    pairs = [(probe, new.probe(probe.name)) for probe in old.probes]
    return all(
        verdict(shift(after.rounds_s, before.rounds_s, STRICT)) in (SAME, UNKNOWN)
        for before, after in pairs
        if after is not None
    )


def _paced(change: Change, steady: bool) -> Change:
    return change if steady else change.model_copy(update={"verdict": DISTURBED})


def _relative(old: _Found, new: _Found) -> dict[str, tuple[list[float], list[float]]]:
    """Times over those of a fixed product, and over the base's, round by round, of both runs."""
    dtype = old[1].labels.get("dtype", "float32")
    found = {}
    for name in (f"product/{dtype}", old[1].base):
        if name is None:
            continue
        pair = [_over(case, row, name) for case, row in (old, new)]
        if pair[0] and pair[1]:
            found[f"time / {name}"] = (pair[0], pair[1])
    return found


def _over(case: Case, row: Row, name: str) -> list[float]:
    """Ratios of the rounds that both have; empty where the other is not there or not as often."""
    other, probe = case.row(name), case.probe(name)
    times = other.total_s() if other else probe.rounds_s if probe else []
    own = row.total_s()
    return [a / b for a, b in zip(own, times, strict=True)] if len(own) == len(times) else []


def _change(case: str, row: str, quantity: str, old: list[float], new: list[float]) -> Change:
    ratio, strict = shift(new, old), shift(new, old, STRICT)
    return Change(
        case=case,
        row=row,
        quantity=quantity,
        old=median_interval(old),
        new=median_interval(new),
        ratio=ratio,
        smallest=_smallest(strict),
        verdict=verdict(strict),
    )


def _tail(case: str, row: str, old: list[float], new: list[float]) -> Change:
    ratio = quantile_ratio(new, old, 0.99)
    return Change(
        case=case,
        row=row,
        quantity="P99",
        old=quantile_interval(old, 0.99),
        new=quantile_interval(new, 0.99),
        ratio=ratio,
        smallest=_smallest(ratio),
        verdict=verdict(ratio),
    )


def verdict(strict: Interval) -> str:
    """By the strict interval of new / old: different by size and by interval, both, or not."""
    if not math.isfinite(strict.high - strict.low):
        return UNKNOWN
    if not differs(strict):
        return SAME
    return SLOWER if strict.mean > 1 else FASTER


def _smallest(strict: Interval) -> float | None:
    """Half of the strict interval, or the size that a difference must have."""
    if not math.isfinite(strict.high - strict.low):
        return None
    return max(SMALLEST, math.sqrt(strict.high / strict.low) - 1)


def _work(pairs: Mapping[tuple[str, str], tuple[_Found, _Found]]) -> dict[str, list[int]]:
    found = {}
    for key, rows in pairs.items():
        flops = [sum(row.flops.values()) for _, row in rows]
        if flops[0] != flops[1]:
            found[" ".join(key)] = flops
    return found


def _checks(old: BenchRecord, new: BenchRecord) -> dict[str, list[str]]:
    verdicts = [{(c.id, c.case): str(c.verdict) for c in record.checks} for record in (old, new)]
    return {
        " ".join(key): [was, verdicts[1][key]]
        for key, was in verdicts[0].items()
        if verdicts[1].get(key, was) != was
    }
