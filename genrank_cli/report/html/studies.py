"""The part of each study: its question, then every record of it apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from genrank_cli.report.html.build import Html, el
from genrank_cli.report.html.charts import cost, learning, series_of
from genrank_cli.report.html.forest import forest
from genrank_cli.report.html.slices import slices
from genrank_cli.report.html.tables import command_text, notes, table, without
from genrank_cli.report.page_load import Study
from genrank_cli.report.page_runs import learning_curves
from genrank_cli.report.page_settings import Setting, record_titles, without_command
from genrank_cli.report.study import claims_table, study_table
from genrank_cli.studies.record import StudyRecord

NO_RUNS = "Learning curves: run folders not found."


def study_sections(studies: Sequence[Study], labels: Mapping[Setting, str]) -> list[Html]:
    """A section per study, in the records' order."""
    return [
        _section(list(records), labels)
        for _, records in groupby(studies, key=lambda study: study.record.study)
    ]


def _section(records: Sequence[Study], labels: Mapping[Setting, str]) -> Html:
    first = records[0].record
    titles = record_titles([study.record for study in records], labels)
    return el(
        "section",
        el("h2", f"Study: {first.title}"),
        el("p", first.question, class_="question"),
        [_record(*titled, first) for titled in zip(records, titles, strict=True)],
        id=f"study-{first.study}",
    )


def _record(study: Study, label: str, first: StudyRecord) -> Html:
    record = study.record
    result = without_command(without(study_table(record), "claims"), record.command)
    series = series_of(record)
    # The question is said once for a study; a version of it with other words says its own.
    other = record.question != first.question
    return el(
        "article",
        el("h3", label),
        _partial(record.partial),
        el("p", record.question, class_="question") if other else None,
        notes(result.header),
        table(result),
        forest(record),
        notes(claims_table(record).notes),
        slices(record),
        cost(record, series),
        learning(learning_curves(study), series) or el("p", NO_RUNS, class_="absent"),
        _command(record.command),
    )


def _partial(partial: bool) -> Html | None:
    if not partial:
        return None
    return el(
        "p", el("b", "! partial"), ": only some of the users were used (--limit).", class_="warning"
    )


def _command(command: str) -> Html:
    return el("p", "Made by ", command_text(command), class_="command")
