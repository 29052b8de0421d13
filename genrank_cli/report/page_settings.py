"""Under what a record was made: records of different settings are shown apart, never merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from genrank_cli.report.table import Table
from genrank_cli.studies.record import StudyRecord


@dataclass(frozen=True, order=True)
class Setting:
    """Data, size and version: what two records must share to stand in one column."""

    dataset: str
    size: str
    split: str
    data_hash: str
    tasks: tuple[str, ...]
    partial: bool
    genrank: str
    version: int


def setting_of(record: StudyRecord) -> Setting:
    """The setting of a study's record."""
    return Setting(
        dataset=record.dataset,
        size=record.size,
        split=record.split,
        data_hash=record.data_hash,
        tasks=tuple(record.tasks),
        partial=record.partial,
        genrank=str(record.environment["genrank"]),
        version=record.version,
    )


#: Said in this order, and only where it is needed to tell two settings apart.
PARTS: tuple[Callable[[Setting], str], ...] = (
    lambda s: f"{s.split} split",
    lambda s: f"tasks {'+'.join(s.tasks)}",
    lambda s: f"data {s.data_hash[:8]}",
    lambda s: f"genrank {s.genrank}",
    lambda s: f"record version {s.version}",
    lambda s: f"data {s.data_hash}",
)


def setting_labels(settings: Iterable[Setting]) -> dict[Setting, str]:
    """A short label for each, in sorted order: dataset and size, and what tells it from the others.

    Partial ones end in ``(partial)``.
    """
    labels = {s: f"{s.dataset} {s.size}" for s in sorted(set(settings))}
    for part in PARTS:
        shared = [s for s in labels if _count(labels, s) > 1]
        if len({part(s) for s in shared}) > 1:
            labels |= {s: f"{labels[s]}, {part(s)}" for s in shared}
    return {s: label + (" (partial)" if s.partial else "") for s, label in labels.items()}


def _count(labels: dict[Setting, str], setting: Setting) -> int:
    """How many settings look like this one; partial ones are told apart by their mark."""
    return sum(
        label == labels[setting] and other.partial == setting.partial
        for other, label in labels.items()
    )


#: What tells records of one study and one setting from each other.
RECORD_PARTS: tuple[Callable[[StudyRecord], str], ...] = (
    lambda r: f"study {r.study_hash[:8]}",
    lambda r: f"seeds {','.join(map(str, r.seeds))}",
    lambda r: f"commit {r.environment['commit']}",
    lambda r: r.command,
)


def record_titles(records: Sequence[StudyRecord], labels: Mapping[Setting, str]) -> list[str]:
    """A heading for each record of a study: its setting, and more where two would be alike."""
    titles = [labels[setting_of(record)] for record in records]
    for part in RECORD_PARTS:
        alike = [n for n, title in enumerate(titles) if titles.count(title) > 1]
        if len({part(records[n]) for n in alike}) > 1:
            for n in alike:
                titles[n] += f", {part(records[n])}"
    return titles


def without_command(table: Table, command: str) -> Table:
    """The table without the note that says the command, where that stands by itself."""
    return replace(table, notes=[note for note in table.notes if not note.endswith(command)])
