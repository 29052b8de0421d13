"""What studies would run, and the list of those that there are, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genrank_cli.data.wording import duration
from genrank_cli.report.table import Column, Kind, Table, Value

if TYPE_CHECKING:
    from genrank_cli.studies.ablate import Planned
    from genrank_cli.studies.plan import Row

COUNTS = (
    Column("finished", "finished", Kind.COUNT),
    Column("missing", "missing", Kind.COUNT),
    Column("estimate", "training, at most"),
)


def studies_table() -> Table:
    """The shipped studies; a mark for those that ``all`` leaves out."""
    from genrank_cli.studies.study import list_studies, load_study

    studies = [load_study(name) for name in list_studies()]
    return Table(
        "Studies",
        [
            Column("name", "name"),
            Column("question", "question"),
            Column("variants", "variants"),
            Column("claims", "claims"),
            Column("in_all", "in all"),
        ],
        [
            [
                s.name,
                s.question,
                ", ".join(v.name for v in s.variants),
                ", ".join(claim.id for claim in s.claims) or None,
                not s.extra,
            ]
            for s in studies
        ],
    )


def plan_table(plans: Sequence[Planned]) -> Table:
    """One line per row of a single study, or per study; with what it would take."""
    from genrank_cli.studies.ablate import distinct
    from genrank_cli.studies.estimate import epoch_seconds

    first = plans[0]
    known = epoch_seconds(
        first.request.runs, first.store.manifest.data_hash, first.known.train_events
    )
    single = len(plans) == 1
    left = {one.request.study.name: [row for row, _ in one.remaining()] for one in plans}
    union = [row for row, _ in _union(plans)]
    cells = len(distinct(plans)) * len(first.request.seeds)
    return Table(
        f"Would run {len(union)} of {cells} cells: {_estimate(union, known)}",
        [
            Column("row", "row") if single else Column("study", "study"),
            Column("preset", "preset") if single else Column("rows", "rows", Kind.COUNT),
            *([Column("changes", "changes")] if single else []),
            *COUNTS,
        ],
        _rows(first, left[first.request.study.name], known)
        if single
        else [_study(one, left[one.request.study.name], known) for one in plans],
        notes=[
            "Training only, from finished runs or timings of the same configuration on this data, "
            f"one after the other; {first.request.jobs} would run at a time.",
            *(f"left out: {name}: {reason}" for one in plans for name, reason in _left_out(one)),
        ],
    )


def _union(plans: Sequence[Planned]) -> list[tuple[Row, int]]:
    cells = {
        row.cell(seed, one.store).key: (row, seed) for one in plans for row, seed in one.remaining()
    }
    return list(cells.values())


def _rows(planned: Planned, left: Sequence[Row], known: dict[str, float]) -> list[list[Value]]:
    seeds = len(planned.request.seeds)
    lines: list[list[Value]] = []
    for row in planned.rows:
        missing = [other for other in left if other.name == row.name]
        changes = ", ".join(f"{path}={value}" for path, value in row.changes.items()) or None
        counts: list[Value] = [seeds - len(missing), len(missing), _estimate(missing, known)]
        lines.append([row.name, row.preset, changes, *counts])
    return lines


def _study(planned: Planned, left: Sequence[Row], known: dict[str, float]) -> list[Value]:
    cells = len(planned.rows) * len(planned.request.seeds)
    name = planned.request.study.name
    return [name, len(planned.rows), cells - len(left), len(left), _estimate(left, known)]


def _left_out(planned: Planned) -> list[tuple[str, str]]:
    name = planned.request.study.name
    return [(f"{name}/{row}", reason) for row, reason in planned.known.left_out.items()]


def _estimate(rows: Sequence[Row], known: dict[str, float]) -> str:
    """``12.5 min``, ``12.5 min and 3 cells unknown``, or ``unknown``."""
    from genrank_cli.studies.estimate import total_seconds

    seconds, unknown = total_seconds(rows, known)
    text = duration(seconds)
    if not unknown:
        return text
    return "unknown" if not seconds else f"{text} and {unknown} cells unknown"
