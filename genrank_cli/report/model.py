"""Tables of a described model: its tokens with what they see, its parameters and FLOPs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrank_cli.report.table import Column, Kind, Table, Value

if TYPE_CHECKING:
    from genrank_cli.models.describe import Description
    from genrank_cli.models.picture import Picture


def mask_table(picture: Picture) -> Table:
    """One line per token: its place, and a block for each token that it sees."""
    return Table(
        title="Tokens and mask of a small sample",
        columns=[
            Column("token", "token"),
            Column("position", "position", Kind.COUNT),
            Column("sees", "sees"),
        ],
        rows=[
            [name, position, row]
            for name, position, row in zip(
                picture.names, picture.position, picture.rows(), strict=True
            )
        ],
        header=[picture.line],
        notes=[
            "x an event's item, a its action, c a candidate, M the masked action, "
            "u a feature of the user"
        ],
    )


def parts_table(found: Description, data: str) -> Table:
    """Parameters and FLOPs by part, the sum, and what the letters of the formulas are."""
    load = found.load
    numbers = [[p.parameters, p.forward, p.backward, p.dense] for p in found.parts]
    rows: list[list[Value]] = [
        [part.name, *figures, part.formula or None]
        for part, figures in zip(found.parts, numbers, strict=True)
    ]
    letters = f"n = {load.history:,} history events, m = {load.candidates:,} candidates"
    if load.tokens:
        letters += (
            f", T = {load.tokens:,} tokens, A = {load.cells:,} visible cells of {load.all_cells:,}"
        )
    return Table(
        title="Parameters, and matrix-product FLOPs of one sample",
        columns=[
            Column("part", "part"),
            Column("parameters", "parameters", Kind.COUNT),
            Column("forward_flops", "forward", Kind.COUNT),
            Column("backward_flops", "backward", Kind.COUNT),
            Column("dense_forward_flops", "forward, hidden cells too", Kind.COUNT),
            Column("formula", "formula of forward"),
        ],
        rows=[*rows, ["all", *map(sum, zip(*numbers, strict=True)), None]],
        header=[letters, data],
        notes=[_checked(found)],
        breaks=frozenset([len(rows)]),
    )


def _checked(found: Description) -> str:
    forward, backward = found.counter
    counter = f"PyTorch's counter, hidden cells too: forward {forward:,}, backward {backward:,}"
    if found.declared:
        return f"{counter}; the closed form gives the same"
    return f"{counter}; what is not in a closed form is taken from it"
