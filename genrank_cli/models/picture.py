"""Tokens and mask of a generative ranker, drawn from the very layout that it computes with.

Legend: n history events, m candidates, T tokens of one sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from genrank_cli.data.batch import Batch
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.organization import Layout, Organization

SEEN, HIDDEN = "█", "·"


@dataclass(frozen=True)
class Picture:
    """One sample's tokens.

    ``names`` [T]: ``x1`` an event's item, ``a1`` its action, ``c1`` a candidate's item, ``M`` the
    masked action, ``u1`` a feature of the user; ``x1+a1`` one token of both. ``position`` [T] is
    the virtual place, ``mask`` bool [T, T]: row i sees column j.
    """

    names: list[str]
    position: list[int]
    mask: Tensor

    @property
    def line(self) -> str:
        """All tokens in a line: ``x1 a1 x2 a2 c1 c2``."""
        return " ".join(self.names)

    def rows(self) -> list[str]:
        """The mask, a text for each row."""
        return ["".join(SEEN if seen else HIDDEN for seen in row) for row in self.mask.tolist()]


def picture(ranker: GenerativeRanker, batch: Batch) -> Picture:
    """The picture of the only sample of ``batch``."""
    layout = ranker.layout(batch)
    return Picture(
        names=_names(ranker.organization, batch, layout),
        position=layout.position.tolist(),
        mask=layout.mask.dense(layout.offsets, 0),
    )


def _names(organization: Organization, batch: Batch, layout: Layout) -> list[str]:
    """What each token is made of, asked of the organisation itself.

    Every part is a unit vector of its own, so that a token's value says which were added up.
    """
    n, m = len(batch.actions), len(batch.rows)
    parts = [
        f"{letter}{i + 1}" for letter, count in (("x", n), ("a", n), ("c", m)) for i in range(count)
    ]
    parts.append("M")
    unit = torch.eye(len(parts))
    values = organization.values(unit[:n], unit[n : 2 * n], unit[2 * n : -1], unit[-1])
    values = torch.cat((values, unit[-1:]))  # one past the end stands for M
    names = ["+".join(parts[i] for i in row.nonzero().flatten().tolist()) for row in values]
    found = [names[source] for source in layout.source.tolist()]
    for number, place in enumerate(layout.context.tolist()):
        found[place] = f"u{number + 1}"
    return found
