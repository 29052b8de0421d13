"""A table as LaTeX (booktabs)."""

from __future__ import annotations

from collections.abc import Sequence

from genrank_cli.report.table import Table

SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "−": "$-$",
        "–": "--",
        "∞": r"$\infty$",
        "Δ": r"$\Delta$",
        "≥": r"$\geq$",
        "≤": r"$\leq$",
    }
)


def render(table: Table) -> str:
    """A ``tabular``; title, environment lines and notes as comments around it."""
    columns = "".join(alignment[0] for alignment in table.alignments)
    lines = [f"% {line}" for line in (table.title, *table.header) if line]
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _row(table.headings), r"\midrule"]
    for number, row in enumerate(table.formatted()):
        if number in table.breaks:
            lines.append(r"\midrule")
        lines.append(_row(row))
    lines += [r"\bottomrule", r"\end{tabular}", *(f"% {line}" for line in table.notes)]
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cell.translate(SPECIAL) for cell in cells) + r" \\"
