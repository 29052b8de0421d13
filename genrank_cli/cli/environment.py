"""``genrank environment``: what a result would be measured on; useful in a bug report."""

from __future__ import annotations

from genrank_cli.cli import new_app
from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit

app = new_app()


@app.command(
    epilog="\b\nExamples:\n  genrank environment\n  genrank environment --json -o env.json"
)
def environment(
    format: FormatOption = Format.AUTO, output: OutputOption = None, json: JsonOption = False
) -> None:
    """Print the machine, the versions and the threads that every result records."""
    check_output(output)
    from genrank_cli.training.environment import environment as describe

    emit(describe(), format, output, json)
