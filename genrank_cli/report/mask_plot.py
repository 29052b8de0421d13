"""A mask as a picture: rows see columns (PNG and SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrank_cli.report.figure import entitle, save, styled

SEEN = "#0072B2"


def plot_mask(mask: Any, names: Sequence[str], path: Path, *, title: str = "") -> list[Path]:
    """Draw bool [T, T], a filled square where row i sees column j; the files.

    ``path`` with the suffix ``.png`` or ``.svg`` is written; without a suffix both are.
    """
    from matplotlib.colors import ListedColormap

    cells = np.asarray(mask, bool)
    side = 1.6 + 0.34 * len(names)
    with styled(side + 0.6, side + 0.5) as figure:
        ax = figure.subplots()
        edges = np.arange(len(names) + 1) - 0.5
        colors = ListedColormap(["white", SEEN])
        ax.pcolormesh(edges, edges, cells, cmap=colors, vmin=0, vmax=1, edgecolors="#DDDDDD")
        ax.set_xticks(range(len(names)), names, rotation=90)
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.set_aspect("equal")
        ax.grid(False)
        ax.tick_params(length=0)
        ax.set_xlabel("token that is seen")
        ax.set_ylabel("token that sees")
        entitle(figure, title, "filled: the row sees the column")
        return save(figure, path)
