"""What an attention bias distinguishes, as a picture: a number for each pair of tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrank_cli.report.figure import entitle, save, styled

#: What the codes of a rule are, in the order of the rule.
MEANINGS: Mapping[str, Sequence[str]] = {
    "relative": ("position table: places from j to i", "time table: bucket of |t_i − t_j|"),
    "alibi": ("places from j to i, times −slope of the head",),
    "alibi-time": ("ln(seconds) / 0.301, times −slope of the head",),
}


def plot_bias(
    rule: str,
    codes: Sequence[Any],
    mask: Any,
    names: Sequence[str],
    path: Path,
    *,
    title: str = "",
) -> list[Path]:
    """Draw ``codes`` [T, T] each, with numbers, where bool ``mask`` [T, T] lets row i see column j.

    ``path`` with the suffix ``.png`` or ``.svg`` is written; without a suffix both are.
    """
    meanings = MEANINGS.get(rule, [f"code {number + 1}" for number in range(len(codes))])
    side = 1.6 + 0.4 * len(names)
    width = max(side * len(codes), 4.2) + 0.6
    with styled(width, side + 0.6) as figure:
        axes = figure.subplots(1, len(codes), squeeze=False)[0]
        for ax, meaning, code in zip(axes, meanings, codes, strict=True):
            _draw(ax, np.asarray(code), np.asarray(mask, bool), names)
            ax.set_xlabel(f"token j that is seen\n{meaning}")
        axes[0].set_ylabel("token i that sees")
        entitle(figure, title, "pairs with equal numbers share a bias; empty: hidden")
        return save(figure, path)


def _draw(ax: Any, code: Any, mask: Any, names: Sequence[str]) -> None:
    edges = np.arange(len(names) + 1) - 0.5
    shown = np.ma.masked_where(~mask, code)
    # Light colours only, so that black numbers can be read on all of them.
    top = max(float(shown.max()), 1.0) / 0.55
    ax.pcolormesh(edges, edges, shown, cmap="Blues", vmin=0, vmax=top, edgecolors="#DDDDDD")
    for i, j in zip(*np.nonzero(mask), strict=True):
        ax.text(j, i, f"{code[i, j]:.3g}", ha="center", va="center", fontsize=7)
    ax.set_xticks(range(len(names)), names, rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_aspect("equal")
    ax.grid(False)
    ax.tick_params(length=0)
