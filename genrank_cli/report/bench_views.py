"""Which tables and which plot belong to which bench; a new bench is two lines here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from genrank_cli.bench.record import BenchRecord
from genrank_cli.errors import data_error
from genrank_cli.report.table import Table

#: bench → function of its record that gives the tables, the most important first
TABLES = {
    "attention": "genrank_cli.report.bench:tables",
    "model": "genrank_cli.report.bench_model:tables",
    "peers": "genrank_cli.report.bench_peers:tables",
    "serve": "genrank_cli.report.bench_serve:tables",
    "sweep": "genrank_cli.report.bench_sweep:tables",
}

#: bench → function of its record and a path that draws it and gives the files
PLOTS = {
    "attention": "genrank_cli.report.bench_plot:plot_times",
    "model": "genrank_cli.report.bench_model_plot:plot",
    "peers": "genrank_cli.report.bench_plot:plot_times",
    "serve": "genrank_cli.report.bench_serve_plot:plot",
    "sweep": "genrank_cli.report.bench_sweep_plot:plot",
}


def tables(record: BenchRecord) -> list[Table]:
    """What is worth reading. Raises `GenrankError` (5) for a bench of another version."""
    found: list[Table] = _view(TABLES, record)(record)
    return found


def plot(record: BenchRecord, path: Path) -> list[Path]:
    """Draw the record, see `genrank_cli.report.figure.save`; raises as `tables`."""
    files: list[Path] = _view(PLOTS, record)(record, path)
    return files


def _view(views: dict[str, str], record: BenchRecord) -> Callable[..., Any]:
    if record.bench not in views:
        raise data_error(f"a record of an unknown bench {record.bench!r}", f"known: {[*views]}")
    module, _, name = views[record.bench].partition(":")
    view: Callable[..., Any] = getattr(import_module(module), name)
    return view
