"""A table for a person at a terminal: rich, coloured unless ``NO_COLOR`` is set."""

from __future__ import annotations

import io
import shutil
import textwrap
from dataclasses import replace

import rich.box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from genrank_cli.report.table import Table

UNBOUNDED = 10_000


def render(table: Table, width: int | None = None) -> str:
    """The table at the terminal's width, in parts below each other where it is wider."""
    width = width or shutil.get_terminal_size().columns
    buffer = io.StringIO()
    console = Console(file=buffer, force_terminal=True, width=width, highlight=False)
    if table.title:
        console.print(table.title, style="bold", markup=False)
    for line in table.header:
        console.print(line, style="dim", markup=False)
    for part in _parts(table, width):
        grid = _grid(part)
        console.print()
        console.print(grid, width=max(width, _minimum(grid)), crop=False)
    if table.notes:
        console.print()
    for line in table.notes:
        console.print(line, markup=False)
    return buffer.getvalue()


def _parts(table: Table, width: int) -> list[Table]:
    """Tables of some columns each that fit the width; the first column is repeated."""
    parts: list[Table] = []
    chosen = [0]
    for index in range(1, len(table.columns)):
        wider = _pick(table, [*chosen, index])
        if len(chosen) > 1 and _minimum(_grid(wider)) > width:
            parts.append(_pick(table, chosen))
            chosen = [0]
        chosen.append(index)
    return [*parts, _pick(table, chosen)]


def _minimum(grid: RichTable) -> int:
    return Console(file=io.StringIO(), width=UNBOUNDED).measure(grid).minimum


def _pick(table: Table, chosen: list[int]) -> Table:
    columns = [table.columns[index] for index in chosen]
    return replace(table, columns=columns, rows=[[row[i] for i in chosen] for row in table.rows])


def _grid(table: Table) -> RichTable:
    """Numbers stay on one line, their headings are folded to the width; text may fold."""
    grid = RichTable(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    rows = table.formatted()
    for index, column in enumerate(table.columns):
        if column.align == "left":
            grid.add_column(Text(column.heading), overflow="fold")
        else:
            cells = [row[index] for row in rows]
            widest = max(map(cell_len, [*cells, *column.heading.split()]))
            heading = "\n".join(textwrap.wrap(column.heading, widest))
            grid.add_column(Text(heading), justify="right", no_wrap=True, min_width=widest)
    for index, row in enumerate(rows):
        grid.add_row(*(Text(cell) for cell in row), end_section=index + 1 in table.breaks)
    return grid
