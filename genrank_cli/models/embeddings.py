"""φ(item), ψ(action) and the three additive embeddings (PAPER section 3).

Legend: n rows (events or tokens), d width, A actions.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.data.batch import Events
from genrank_cli.data.buckets import STATISTIC
from genrank_cli.data.store import SideTable
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import EmbeddingConfig, FeatureConfig
from genrank_cli.models.flops import Load, Term, linear
from genrank_cli.models.hashing import hashed_row
from genrank_cli.models.schema import Schema

#: Tables with more rows than this get sparse gradients: a dense optimiser would touch every row in
#: every step, which costs more than the rest of the model.
SPARSE_ROWS = 100_000

#: Gap buckets: 0 is "no earlier request", the others are ln(1 + seconds) in steps of 0.5.
GAP_ROWS = 40
GAP_STEP = 0.5

INIT_STD = 0.1


def field_table(rows: int, width: int) -> nn.Embedding:
    """A table [rows, width] for the values of a field, normal with deviation 0.1."""
    table = nn.Embedding(rows, width, sparse=rows > SPARSE_ROWS)
    nn.init.normal_(table.weight, std=INIT_STD)
    return table


def zero_table(rows: int, width: int) -> nn.Embedding:
    """A table [rows, width] for ids or places, all zero.

    A row that training seldom or never reaches then adds no noise: a new item is what its fields
    say of it.
    """
    if rows > SPARSE_ROWS:  # at once: the numbers that PyTorch draws first would take a minute
        return nn.Embedding(rows, width, sparse=True, _weight=torch.zeros(rows, width))
    table = nn.Embedding(rows, width)
    nn.init.zeros_(table.weight)
    return table


class HashedEmbedding(nn.Embedding):
    """A table [rows, d] for any number of ids: the sum of one row for each of ``hashes`` hashes.

    Which ids share their rows is counted by `genrank_cli.models.hashing.count_collisions`.
    """

    def __init__(self, rows: int, width: int, hashes: int = 1) -> None:
        super().__init__(rows, width, sparse=rows > SPARSE_ROWS, _weight=torch.zeros(rows, width))
        self.hashes = hashes

    def forward(self, code: Tensor) -> Tensor:
        """int64 [n] → [n, d]."""
        rows = (hashed_row(code, self.num_embeddings, salt) for salt in range(self.hashes))
        return functools.reduce(torch.add, map(super().forward, rows))


def id_table(side: SideTable, width: int, rows: int | None = None, hashes: int = 1) -> nn.Embedding:
    """A table for the ids of a side table, all zero; of ``rows`` rows where they are hashed."""
    ids = len(side.ids)
    return zero_table(ids, width) if rows is None else HashedEmbedding(rows, width, hashes)


def item_ids(schema: Schema, features: FeatureConfig, width: int) -> nn.Embedding:
    """A table for the ids of the items, hashed where ``features`` say so."""
    return id_table(schema.items, width, features.item_hash, features.hashes)


def user_ids(schema: Schema, features: FeatureConfig, width: int) -> nn.Embedding:
    """A table for the ids of the users, hashed where ``features`` say so."""
    return id_table(schema.users, width, features.user_hash, features.hashes)


class FieldEmbedding(nn.Module):
    """One categorical field of a side table: code → fields of that row → mean of embeddings."""

    codes: Tensor

    def __init__(self, codes: np.ndarray, size: int, width: int) -> None:
        super().__init__()
        # Not part of the weights: it is data, and comes back with the store.
        self.register_buffer("codes", torch.from_numpy(codes), persistent=False)
        self.table = field_table(size, width)

    def forward(self, row: Tensor) -> Tensor:
        """Rows of the side table, int64 [n] → [n, d]; a multi-valued field is averaged."""
        codes = self.codes[row]
        if codes.ndim == 1:
            return F.embedding(codes, self.table.weight, sparse=self.table.sparse)
        return F.embedding_bag(
            codes, self.table.weight, mode="mean", padding_idx=0, sparse=self.table.sparse
        )


class SideEmbedding(nn.Module):
    """Sum of the id's, the fields' and the content's embeddings of users or of items."""

    content: Tensor

    def __init__(
        self,
        table: SideTable,
        width: int,
        *,
        ids: nn.Embedding | None,
        use_fields: bool,
        use_statistics: bool,
        use_content: bool,
    ) -> None:
        super().__init__()
        self.id = ids
        self.fields = nn.ModuleDict(
            {
                name: FieldEmbedding(codes, table.sizes[name], width)
                for name, codes in table.fields.items()
                if (use_statistics if _is_statistic(name) else use_fields)
            }
        )
        self.project = None
        if use_content:
            if table.content is None:
                raise GenrankError(
                    "model.features.content is on, but the dataset has no content vectors",
                    "turn it off with --set model.features.content=false",
                )
            self.register_buffer("content", torch.from_numpy(table.content), persistent=False)
            self.project = nn.Linear(table.content.shape[1], width)

    def forward(self, row: Tensor) -> list[Tensor]:
        """int64 [n] → the parts of the sum, each [n, d]."""
        parts = [] if self.id is None else [self.id(row)]
        parts += [field(row) for field in self.fields.values()]
        if self.project is not None:
            parts.append(self.project(self.content[row]))
        return parts


