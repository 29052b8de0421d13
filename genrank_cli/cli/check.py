"""``genrank check``: guard a repository against a loss of AUC or speed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli import options as opt
from genrank_cli.cli.output import Format, check_output, emit, say, wants_json
from genrank_cli.cli.progress import progress
from genrank_cli.errors import ExitCode, GenrankError, unknown_name

if TYPE_CHECKING:
    from genrank_cli.gate.judge import Check, Outcome
    from genrank_cli.gate.measurement import Measurement
    from genrank_cli.gate.suite import Suite

app = new_app()

EXAMPLES = """\b
Examples:
  genrank check --baseline results/baselines/cpu.json
  genrank check --baseline results/baselines/cpu.json --update
  genrank check --baseline cpu.json --allow-unjudged speed --junit gate.xml --summary gate.md
  genrank check --baseline cpu.json --only auc --json

Exit codes: 0 passed, 3 a regression, 4 cannot judge.
"""

PartsOption = opt.Names | None


def _parts_option(flag: str, help: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        flag, parser=opt.parse_names, metavar="LIST", help=help
    )
    return option


@app.command(epilog=EXAMPLES)
def check(
    baseline: Annotated[
        Path, typer.Option("--baseline", metavar="FILE", help="Compare with this file.")
    ] = Path("results/baselines/cpu.json"),
    update: Annotated[
        bool, typer.Option("--update", help="Make this run the baseline, and show what changes.")
    ] = False,
    only: Annotated[PartsOption, _parts_option("--only", "Run these parts: auc, speed.")] = None,
    allow_unjudged: Annotated[
        PartsOption,
        _parts_option("--allow-unjudged", "These may stay unjudged: speed, benchmarks."),
    ] = None,
    benchmarks: Annotated[
        Path | None,
        typer.Option("--benchmarks", metavar="FILE", help="Also a file of pytest-benchmark."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="Write a Markdown page.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Runs at the same time (default: cores).")
    ] = None,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
) -> None:
    """Run a small fixed suite and compare its AUC and relative speed with a baseline.

    AUC is compared seed by seed; speed only on the baseline's machine. A loss counts when it is
    beyond the tolerance and beyond the noise.
    """
    from genrank_cli.gate.baseline import read_baseline
    from genrank_cli.gate.suite import load_suite

    for place, option in ((output, "-o"), (junit, "--junit"), (summary, "--summary")):
        check_output(place, option)
    wanted = wants_json(format, output, json)
    parts = _known("--only", only, ("auc", "speed")) or ("auc", "speed")
    allowed = _known("--allow-unjudged", allow_unjudged, ("speed", "benchmarks"))
    if update:
        _only_updates(
            {
                "--junit": junit,
                "--summary": summary,
                "--output": output,
                "--json": json,
                "--format": format != Format.AUTO,
                "--allow-unjudged": allowed,
            }
        )
        _check_place(baseline)
    suite = load_suite()
    old = _replaced(baseline) if update else read_baseline(baseline)
    now = _measure(suite, None if update else old, parts, jobs, benchmarks)
    if update:
        _update(baseline, old, now)
        return
    from genrank_cli.gate.judge import judge, verdict
    from genrank_cli.gate.summary import record, table

    assert old is not None
    checks = judge(suite, old, now)
    outcome = verdict(checks, allowed)
    _write(checks, now, outcome, junit, summary, allowed)
    if wanted:
        emit(record(checks, now, outcome), format, output, json)
    else:
        emit(table(checks, now, outcome), format, output)
    _end(checks, outcome, allowed)


def _known(option: str, given: opt.Names | None, known: tuple[str, ...]) -> tuple[str, ...]:
    for name in given or ():
        if name not in known:
            raise unknown_name(f"part in {option}", name, known)
    return tuple(given or ())


def _measure(
    suite: Suite,
    old: Measurement | None,
    parts: tuple[str, ...],
    jobs: int | None,
    benchmarks: Path | None,
) -> Measurement:
    """Run the suite, showing how far it is."""
    from genrank_cli.gate.benchmarks import read_benchmarks
    from genrank_cli.gate.compare import measure_against
    from genrank_cli.gate.run import Watch

    given = None if benchmarks is None else read_benchmarks(benchmarks)
    with progress() as shown:
        cells = shown.task("training", suite.cells if "auc" in parts else 0)
        rounds = shown.task("timing", suite.pace.rounds)
        done = 0

        def on_cell(name: str) -> None:
            nonlocal done
            done += 1
            cells.update(done, last=name)

        watch = Watch(on_cell, rounds.update)
        now = measure_against(suite, old, parts, jobs=jobs, watch=watch)
        for task in (rounds, cells):
            task.close()
    return now.model_copy(update={"benchmarks": given})


def _only_updates(others: dict[str, object]) -> None:
    """Refuse options of a comparison beside ``--update``, which compares nothing."""
    given = [name for name, value in others.items() if value]
    if given:
        raise GenrankError(
            f"--update makes a baseline and judges nothing: it has no use for {', '.join(given)}",
            "leave them out; afterwards the same command without --update",
        )


def _check_place(path: Path) -> None:
    """Refuse a place that `write_baseline` could not fill; it makes the folders that are absent."""
    place = path
    while not place.parent.exists():
        place = place.parent
    check_output(place, "--baseline")


def _replaced(path: Path) -> Measurement | None:
    """The baseline that an update replaces; None where nothing of it can be kept."""
    from genrank_cli.gate.baseline import read_baseline

    if not path.exists():
        return None
    try:
        return read_baseline(path)
    except GenrankError as error:
        say(f"{error.message}; nothing of it is kept")
        return None


def _update(path: Path, old: Measurement | None, now: Measurement) -> None:
    from genrank_cli.gate.baseline import changes, merged, write_baseline

    new = merged(old, now)
    write_baseline(path, new)
    for line in changes(old, new):
        say(line)
    say(f"wrote {path}; next: genrank check --baseline {path}")


def _write(
    checks: list[Check],
    now: Measurement,
    outcome: Outcome,
    junit: Path | None,
    summary: Path | None,
    allowed: tuple[str, ...],
) -> None:
    from genrank_cli.files import write_text
    from genrank_cli.gate.junit import write_junit
    from genrank_cli.gate.summary import markdown

    if junit is not None:
        write_junit(junit, checks, now.wall_s, allowed)
    if summary is not None:
        write_text(summary, markdown(checks, now, outcome))


def _end(checks: list[Check], outcome: Outcome, allowed: tuple[str, ...]) -> None:
    """Leave with the code that belongs to the outcome."""
    from genrank_cli.gate.judge import Outcome as Found

    if outcome is Found.PASSED:
        for check in checks:
            if check.outcome is Found.CANNOT_JUDGE:
                say(f"not judged, as allowed: {check.id}: {check.reason}")
        return
    shown = [c for c in checks if c.outcome is outcome and c.part not in allowed] or [
        c for c in checks if c.outcome is outcome
    ]
    lines = "; ".join(f"{check.id}: {check.reason}" for check in shown) or "nothing was judged"
    if outcome is Found.REGRESSED:
        raise GenrankError(
            f"regressed: {lines}",
            "if this is meant: the same command with --update, and the file with your change",
            ExitCode.REGRESSION,
        )
    raise GenrankError(f"cannot judge: {lines}", _remedy(shown), ExitCode.CANNOT_JUDGE)


def _remedy(unjudged: list[Check]) -> str:
    """What helps where nothing but the AUC, or nothing but speed, could not be judged."""
    parts = {check.part for check in unjudged}
    if parts == {"speed"}:
        return "--update makes a baseline here; --allow-unjudged speed passes on the AUC alone"
    if parts == {"benchmarks"}:
        return "give --benchmarks FILE, or pass on the rest: --allow-unjudged benchmarks"
    return "look at the change; if it is meant: the same command with --update"
