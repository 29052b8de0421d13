"""Records that no run made, for the report's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genrank_cli.bench.record import RECORD_VERSION as BENCH_VERSION
from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.report.page_load import UNKNOWN
from genrank_cli.studies.record import ClaimResult, RowResult, StudyRecord

#: Text that breaks out of HTML, of a table's cell and of an attribute where it is not escaped.
HOSTILE = "</td><script>alert(1)</script>\"'&<img src=http://x.test/p onerror=alert(2)>|`x`"

ENVIRONMENT: dict[str, Any] = UNKNOWN | {"cpu": "A CPU", "torch": "2.0", "genrank": "0.1.0"}


def row(name: str, auc: list[float], base: list[float] | None = None, **fields: Any) -> RowResult:
    """A row with an AUC a seed, compared with the base's where that is given."""
    delta = None if base is None else paired_t([a - b for a, b in zip(auc, base, strict=True)])
    seeds = list(range(len(auc)))
    return RowResult(
        **{
            "name": name,
            "label": name,
            "role": "variant",
            "preset": "hstu",
            "changes": {},
            "seeds": seeds,
            "auc": auc,
            "auc_mean": paired_t(auc),
            "metrics": {"auc": sum(auc) / len(auc), "gauc_user": 0.6, "ne": 0.8, "events": 1000.0},
            "delta_auc": delta,
            "delta_auc_users": None
            if delta is None
            else Interval(delta.mean, -0.02, 0.03, 50, 0.1),
            "speed_ratio": None if base is None else geometric_ratio([1.2, 1.25, 1.3]),
            "speed_outliers": 0,
            "events_per_s": 1000.0 if base is None else 1250.0,
            "parameters": 12345,
            "train_s": [10.0] * len(auc),
            "runs": [f"runs/{name}-s{seed}" for seed in seeds],
        }
        | fields
    )


def claim(name: str = "small.auc", variant: str = "other", **fields: Any) -> ClaimResult:
    return ClaimResult(
        **{
            "id": name,
            "variant": variant,
            "metric": "auc",
            "kind": "difference",
            "reported": 0.0009,
            "verdict": "within noise",
            "symbol": "~",
            "reason": "measured +0.01 [-0.02, +0.03], reported +0.0009: nothing is excluded",
            "minimum_detectable": 0.0123,
            "source": "a paper",
        }
        | fields
    )


def study(**fields: Any) -> StudyRecord:
    """A study of two variants and a reference over three seeds."""
    base, other = [0.80, 0.81, 0.82], [0.81, 0.83, 0.82]
    untrained = {"parameters": 0, "train_s": [0.0], "events_per_s": None}
    rows = [
        row("base", base),
        row("other", other, base),
        row("smoothed", [0.70, 0.71, 0.70], base, role="reference", **untrained),
    ]
    return StudyRecord(
        **{
            "study": "small",
            "study_hash": "00",
            "title": "A small study",
            "question": "Does it?",
            "dataset": "alpha",
            "data_hash": "a" * 64,
            "split": "temporal",
            "tasks": ["click"],
            "size": "tiny",
            "seeds": [0, 1, 2],
            "partial": False,
            "base": "base",
            "oracle_auc": 0.9,
            "rows": rows,
            "claims": [claim(), claim("small.speed", metric="speed", kind="ratio", reported=1.25)],
            "failures": [],
            "speed_rounds": 3,
            "environment": ENVIRONMENT,
            "command": "genrank ablate --component small",
        }
        | fields
    )


def bench(lengths: tuple[int, ...] = (128, 256, 512), **fields: Any) -> BenchRecord:
    """An attention bench of two rows at some lengths."""
    return BenchRecord(
        **{
            "version": BENCH_VERSION,
            "bench": "attention",
            "title": "A small bench",
            "settings": {},
            "cases": [_case(length) for length in lengths],
            "memory_case": "",
            "memory": [],
            "checks": [],
            "environment": ENVIRONMENT,
            "command": "genrank bench attention --seq-len 128",
        }
        | fields
    )


def _case(length: int) -> Case:
    rows = [
        _bench_row("plain/none/float32", length, 2e-5),
        _bench_row("fast/none/float32", length, 1e-5),
    ]
    return Case(
        name=f"L{length}",
        labels={"seq_len": length, "batch_size": 8},
        rounds=3,
        wall_s=1.0,
        rows=rows,
        probes=[],
        left_out=[],
        warnings=[],
    )


def _bench_row(name: str, length: int, pace: float) -> Row:
    seconds = pace * length
    time = Interval(seconds, 0.9 * seconds, 1.1 * seconds, 3, 0.1)
    backend, bias, dtype = name.split("/")
    return Row(
        name=name,
        labels={"backend": backend, "bias": bias, "dtype": dtype},
        base=None,
        repeats=1,
        rounds_s={"forward": [seconds] * 3},
        flops={"forward": 1000},
        hardware_flops={"forward": 1000},
        time_s={"forward": time, "total": time},
        ratio={},
        share={},
        outliers=0,
    )


def write(record: StudyRecord | BenchRecord, file: Path) -> Path:
    """The record as ``genrank`` writes it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(record.model_dump_json(indent=1) + "\n")
    return file


def write_run(folder: Path, seed: int, record: StudyRecord, auc: list[float]) -> None:
    """A run folder with a learning curve."""
    folder.mkdir(parents=True)
    result = {"seed": seed, "data_hash": record.data_hash}
    (folder / "result.json").write_text(json.dumps(result))
    lines = [
        json.dumps({"epoch": n, "train_s": 2.0 * (n + 1), "valid_auc": value})
        for n, value in enumerate(auc)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
