"""SIM: search a long history for what concerns the target, then attend to what was found.

Pi et al. 2020, Search-based Interest Model (arXiv 2006.05639). The long history are the events
before the sample's history (`data.samples.long_history`), so it ends before any request.

General search, to ``top`` events of the l:

* ``hard``  the newest that share the target's category (a field of the items)
* ``soft``  those of the largest inner product ⟨stopgradient(e_j), stopgradient(e_a)⟩

Exact search, with the time gap Δ_j from event to request in buckets:

    z_j = [e_j, E_gap(Δ_j)]
    head_i = Σ_j softmax_j(⟨W_bi z_j, W_ai e_a⟩ / √D) z_j
    U = W [head_1 … head_H]

e_a = φ of the target's item, e_j = φ of the event's item + ψ(action): without user and context.
[?]: the paper does not say how a gap becomes a bucket, has no 1/√D, and its W is the first layer of
the MLP. Its soft search learns projections by an auxiliary loss; here the ranker's own embeddings
serve.

Legend: l long-history events, t targets, k events found, r distinct ones, d width, e gap width, H
heads, D head width.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.data.buckets import NUMBER, STATISTIC
from genrank_cli.data.declare import Frozen
from genrank_cli.data.longhistory import LongHistory
from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.models.embeddings import GAP_ROWS, gap_bucket, zero_table
from genrank_cli.models.flops import Load, Term, linear, weights
from genrank_cli.models.modules.search import Found, hard_search, soft_search
from genrank_cli.models.modules.slots import Seen, Site, Slot
from genrank_cli.models.schema import Schema


class SimConfig(Frozen):
    """``field`` is the items' category for hard search; none = their first categorical field."""

    kind: Literal["hard", "soft"] = "hard"
    field: str | None = None
    top: int = Field(50, ge=1, description="events found for each candidate")
    heads: int = Field(2, ge=1)
    gap_width: int = Field(16, ge=1)


class ExactSearch(nn.Module):
    """Multi-head attention of the target over the events found for it."""

    def __init__(self, width: int, heads: int, gap_width: int) -> None:
        super().__init__()
        self.heads = heads
        size = max(1, width // heads)
        self.scale = size**-0.5
        self.gap = zero_table(GAP_ROWS, gap_width)
        # W_b z in two parts, each computed once per event and once per bucket, not once per pair.
        self.of_event = nn.Linear(width, heads * size, bias=False)
        self.of_gap = nn.Linear(gap_width, heads * size, bias=False)
        self.of_target = nn.Linear(width, heads * size, bias=False)
        self.project = nn.Linear(heads * (width + gap_width), width, bias=False)

    def forward(
        self, target: Tensor, event: Tensor, rows: Tensor, gap: Tensor, valid: Tensor
    ) -> Tensor:
        """Target [t, d], event [r, d], rows of ``event``, buckets and validity [t, k] → [t, d].

        Zero where nothing was found.
        """
        keys = F.embedding(rows, self.of_event(event))  # [t, k, H·D]
        keys = keys + F.embedding(gap, self.of_gap(self.gap.weight))
        keys = torch.unflatten(keys, -1, (self.heads, -1)).transpose(1, 2)  # [t, H, k, D]
        query = torch.unflatten(self.of_target(target), -1, (self.heads, -1))  # [t, H, D]
        score = torch.matmul(keys, query.unsqueeze(-1)).squeeze(-1) * self.scale  # [t, H, k]
        hidden = ~valid.unsqueeze(1)
        weight = score.masked_fill(hidden, torch.finfo(score.dtype).min).softmax(dim=-1)
        weight = weight.masked_fill(hidden, 0.0)  # of no event at all: no interest
        events = torch.matmul(weight, F.embedding(rows, event))  # [t, H, d]
        gaps = torch.matmul(weight, self.gap(gap))  # [t, H, e]
        interest: Tensor = self.project(torch.cat((events, gaps), dim=-1).flatten(1))
        return interest

    def products(self, load: Load, found: int) -> list[Term]:
        """For ``found`` events of each candidate, all different: an upper bound."""
        pairs, keys = load.candidates * found, self.of_event.out_features
        return [
            linear(self.of_event.weight.numel(), pairs, "m·k"),
            linear(self.of_gap.weight.numel(), GAP_ROWS, "buckets"),
            linear(weights(self.of_target) + weights(self.project), load.candidates, "m"),
            linear(keys + self.project.in_features, pairs, "m·k"),
        ]


class Sim(nn.Module):
    """General search, then exact search; the same in a generative model and in the DLRM."""

    slot: ClassVar = Slot.INTEREST
    codes: Tensor

    def __init__(self, settings: SimConfig, site: Site) -> None:
        super().__init__()
        self.settings = settings
        self.exact = ExactSearch(site.width, settings.heads, settings.gap_width)
        if settings.kind == "hard":
            codes = torch.from_numpy(site.schema.items.fields[category(site.schema, settings)])
            # Not part of the weights: it is data, and comes back with the store.
            self.register_buffer("codes", codes.view(len(codes), -1), persistent=False)

    def forward(self, seen: Seen) -> Tensor:
        """[t, d]; zero for a target without anything to be found."""
        long = seen.batch.long_history
        if long is None:
            raise GenrankError(
                "model.modules.sim is on, but the samples keep no long history to search",
                "say how long it is, for instance --set data.samples.long_history=1000",
            )
        if not len(long.item):
            return torch.zeros_like(seen.target)
        rows, valid = self.search(seen, long)
        # A target that sees no history may belong to a request that began in the long history.
        valid = valid & (seen.prefix > 0).unsqueeze(1)
        gap = seen.events.time.unsqueeze(1) - long.time[rows]  # [t, k] seconds
        used, local = torch.unique(rows, return_inverse=True)  # only what was found is embedded
        event = seen.items(long.item[used]) + seen.action(long.actions[used])  # [r, d]
        bucket = gap_bucket(gap.float())
        interest: Tensor = self.exact(seen.target_items, event, local, bucket, valid)
        return interest

    def flops(self, load: Load) -> list[Term]:
        """Of the exact search; what a soft search multiplies depends on the long histories."""
        return self.exact.products(load, self.settings.top)

    @torch.no_grad()
    def search(self, seen: Seen, long: LongHistory) -> Found:
        """Rows of ``long`` for each target, [t, k], and whether there is such a row."""
        item, top = seen.events.item, self.settings.top
        if self.settings.kind == "hard":
            wanted, codes = self.codes[item], self.codes[long.item]
            return hard_search(wanted, codes, seen.sample, long.offsets, top)
        # One vector for one item: its events are then exactly equal, and the newest is taken.
        distinct, place = torch.unique(torch.cat((item, long.item)), return_inverse=True)
        wanted, held = place[: len(item)], place[len(item) :]
        return soft_search(seen.items(distinct), wanted, held, seen.sample, long.offsets, top)


def category(schema: Schema, settings: SimConfig) -> str:
    """The field of the items that hard search compares."""
    fields = schema.items.fields
    named = [name for name in fields if not name.startswith((NUMBER, STATISTIC))]
    if settings.field is not None:
        if settings.field not in fields:
            raise unknown_name("field of the items", settings.field, fields)
        return settings.field
    if not named:
        raise GenrankError(
            "hard search needs a category, and the dataset's items have no categorical field",
            "search by embedding: --set model.modules.sim.kind=soft",
        )
    return named[0]


SETTINGS, MODULE = SimConfig, Sim
