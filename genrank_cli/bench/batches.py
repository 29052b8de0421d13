"""Batches of drawn events for whole models: any shape, no data, the same numbers every time.

Legend: S samples, n history events and m candidates of all samples, C context columns.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from genrank_cli.bench.attention.inputs import GAP_S, GAP_SPREAD
from genrank_cli.data.batch import Batch, Events
from genrank_cli.errors import GenrankError
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.example import made_up_schema
from genrank_cli.models.schema import Schema


def whole_events(option: str, tokens: int) -> int:
    """The events of so many HSTU tokens; raises `GenrankError` (2) where these are not whole."""
    if tokens < 2:
        raise GenrankError(f"{option} {tokens}: no event has room", "an event is 2 tokens")
    if tokens % 2:
        message = f"{option} {tokens}: an event is 2 tokens, half of one would be left over"
        raise GenrankError(message, f"give {tokens - 1} or {tokens + 1}")
    return tokens // 2


def drawn_batch(samples: int, events: int, candidates: int, schema: Schema, seed: int) -> Batch:
    """``samples`` users with ``events`` of history and one request of ``candidates`` each.

    Items, actions and the (irregular) times between events are drawn from ``seed``.
    """
    draw = torch.Generator().manual_seed(seed)
    n, m = samples * events, samples * candidates
    gaps = torch.randn(samples, events + 1, generator=draw, dtype=torch.float64)
    gaps = gaps.mul(GAP_SPREAD).exp().mul(GAP_S)  # [S, events + 1]: the last one to the request
    times = gaps.cumsum(1) - gaps[:, :1]
    place = torch.arange(events + 1).expand(samples, -1)
    user = torch.randint(len(schema.users.ids), (samples,), generator=draw)

    def made(columns: slice, repeats: int) -> Events:
        """The events at ``columns`` of every sample, each ``repeats`` times."""

        def flat(x: Tensor) -> Tensor:
            return x[:, columns].flatten().repeat_interleave(repeats)

        size = samples * len(range(events + 1)[columns]) * repeats
        return Events(
            item=torch.randint(len(schema.items.ids), (size,), generator=draw),
            user=flat(user.unsqueeze(1).expand(-1, events + 1)),
            time=flat(times),
            request=flat(place),
            gap=flat(torch.where(place > 0, gaps, -1.0)).float(),
            context=_context(schema, size, draw),
        )

    return Batch(
        history=made(slice(0, events), 1),
        candidates=made(slice(events, None), candidates),
        actions=torch.randint(2**schema.actions, (n,), generator=draw),
        history_offsets=torch.arange(samples + 1) * events,
        candidate_offsets=torch.arange(samples + 1) * candidates,
        prefix=torch.full((m,), events),
        group=torch.arange(samples).repeat_interleave(candidates),
        labels=torch.randint(2, (m, len(schema.tasks)), generator=draw).float(),
        rows=torch.arange(m),
    )


def _context(schema: Schema, size: int, draw: torch.Generator) -> Tensor:
    """int64 [size, C]: codes of every context column."""
    sizes = schema.context + schema.numbers + schema.windows
    columns = [torch.randint(count, (size,), generator=draw) for count in sizes]
    return torch.stack(columns, 1) if columns else torch.zeros(size, 0, dtype=torch.int64)


def drawn_ranker(config: ModelConfig, longest_history: int) -> tuple[nn.Module, Schema]:
    """A ranker for made-up data, from seed 0, on the CPU.

    Weights that start at zero are drawn as well: a model whose scores are all equal would prove
    nothing where two ways to compute them are compared.
    """
    schema = made_up_schema(longest_history)
    torch.manual_seed(0)
    model = build_ranker(config, schema)
    fill_zero_weights(model)
    return model, schema


@torch.no_grad()
def fill_zero_weights(model: nn.Module) -> None:
    """Draw the weights of tensors that start at zero, with a deviation of 0.1."""
    for parameter in model.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)


def newest(batch: Batch, count: int) -> Batch:
    """One sample with its newest ``count`` events at most, for a model that reads no others."""
    kept = min(count, len(batch.actions))
    rows = torch.arange(len(batch.actions) - kept, len(batch.actions), device=batch.prefix.device)
    return replace(
        batch,
        history=batch.history.rows(rows),
        actions=batch.actions[rows],
        history_offsets=torch.tensor([0, kept], device=batch.prefix.device),
        prefix=torch.full_like(batch.prefix, kept),
    )
