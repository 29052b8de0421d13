"""The records that a report is made of: found in files and folders, checked, in a fixed order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from genrank_cli.bench.record import BenchRecord, check_kind
from genrank_cli.errors import data_error
from genrank_cli.report.bench_views import readable
from genrank_cli.studies.record import StudyRecord

Kind = TypeVar("Kind", StudyRecord, BenchRecord)

#: What older records lack of the environment; a question mark is better than a guess.
UNKNOWN = {
    **dict.fromkeys(("cpu", "attention", "layer", "torch", "python", "genrank"), "?"),
    **dict.fromkeys(("commit", "cuda", "cores_usable", "threads", "device"), None),
    "memory_bytes": 0,
}


@dataclass(frozen=True)
class Loaded(Generic[Kind]):
    """A record and the file that it was read from."""

    file: Path
    record: Kind


Study = Loaded[StudyRecord]
Bench = Loaded[BenchRecord]


@dataclass(frozen=True)
class Records:
    """All that was found; ``skipped`` names the JSON files of folders that are no records."""

    studies: list[Study]
    benches: list[Bench]
    skipped: list[Path]


def load_records(places: Sequence[Path]) -> Records:
    """The records in ``places``, files or folders, each once, sorted by what they are about.

    A folder gives its ``*.json`` and those that ``genrank ablate`` put into folders of their own
    (``NAME/NAME.json``). Raises `GenrankError` (5): a place that is not there, a file that is not a
    record, a damaged one, or no record at all.
    """
    found: dict[str, Study | Bench] = {}
    skipped = []
    for file, named in _files(places):
        loaded = _read(file)
        if loaded is not None:
            found.setdefault(loaded.record.model_dump_json(), loaded)
        elif named:
            message = f"{file} is neither a study's record nor a bench's"
            raise data_error(message, "name a file that genrank ablate or genrank bench wrote")
        else:
            skipped.append(file)
    if not found:
        listed = ", ".join(str(place) for place in places)
        raise data_error(f"no record found in {listed}", "genrank ablate --component bias")
    studies = [x for x in found.values() if isinstance(x.record, StudyRecord)]
    benches = [x for x in found.values() if isinstance(x.record, BenchRecord)]
    return Records(
        sorted(studies, key=_study_order),
        sorted(benches, key=_bench_order),
        skipped,
    )


def _files(places: Iterable[Path]) -> list[tuple[Path, bool]]:
    """Every candidate, and whether it was named itself."""
    files: dict[Path, bool] = {}
    for place in places:
        if not place.exists():
            hint = "name a record or a folder of records; genrank ablate --component bias makes one"
            raise data_error(f"{place} does not exist", hint)
        if place.is_dir():
            inner = [p for p in place.glob("*/*.json") if p.stem == p.parent.name]
            for file in sorted([*place.glob("*.json"), *inner]):
                files.setdefault(file, False)
        else:
            files[place] = True
    return list(files.items())


def _read(file: Path) -> Study | Bench | None:
    """The record in ``file``, None where it is JSON of another kind."""
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise data_error(f"{file}: {error.strerror}", "name a readable file") from error
    except ValueError as error:
        hint = "delete it, or name the records one by one"
        raise data_error(f"{file} is no JSON: {error}", hint) from error
    if not isinstance(fields, dict):
        return None
    if {"study", "rows", "claims"} <= fields.keys():
        return Loaded(file, _checked(file, fields, StudyRecord.model_validate))
    if {"bench", "cases"} <= fields.keys():
        check_kind(file, fields)
        bench = Loaded(file, _checked(file, fields, BenchRecord.model_validate))
        readable(file, bench.record)
        return bench
    return None


def _checked(file: Path, fields: dict[str, Any], model: Callable[[Any], Kind]) -> Kind:
    environment = fields.get("environment")
    if isinstance(environment, dict):
        missing = {key: value for key, value in UNKNOWN.items() if key not in environment}
        fields = fields | {"environment": environment | missing}
    try:
        return model(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = (
            f"{file} cannot be read as a record of this version "
            f"(it says {fields.get('version')!r}): {where}: {first['msg']}"
        )
        raise data_error(message, "run the same command again to write it anew") from error


def bench_titles(benches: Sequence[Bench]) -> list[str]:
    """The benches' titles, with the file's name where two would be alike."""
    titles = [bench.record.title for bench in benches]
    return [
        f"{title} ({bench.file.stem})" if titles.count(title) > 1 else title
        for title, bench in zip(titles, benches, strict=True)
    ]


def _study_order(loaded: Study) -> tuple[str, ...]:
    r = loaded.record
    names = (r.study, r.dataset, r.size, r.split, r.data_hash, str(r.partial))
    return (*names, str(r.environment["genrank"]), r.model_dump_json())


def _bench_order(loaded: Bench) -> tuple[str, ...]:
    return loaded.record.bench, loaded.record.title, loaded.record.model_dump_json()