class EventEmbedding(nn.Module):
    """φ: what is shown, to whom and in which context."""

    def __init__(self, schema: Schema, features: FeatureConfig, width: int) -> None:
        super().__init__()
        self.item = SideEmbedding(
            schema.items,
            width,
            ids=item_ids(schema, features, width) if features.item_id else None,
            use_fields=features.item_fields,
            use_statistics=features.statistics,
            use_content=features.content,
        )
        self.user = SideEmbedding(
            schema.users,
            width,
            ids=user_ids(schema, features, width) if features.user_id else None,
            use_fields=features.user_fields,
            use_statistics=features.statistics,
            use_content=False,
        )
        known = [features.context] * len(schema.context + schema.numbers)
        known += [features.windows] * len(schema.windows)
        sizes = schema.context + schema.numbers + schema.windows
        self.columns = [i for i, used in enumerate(known) if used]  # of `Events.context`
        self.context = nn.ModuleList(field_table(sizes[i], width) for i in self.columns)

        if features.statistics and not _statistics(schema):
            raise GenrankError(
                "model.features.statistics is on, but the dataset has no statistics",
                "turn it off with --set model.features.statistics=false",
            )

    def forward(self, events: Events) -> Tensor:
        """Events → φ [n, d]."""
        return self.split(events)[0]

    def split(self, events: Events) -> tuple[Tensor, Tensor | None]:
        """Events → φ and what of it is the items' alone, [n, d] each; no item features: None."""
        of_item = self.items(events.item)
        parts = [] if of_item is None else [of_item]
        parts += self.user(events.user)
        for column, table in zip(self.columns, self.context, strict=True):
            parts.append(table(events.context[:, column]))
        if not parts:
            raise GenrankError(
                "every feature of the model is off or absent from the dataset",
                "turn one on, for instance --set model.features.item_id=true",
            )
        return functools.reduce(torch.add, parts), of_item

    def items(self, item: Tensor) -> Tensor | None:
        """What the tables say of items alone, without user and context, [n] → [n, d]."""
        parts = self.item(item)
        return functools.reduce(torch.add, parts) if parts else None

    def flops(self, load: Load) -> list[Term]:
        """The content's projection, of every event; all else are look-ups and sums."""
        project = self.item.project
        if project is None:
            return []
        return [linear(project.weight.numel(), load.events, "(n+m)", frozen=True)]


def _statistics(schema: Schema) -> list[str]:
    """Fields of users and items that are sums over the whole log."""
    return [name for name in (*schema.users.fields, *schema.items.fields) if _is_statistic(name)]


def _is_statistic(field: str) -> bool:
    return field.startswith(STATISTIC)


class ActionEmbedding(nn.Module):
    """ψ: the sum of the embeddings of the actions taken; several may hold at once."""

    bits: Tensor

    def __init__(self, actions: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(actions, width).normal_(std=INIT_STD))
        self.seen = nn.Parameter(torch.empty(width).normal_(std=INIT_STD))
        self.register_buffer("bits", torch.arange(actions), persistent=False)

    def forward(self, actions: Tensor) -> Tensor:
        """Bitmask int64 [n] → [n, d]; `seen` tells an event without any action from no event."""
        taken = (actions.unsqueeze(1) >> self.bits) & 1
        return taken.to(self.weight.dtype) @ self.weight + self.seen

    def flops(self, load: Load) -> list[Term]:
        """Which actions were taken, times their embeddings."""
        return [linear(self.weight.numel(), load.history, "n", frozen=True)]


def index_bucket(index: Tensor) -> Tensor:
    """Place 0, 1, 2 … [n] → table row: the first eight alone, then four rows for each doubling.

    Places late in long histories are rare in training; alone, each would learn noise.
    """
    far = (torch.log2(index.clamp(min=8) / 8.0) * 4).long() + 8
    return torch.where(index < 8, index, far)


def index_rows(count: int) -> int:
    """Rows that the places 0 … count − 1 need."""
    return int(index_bucket(torch.tensor(count - 1, device="cpu"))) + 1


def gap_bucket(gap: Tensor) -> Tensor:
    """Seconds [n], −1 for "no earlier request" → bucket int64 [n] (function not given in PAPER)."""
    bucket = (torch.log1p(gap.clamp(min=0)) / GAP_STEP).long() + 1
    return torch.where(gap < 0, 0, bucket.clamp(max=GAP_ROWS - 1))


class AdditiveEmbedding(nn.Module):
    """E_position + E_request + E_gap, each on or off; ``positions`` bounds place and request."""

    def __init__(self, config: EmbeddingConfig, positions: int, width: int) -> None:
        super().__init__()
        self.position = zero_table(index_rows(positions), width) if config.position else None
        self.request = zero_table(index_rows(positions), width) if config.request else None
        self.gap = zero_table(GAP_ROWS, width) if config.gap else None

    def forward(self, position: Tensor, request: Tensor, gap: Tensor) -> list[Tensor]:
        """Virtual place, request index (int64) and gap (seconds), [n] → parts of the sum [n, d]."""
        parts = []
        if self.position is not None:
            parts.append(self.position(index_bucket(position)))
        if self.request is not None:
            parts.append(self.request(index_bucket(request)))
        if self.gap is not None:
            parts.append(self.gap(gap_bucket(gap)))
        return parts
