"""Baseline files: read, written whole or not at all, and what an update changes in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from genrank_cli.data.card import problems
from genrank_cli.errors import ExitCode, GenrankError, data_error
from genrank_cli.files import write_json
from genrank_cli.gate.measurement import MEASUREMENT_VERSION, Measurement


def read_baseline(path: Path) -> Measurement:
    """The baseline in ``path``.

    Raises `GenrankError`: 4 where there is none or it is of another version, 5 where it is damaged.
    """
    remedy = f"make one with: genrank check --baseline {path} --update"
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        message = f"cannot judge: there is no baseline {path}"
        raise GenrankError(message, remedy, ExitCode.CANNOT_JUDGE) from None
    except (OSError, ValueError) as error:
        raise data_error(f"{path} is not a readable baseline: {error}", remedy) from error
    version = fields.get("version") if isinstance(fields, dict) else None
    if version != MEASUREMENT_VERSION:
        message = (
            f"cannot judge: {path} is no baseline of version {MEASUREMENT_VERSION} "
            f"(found {version!r})"
        )
        raise GenrankError(message, remedy, ExitCode.CANNOT_JUDGE)
    try:
        return Measurement.model_validate(fields)
    except ValidationError as error:
        raise data_error(f"{path} is damaged: {problems(error)}", remedy) from error


def write_baseline(path: Path, found: Measurement) -> None:
    """Replace ``path`` by the measurement.

    Raises `GenrankError`: 4 for one that holds less than was asked for (it would judge nothing) or
    times of a busy machine, 2 where the file cannot be written.
    """
    failed = [failure for failure in found.failures if not failure.skipped]
    if failed:
        why = f"{failed[0].id}: {failed[0].reason}"
        message = f"{path} is left as it was: this run is no baseline ({why})"
        raise GenrankError(message, "run the whole suite", ExitCode.CANNOT_JUDGE)
    if found.pace is not None and found.pace.disturbed:
        message = f"{path} is left as it was: the machine was not quiet: {found.pace.disturbed}"
        hint = "wait until the machine is quiet, or update the AUC alone: --only auc"
        raise GenrankError(message, hint, ExitCode.CANNOT_JUDGE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, found.model_dump(mode="json"))
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise GenrankError(message, "name another file with --baseline") from error


def merged(old: Measurement | None, new: Measurement) -> Measurement:
    """``new``, and of the old baseline the parts that were not measured now.

    Nothing is kept of another suite, nor times of another machine: they would not be comparable.
    Files of pytest-benchmark name their machine and know no suite: they are kept.
    """
    if old is None:
        return new
    update: dict[str, object] = {}
    if new.benchmarks is None:
        update["benchmarks"] = old.benchmarks
    if old.suite_hash != new.suite_hash:
        return new.model_copy(update=update)
    if "auc" not in new.parts:
        update["quality"] = old.quality
    else:
        known = {found.id for found in new.quality}
        kept = tuple(found for found in old.quality if found.id not in known)
        update["quality"] = new.quality + kept
    if new.pace is None and _same_machine(old, new):
        update["pace"] = old.pace
    return new.model_copy(update=update)


def _same_machine(old: Measurement, new: Measurement) -> bool:
    from genrank_cli.gate.run import machine

    return machine(old.environment) == machine(new.environment)


def changes(old: Measurement | None, new: Measurement) -> list[str]:
    """One line for each figure that an update replaces, adds or drops."""
    before, after = _figures(old), _figures(new)
    lines = []
    for name in dict.fromkeys([*before, *after]):
        then, now = before.get(name), after.get(name)
        texts = ["–" if value is None else f"{value:.4f}" for value in (then, now)]
        sign = f" ({now - then:+.4f})" if then is not None and now is not None else ""
        lines.append(f"{name}: {texts[0]} → {texts[1]}{sign}")
    return lines


def _figures(found: Measurement | None) -> dict[str, float]:
    """Mean AUC, median relative time and median milliseconds by check."""
    if found is None:
        return {}
    figures = {side.id: float(np.mean(side.auc)) for side in found.quality}
    if found.pace is not None:
        for name in found.pace.subjects:
            figures[f"speed/{name}"] = float(np.median(found.pace.relative(name)))
    if found.benchmarks is not None:
        for name, row in found.benchmarks.rows.items():
            figures[f"benchmarks/{name} (ms)"] = 1e3 * row.median_s
    return figures
