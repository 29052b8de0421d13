"""A study's record as tables, files and a plot."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from genrank_cli.files import write_text
from genrank_cli.metrics import intervals
from genrank_cli.report import render
from genrank_cli.report.plot import DifferenceRow, plot_differences
from genrank_cli.report.table import Column, Interval, Kind, Table, Value
from genrank_cli.studies.record import ClaimResult, RowResult, StudyRecord
from genrank_cli.training.environment import one_line

FILES = {".json": "json", ".md": "md", ".csv": "csv"}


def study_table(record: StudyRecord) -> Table:
    """Variants, then references, then the oracle where the truth is known."""
    columns = [
        Column("row", "variant"),
        Column("auc", "AUC", Kind.NUMBER),
        Column("delta_auc", "ΔAUC, seeds", Kind.NUMBER, signed=True),
        Column("delta_auc_users", "ΔAUC, users", Kind.NUMBER, signed=True),
        Column("gauc_user", "GAUC", Kind.NUMBER),
        Column("ne", "NE", Kind.NUMBER),
        Column("lift_share", "lift share", Kind.PERCENT, digits=1),
        Column("train_s", "train", Kind.NUMBER, digits=0, unit="s"),
        Column("speed_ratio", "train speed", Kind.RATIO, digits=2),
        Column("events_per_s", "train events/s", Kind.COUNT),
        Column("parameters", "parameters", Kind.COUNT),
        Column("claims", "paper: verdict"),
    ]
    ordered = sorted(record.rows, key=lambda row: row.role == "reference")
    rows: list[list[Value]] = [_cells(row, record) for row in ordered]
    variants = sum(row.role == "variant" for row in ordered)
    if record.oracle_auc is not None:
        blanks: list[Value] = [None] * (len(columns) - 2)
        rows.append(["oracle (true probabilities)", record.oracle_auc, *blanks])
        rows[-1][6] = 1.0
    kept = [place for place, column in enumerate(columns) if _has(column.key, record)]
    return Table(
        title=f"{record.title} · {record.dataset}, {record.split} split, size {record.size}",
        columns=[columns[place] for place in kept],
        rows=[[row[place] for place in kept] for row in rows],
        header=[one_line(record.environment), _data_line(record)],
        notes=_notes(record),
        breaks=frozenset({variants}),
    )


def _has(key: str, record: StudyRecord) -> bool:
    """Whether the record has anything for a column that not every study has."""
    if key == "lift_share":
        return record.oracle_auc is not None
    return bool(record.claims) if key == "claims" else True


def claims_table(*records: StudyRecord) -> Table:
    """One line per claim: paper, ours, verdict, the smallest effect that the run could see."""
    several = len(records) > 1
    return Table(
        title="Claims",
        columns=[
            *([Column("study", "study")] if several else []),
            Column("claim", "claim"),
            Column("variant", "variant"),
            Column("paper", "paper"),
            Column("verdict", "verdict"),
            Column("reason", "why"),
            Column("minimum_detectable", "smallest detectable"),
            Column("p_sign_flip", "sign flip p", Kind.NUMBER, digits=3),
        ],
        rows=[
            [
                *([record.study] if several else []),
                claim.id,
                claim.variant or None,
                paper(claim) or None,
                f"{claim.symbol} {claim.verdict}",
                claim.reason,
                _detectable(claim),
                claim.p_sign_flip,
            ]
            for record in records
            for claim in record.claims
        ],
        notes=[
            "Sign flip: the exact two-sided test of no effect over seeds, at least 2 / 2^seeds; "
            "verdicts are by t-tests.",
            *(note for record in records for note in _factorial(record)),
        ],
    )


def write_study(record: StudyRecord, folder: Path) -> list[Path]:
    """Write JSON, Markdown, CSV and the plot (PNG, SVG) into ``folder``; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{record.study}-{record.dataset}-{record.size}"
    table = study_table(record)
    claims = "\n\n" + render(claims_table(record), "md") if record.claims else ""
    texts = {
        ".json": record.model_dump_json(indent=1) + "\n",
        ".md": render(table, "md") + claims,
        ".csv": render(table, "csv"),
    }
    files = []
    for suffix, text in texts.items():
        file = stem.with_name(stem.name + suffix)
        write_text(file, text)
        files.append(file)
    return files + draw_study(record, stem)


def draw_study(record: StudyRecord, stem: Path) -> list[Path]:
    """AUC, ΔAUC and speed of every row, beside the claims: ``stem``.png and .svg."""
    claims = {
        (claim.variant, claim.metric): claim.reported
        for claim in record.claims
        if _is_drawn(claim, record)
    }
    rows = [
        DifferenceRow(
            name=row.name,
            auc_seeds=row.auc,
            delta=_interval(row.delta_auc),
            speed=_interval(row.speed_ratio),
            claim_delta=claims.get((row.name, "auc")),
            claim_speed=claims.get((row.name, "speed")),
            is_base=row.name == record.base,
            is_reference=row.role == "reference",
        )
        for row in record.rows
    ]
    return plot_differences(
        rows, stem, title=record.title, subtitle=_data_line(record), oracle=record.oracle_auc
    )


