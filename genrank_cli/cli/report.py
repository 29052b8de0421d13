"""``genrank report``: what the records say, as a page, as Markdown, as CSV or in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli.output import STDOUT, Format, check_output, emit, say, write_stdout

if TYPE_CHECKING:
    from genrank_cli.report.page_load import Records

app = new_app()

RESULTS = Path("results")

EXAMPLES = """\b
Examples:
  genrank report
  genrank report --html report.html
  genrank report results/runs --html report.html --md report.md --csv report.csv
  genrank report results/bias-synthetic-tiny.json --md -
"""


@app.command(epilog=EXAMPLES)
def report(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUNS]...",
            help="Records of genrank ablate and genrank bench, or folders of them "
            "(default: results, and results/runs where that holds none).",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="One page, without a network.")
    ] = None,
    md: Annotated[
        Path | None, typer.Option("--md", metavar="FILE", help="Markdown for a pull request.")
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", help="A number a line, for a spreadsheet."),
    ] = None,
) -> None:
    """Say what finished studies and benches found: verdicts, tables, curves, machines, commands.

    Records of different data, sizes or versions are shown apart. A FILE of - is stdout.
    """
    for option, file in (("--html", html), ("--md", md), ("--csv", csv)):
        check_output(file, option)
    from genrank_cli.report.page_load import load_records

    records = load_records(runs or [_default()])
    for file in records.skipped:
        say(f"{file} is no record: left out")
    if html is None and md is None and csv is None:
        _summarize(records)
        return
    # Everything is made before anything is written.
    texts = [(file, _text(kind, records)) for kind, file in _asked(html, md, csv)]
    for file, text in texts:
        _write(file, text)


def _default() -> Path:
    """Where records are kept; where there are none yet, where ``genrank ablate`` put its own."""
    ours = RESULTS / "runs"
    return ours if ours.is_dir() and not any(RESULTS.glob("*.json")) else RESULTS


def _asked(html: Path | None, md: Path | None, csv: Path | None) -> list[tuple[str, Path]]:
    given = (("html", html), ("md", md), ("csv", csv))
    return [(kind, file) for kind, file in given if file is not None]


def _text(kind: str, records: Records) -> str:
    if kind == "html":
        from genrank_cli.report.html.page import render_page

        return render_page(records)
    if kind == "md":
        from genrank_cli.report.page_markdown import render_markdown

        return render_markdown(records)
    from genrank_cli.report.page_csv import render_csv

    return render_csv(records)


def _write(file: Path, text: str) -> None:
    from genrank_cli.files import write_text

    if file == STDOUT:
        write_stdout(text)
        return
    from genrank_cli.report.page_markdown import COMMENT

    write_text(file, text)
    say(f"wrote {file}")
    if file.suffix == ".md" and len(text) > COMMENT:
        say(f"{file} has {len(text):,} characters; a comment on GitHub holds {COMMENT:,}")


def _summarize(records: Records) -> None:
    from genrank_cli.report.page_benches import all_checks, benches_table
    from genrank_cli.report.page_claims import counts_table, gather, summary_table

    claims = gather(records.studies, records.benches)
    shown = []
    if records.studies:
        shown += [summary_table(claims), counts_table(claims)]
    if records.benches:
        shown.append(benches_table(records.benches))
    if not records.studies:  # nothing else says what was checked
        shown += all_checks(records.benches)
    for number, table in enumerate(shown):
        if number:
            write_stdout("")
        emit(table, Format.AUTO)
    say("the whole report: genrank report --html report.html")
