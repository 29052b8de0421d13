"""Which tables and which plot belong to which bench; a new bench is two lines here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from genrank_cli.bench.record import BenchRecord
from genrank_cli.errors import GenrankError, data_error
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
    "peers": "genrank_cli.report.bench_peers:plot",
    "serve": "genrank_cli.report.bench_serve_plot:plot",
    "sweep": "genrank_cli.report.bench_sweep_plot:plot",
}


def tables(record: BenchRecord) -> list[Table]:
    """What is worth reading. Raises `GenrankError` (5) for a bench of another version."""
    with _whole(record):
        found: list[Table] = _view(TABLES, record)(record)
    return found


def readable(file: Path, record: BenchRecord) -> None:
    """Raises `GenrankError` (5), which names ``file``, where the record's tables cannot be made.

    A record's fields are checked when it is read; what each bench keeps under names of its own, in
    settings, labels and figures, is found missing only where it is looked for.
    """
    try:
        tables(record)
    except GenrankError as error:
        raise data_error(f"{file}: {error}", error.hint) from error
    except (AssertionError, ValueError, StopIteration) as error:
        reason = f"{type(error).__name__} {error}".strip()
        message = f"{file}: no table of bench {record.bench!r} can be made of it ({reason})"
        raise data_error(message, "measure again") from error


def plot(record: BenchRecord, path: Path) -> list[Path]:
    """Draw the record, see `genrank_cli.report.figure.save`; raises as `tables`."""
    with _whole(record):
        files: list[Path] = _view(PLOTS, record)(record, path)
    return files


@contextmanager
def _whole(record: BenchRecord) -> Iterator[None]:
    """A label, figure, setting or case that a view looks for and does not find is named."""
    try:
        yield
    except (LookupError, TypeError) as error:
        missing = repr(error.args[0]) if isinstance(error, KeyError) else str(error)
        message = f"the record of bench {record.bench!r} is damaged: {missing} is missing or wrong"
        raise data_error(message, "measure again") from error


def _view(views: dict[str, str], record: BenchRecord) -> Callable[..., Any]:
    if record.bench not in views:
        raise data_error(f"a record of an unknown bench {record.bench!r}", f"known: {[*views]}")
    module, _, name = views[record.bench].partition(":")
    view: Callable[..., Any] = getattr(import_module(module), name)
    return view
