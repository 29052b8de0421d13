"""The options that the benches share, and how their text is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3_600.0}


def _refused(message: str, example: str) -> typer.BadParameter:
    """The error to which typer adds the option's name."""
    return typer.BadParameter(f"{message}; write {example}")


class Sizes(tuple[int, ...]):
    """Numbers of 1 and more, separated by commas."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(str(size) for size in self)


def parse_sizes(text: str | Sizes) -> Sizes:
    """``240,480`` as numbers, each once; raises typer.BadParameter."""
    if isinstance(text, Sizes):
        return text
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not re.fullmatch(r"[1-9]\d{0,8}", part)), None)
    if wrong is not None:
        raise _refused(f"{wrong!r} is no whole number above 0", "240,480")
    return Sizes(dict.fromkeys(int(part) for part in parts))


class Seconds(float):
    """A duration."""

    def __str__(self) -> str:
        return f"{float(self):g}s"


def parse_seconds(text: str | Seconds) -> Seconds:
    """``90``, ``90s``, ``1.5m`` as seconds; raises typer.BadParameter."""
    if isinstance(text, Seconds):
        return text
    match = re.fullmatch(r"(\d{1,6}(?:\.\d*)?)([smh]?)", text.strip())
    if match is None or float(match[1]) == 0:
        raise _refused(f"{text!r} is no duration", "90s or 2m")
    return Seconds(float(match[1]) * UNITS[match[2]])


class Share(float):
    """A part of one."""

    def __str__(self) -> str:
        return f"{100 * self:g}%"


def parse_share(text: str | Share) -> Share:
    """``3%`` or ``0.03`` as 0.03; raises typer.BadParameter."""
    if isinstance(text, Share):
        return text
    match = re.fullmatch(r"(\d*\.?\d+)\s*(%?)", text.strip())
    value = float(match[1]) / (100 if match[2] else 1) if match else 0.0
    if not 0 < value < 1:
        raise _refused(f"{text!r} is no share between 0 and 1", "3% or 0.03")
    return Share(value)


SeqLenOption = Annotated[
    Sizes,
    typer.Option("--seq-len", parser=parse_sizes, metavar="LIST", help="Tokens: 480 or 480,960."),
]
RoundsOption = Annotated[
    int | None,
    typer.Option("--rounds", min=1, help="Exactly so many rounds (default: as many as needed)."),
]
PrecisionOption = Annotated[
    Share,
    typer.Option(
        "--precision",
        parser=parse_share,
        metavar="SHARE",
        help="Rounds end when all ratios are known to ± this share.",
    ),
]
BudgetOption = Annotated[
    Seconds,
    typer.Option(
        "--budget",
        parser=parse_seconds,
        metavar="TIME",
        help="Rounds of a case end after this time; eight are always made.",
    ),
]
PlotOption = Annotated[
    Path | None,
    typer.Option("--plot", metavar="FILE", help="Draw it: .png or .svg (neither: both)."),
]
