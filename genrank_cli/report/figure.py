"""What all plots share: the house style, titles, and files that do not change by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from genrank_cli.files import replace_file

STYLE = Path(__file__).with_name("genrank.mplstyle")
METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}


@contextmanager
def styled(width: float, height: float) -> Iterator[Figure]:
    """A figure (inches) in the house style; nothing global is left changed."""
    with matplotlib.style.context(STYLE):
        yield Figure(figsize=(width, height), layout=ConstrainedLayoutEngine(wspace=0.06))


def entitle(figure: Figure, title: str, subtitle: str) -> None:
    """The title, and in smaller letters below it what was measured where."""
    lines = [title] * bool(title) + [" "] * bool(subtitle)  # the blank keeps room for the subtitle
    if lines:
        figure.suptitle("\n".join(lines), x=0.01, ha="left", linespacing=1.6)
    if subtitle:
        y = 0.98 - 0.24 * bool(title) / figure.get_figheight()
        figure.text(0.01, y, subtitle, ha="left", va="top", color="#555555")


def save(figure: Figure, path: Path) -> list[Path]:
    """Write ``path`` (``.png`` or ``.svg``), without such a suffix both; the files."""
    suffixes = [path.suffix] if path.suffix in METADATA else [".png", ".svg"]
    files = [path if path.suffix in METADATA else path.with_name(path.name + s) for s in suffixes]
    # Laid out once: a second pass, for the second file, would move things by less than a pixel.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for file in files:
        kind, metadata = file.suffix[1:], METADATA[file.suffix]
        replace_file(file, partial(figure.savefig, format=kind, metadata=metadata))
    return files