def _is_drawn(claim: ClaimResult, record: StudyRecord) -> bool:
    """Whether a claim is about what the plot shows: all events, the main task, the study's base."""
    own_base = claim.base in ("", record.base)
    whole = claim.task == "main" and claim.slice == "all" and not claim.versus
    return own_base and whole


def _cells(row: RowResult, record: StudyRecord) -> list[Value]:
    base = " (base)" if row.name == record.base else ""
    return [
        row.name + base,
        _interval(row.auc_mean),
        _interval(row.delta_auc),
        _interval(row.delta_auc_users),
        _metric(row, "gauc_user"),
        _metric(row, "ne"),
        row.metrics.get("lift_share"),
        median(row.train_s) if any(row.train_s) else None,
        _interval(row.speed_ratio),
        row.events_per_s,
        row.parameters,
        "; ".join(_short(claim) for claim in record.claims if claim.variant == row.name) or None,
    ]


def _metric(row: RowResult, name: str) -> Interval | float | None:
    found = row.metric_intervals.get(name)
    return row.metrics.get(name) if found is None else _interval(found)


def _short(claim: ClaimResult) -> str:
    return f"{claim.metric} {paper(claim)}: {claim.symbol} {claim.verdict}"


def paper(claim: ClaimResult) -> str:
    """What is reported, as a short text; also of records that do not hold it as one."""
    if claim.paper or claim.reported is None:
        return claim.paper
    return f"{claim.reported:.3g}×" if claim.kind == "ratio" else f"{claim.reported:+.4f}"


def _factorial(record: StudyRecord) -> list[str]:
    """Two changes at once: what was measured beside what follows from each alone."""
    found = record.factorial
    if found is None:
        return []
    speed = Column("speed", "", Kind.RATIO, digits=2)
    auc = Column("auc", "", Kind.NUMBER, signed=True)
    notes = []
    if found.speed is not None and found.predicted is not None:
        notes.append(
            f"Training speed of {found.both}: measured {speed.format(_interval(found.speed))}, "
            f"predicted from {found.first} and {found.second} alone "
            f"{speed.format(_interval(found.predicted))} (the paper: 1.95× and 1.96×)."
        )
    if found.auc_interaction is not None:
        notes.append(
            f"Interaction in AUC: {found.both} − {found.second} − {found.first} + {record.base} = "
            f"{auc.format(_interval(found.auc_interaction))}, 95 % t-interval over seeds."
        )
    return notes


def _detectable(claim: ClaimResult) -> str | None:
    value = claim.minimum_detectable
    if value is None or math.isnan(value):
        return None
    return f"{value:.3f}×" if claim.kind == "ratio" else f"{value:+.4f}"


def _interval(value: intervals.Interval | None) -> Interval | None:
    return None if value is None else Interval(value.mean, value.low, value.high)


def _data_line(record: StudyRecord) -> str:
    events = next((int(row.metrics["events"]) for row in record.rows), 0)
    return (
        f"{record.dataset} {record.data_hash[:12]} · {record.split} split · "
        f"task {record.tasks[0] if record.tasks else '–'} · {events:,} test events · "
        f"seeds {_seeds(record.seeds)}"
    )


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 1 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}-{seeds[-1]}"
    return ",".join(str(seed) for seed in seeds)


def _notes(record: StudyRecord) -> list[str]:
    notes = []
    if record.partial:
        notes.append("! partial: --limit kept only some of the users")
    notes.append(
        "± and [ ]: 95 % intervals over seeds, where nothing else is said. Train: the median run's "
        "seconds, beside whatever else the machine did; to compare speeds, take the ratios."
    )
    notes.append(
        f"ΔAUC against {record.base}: 'seeds' is the paired 95 % t-interval over "
        f"{len(record.seeds)} seeds, 'users' the 95 % bootstrap over test users, seeds held."
    )
    if record.speed_rounds:
        notes.append(
            f"Training speed against {record.base}: {record.speed_rounds} alternating rounds on "
            "the same batches, geometric mean and its 95 % interval; events/s: the median round."
        )
    disturbed = {row.name: row.speed_outliers for row in record.rows if row.speed_outliers}
    if disturbed:
        listed = ", ".join(f"{name} {count}" for name, count in disturbed.items())
        notes.append(f"! rounds over 1.5× their median, kept in the interval: {listed}")
    if record.settings:
        common = ", ".join(f"{path}={value}" for path, value in record.settings.items())
        notes.append(f"Settings of the study, unless the command says otherwise: {common}")
    notes.append(f"Command: {record.command}")
    notes += [f"left out: {row}: {reason}" for row, reason in record.left_out.items()]
    notes += [f"x {f.row}, seed {f.seed}: {f.error}" for f in record.failures]
    return notes
