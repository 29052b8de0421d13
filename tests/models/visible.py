"""What a token can know, worked out from layout and mask alone, whatever the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.data.batch import Batch
from genrank_cli.models.config import AttentionConfig
from genrank_cli.models.organization import ORGANIZATIONS, Layout

Fact = tuple[int, str]


def make_layout(
    name: str,
    batch: Batch,
    *,
    double: bool = False,
    context: int = 0,
    history: str = "causal",
    attention: str = "own",
) -> Layout:
    """``attention``: what contextual tokens see."""
    config = AttentionConfig.model_validate({"history": history, "context": attention})
    return ORGANIZATIONS[name].layout(batch, config, double=double, context=context)


def told(layout: Layout, name: str) -> list[set[Fact]]:
    """What each token holds itself: (event, "item") and (event, "label"); M and contexts nothing.

    Events are rows of the history followed by the candidates.
    """
    facts: list[set[Fact]] = [set() for _ in layout.event]
    parts = [("item",), ("label",)] if name == "interleaved" else [("item", "label")]
    for place, token in enumerate(layout.history.tolist()):
        held = parts[place % len(parts)]
        facts[token] = {(int(layout.event[token]), what) for what in held}
    for token in layout.candidates.tolist():
        facts[token] = {(int(layout.event[token]), "item")}
    return facts


def reached(layout: Layout, name: str) -> list[set[Fact]]:
    """What can reach each token through any number of layers."""
    facts, known = told(layout, name), []
    for sample in range(len(layout.offsets) - 1):
        first, last = layout.offsets[sample : sample + 2].tolist()
        for row in _closure(layout.mask.dense(layout.offsets, sample)):
            seen = (first + row.nonzero().squeeze(1)).tolist()
            known.append(set().union(*(facts[token] for token in seen)))
        assert len(known) == last
    return known


def _closure(mask: Tensor) -> Tensor:
    """Which tokens a row depends on, bool [L, L]: itself, those it sees, those they see, …"""
    reach = (mask | torch.eye(len(mask), dtype=torch.bool)).double()
    while True:
        further = (reach @ reach > 0).double()
        if torch.equal(further, reach):
            return further > 0
        reach = further


def knowable(batch: Batch) -> list[set[Fact]]:
    """What each candidate may know: the events before its request, their labels, its item."""
    first = batch.history_offsets[:-1].repeat_interleave(batch.candidate_lengths)
    facts: list[set[Fact]] = []
    for i, (begin, prefix) in enumerate(zip(first.tolist(), batch.prefix.tolist(), strict=True)):
        past = range(begin, begin + prefix)
        facts.append({(e, what) for e in past for what in ("item", "label")})
        facts[-1].add((len(batch.actions) + i, "item"))
    return facts
