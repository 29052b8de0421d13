"""Tables as HTML: each in a box of its own, which scrolls where a phone is too narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from genrank_cli.report.html.build import Child, Html, el, join
from genrank_cli.report.table import Table
from genrank_cli.studies.verdict import Verdict

#: Cells above this many letters may fold; shorter ones stay on a line.
LONG = 28

KINDS = {str(verdict): verdict.name.lower().replace("_", "-") for verdict in Verdict}


def table(result: Table, *, caption: str = "") -> Html:
    """A table whose first column names the rows; numbers at the right, intervals in small."""
    aligned = ["num" if side == "right" else "text" for side in result.alignments]
    long = [
        any(len(row[index]) > LONG for row in result.formatted())
        for index in range(len(result.columns))
    ]
    kinds = [
        "text long" if wide and kind == "text" else kind
        for kind, wide in zip(aligned, long, strict=True)
    ]
    head = el(
        "tr",
        [el("th", h, scope="col", class_=k) for h, k in zip(result.headings, kinds, strict=True)],
    )
    body = [
        el("tr", _cells(row, kinds), class_="break" if number in result.breaks else None)
        for number, row in enumerate(result.formatted())
    ]
    grid = el(
        "table",
        el("caption", caption) if caption else None,
        el("thead", head),
        el("tbody", body),
    )
    return join(scroll(grid, caption or result.title), notes(result.notes))


def scroll(grid: Html, name: str) -> Html:
    """The box around a table; it can be scrolled with the keys as well."""
    return el("div", grid, class_="scroll", tabindex=0, role="region", aria_label=name)


def without(result: Table, *keys: str) -> Table:
    """The table without some columns."""
    kept = [n for n, column in enumerate(result.columns) if column.key not in keys]
    return replace(
        result,
        columns=[result.columns[n] for n in kept],
        rows=[[row[n] for n in kept] for row in result.rows],
    )


def notes(lines: Sequence[str]) -> Html | None:
    """What is said below a table."""
    return el("ul", [el("li", line) for line in lines], class_="notes") if lines else None


def figure_text(words: str) -> Child:
    """A number with its interval, the interval in small; neither is ever folded inside."""
    words = words.replace(" %", "\N{NO-BREAK SPACE}%")
    for mark in (" ± ", " ["):
        value, found, rest = words.partition(mark)
        if found:
            return [value, " ", el("span", mark.lstrip(), rest, class_="ci")]
    return words


def verdict_mark(words: str) -> Html:
    """``+ reproduced`` as a chip: sign, word and colour say the same."""
    sign, _, name = words.partition(" ")
    kind = KINDS.get(name, "other")
    return el("span", el("b", sign), " ", name, class_=f"verdict {kind}")


def _cells(row: Sequence[str], kinds: Sequence[str]) -> list[Html]:
    first, *others = row
    cells = [el("th", first, scope="row", class_=kinds[0])]
    for words, kind in zip(others, kinds[1:], strict=True):
        cells.append(el("td", figure_text(words) if kind == "num" else words, class_=kind))
    return cells


def command_text(command: str) -> Html:
    """A command that is folded between its words only."""
    words = [[el("span", word, class_="word"), " "] for word in command.split(" ")]
    return el("code", words)
