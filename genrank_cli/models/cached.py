"""Cached inference: a history encoded once, its candidates scored in micro-batches (M-FALCON).

The keys and values of every layer depend on the history alone, because no history token sees a
candidate. A micro-batch writes its own keys and values behind each user's, where room was left, and
only its candidates are rows of the attention: nothing of the history is computed or copied again.
Source: HSTU (PAPER section 2). Scores equal `GenerativeRanker.forward` up to rounding.

Legend: S users, n history tokens and m candidates of all users (flat), T = n + S · room keys,
r candidates of a
micro-batch, H heads, D head width, d width, K tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import cast

import torch
from torch import Tensor, nn

from genrank_cli.attention import Bias, Mask
from genrank_cli.data.batch import Batch, Events
from genrank_cli.errors import GenrankError
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.microbatch import Places, candidate_mask, micro_batches
from genrank_cli.models.organization import Layout

#: Candidates of a user scored together, by default.
MICRO_BATCH = 256


@dataclass(frozen=True, eq=False)
class Cache:
    """What the candidates of some users need of their histories; made by `encode`.

    keys, values  of each block, [T, H, D]: of each user first the history, then ``room`` free
                  places, which every micro-batch overwrites: one call of `score` at a time
    offsets       int64 [S+1], of the keys
    history       int64 [S], history tokens of each user, behind ``context`` contextual ones
    position      int64 [T] and
    time          float64 [T]: the tokens' places; those of the room mean nothing
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    offsets: Tensor
    history: Tensor
    position: Tensor
    time: Tensor
    context: int
    room: int

    def bytes_per_user(self) -> Tensor:
        """int64 [S]: bytes of what is kept of each user, without the room."""
        return (self.history + self.context) * self._token_bytes()

    def room_bytes(self) -> int:
        """Bytes of the room of all users together."""
        return len(self.history) * self.room * self._token_bytes()

    def _token_bytes(self) -> int:
        tensors = (*self.keys, *self.values, self.position, self.time)
        return sum(x[:1].numel() * x.element_size() for x in tensors)


@dataclass(frozen=True)
class Candidates:
    """Candidates of the users of a `Cache`, in their order.

    events   [m], at the time of their request
    offsets  int64 [S+1]
    prefix   int64 [m]  events of the user's history that each may see
    group    int64 [m]  the request of each; those of one request stand together
    """

    events: Events
    offsets: Tensor
    prefix: Tensor
    group: Tensor

    @classmethod
    def of(cls, batch: Batch) -> Candidates:
        """The candidates of ``batch``."""
        return cls(batch.candidates, batch.candidate_offsets, batch.prefix, batch.group)


@dataclass(frozen=True, eq=False)
class _View:
    """What the rows of a micro-batch see: the same for other candidates at the same places."""

    slot: Tensor
    bounds: Tensor
    mask: Mask
    biases: list[Bias | None]


def encode(model: nn.Module, batch: Batch, micro_batch: int = MICRO_BATCH) -> Cache:
    """The cache of the histories of ``batch``.

    ``micro_batch`` is the room for each user's candidates. Those of ``batch`` are ignored, but that
    contextual tokens need to know whom a sample without a history is about. Raises `GenrankError`
    for a model that has no keys and values, or a micro-batch below 1.
    """
    ranker = _checked(model)
    if micro_batch < 1:
        raise GenrankError(f"micro-batch {micro_batch} is below 1")
    with torch.no_grad():
        alone = _without_candidates(batch)
        layout = ranker.layout(alone)
        kept = layout.offsets.diff()  # [S]
        room = torch.arange(len(layout.offsets), device=kept.device) * micro_batch  # [S+1]
        places = torch.arange(len(layout.source), device=kept.device)
        places = places + room[:-1].repeat_interleave(kept)  # [n]
        offsets = layout.offsets + room
        size = int(offsets[-1])

        def with_room(x: Tensor) -> Tensor:
            return x.new_zeros(size, *x.shape[1:]).index_copy_(0, places, x)

        x = _history_tokens(ranker, batch, alone, layout)
        layers = [tuple(map(with_room, kv)) for kv in _history_layers(ranker, x, layout)]
        return Cache(
            keys=tuple(k for k, _ in layers),
            values=tuple(v for _, v in layers),
            offsets=offsets,
            history=kept - ranker.context_count,
            position=with_room(layout.position),
            time=with_room(layout.time),
            context=ranker.context_count,
            room=micro_batch,
        )


def _history_tokens(ranker: GenerativeRanker, batch: Batch, alone: Batch, layout: Layout) -> Tensor:
    """[n, d]: the tokens of ``alone``, which is ``batch`` without its candidates."""
    x = ranker.tokens(alone, layout)
    if ranker.context is None:
        return x
    if bool((batch.history_lengths + batch.candidate_lengths == 0).any()):
        raise ValueError("contextual tokens of a sample without any event: whose are they?")
    return x.index_copy(0, layout.context, ranker.context(batch).to(x.dtype))


def _history_layers(
    ranker: GenerativeRanker, x: Tensor, layout: Layout
) -> Iterator[tuple[Tensor, Tensor]]:
    """Keys and values of each block, [n, H, D]."""
    biases = ranker.layer_biases(layout.position, layout.time)
    *blocks, last = (cast(HstuBlock, block) for block in ranker.blocks)
    for block, bias in zip(blocks, biases[:-1], strict=True):
        u, v, q, k = block.project(x)
        yield k, v
        x = block.update(x, block.attend(q, k, v, layout.offsets, layout.mask, bias), u)
    # Nobody reads what the last block makes of the history.
    yield last.keys_values(x)


def score(
    model: nn.Module, cache: Cache, candidates: Candidates, micro_batch: int | None = None
) -> Tensor:
    """Logits (binary tasks) or values (regression) of the candidates, [m, K].

    ``micro_batch`` candidates of each user at a time, at most and by default the cache's room. The
    history's keys and values stay as they are. Raises `GenrankError` for a larger micro-batch, and
    where candidates that see each other do not fit into one; ValueError for candidates that do not
    belong to the cache.
    """
    ranker = _checked(model)
    size = cache.room if micro_batch is None else micro_batch
    lengths = candidates.offsets.diff()
    position = candidates.prefix * ranker.organization.tokens_per_event
    _check_candidates(cache, candidates, lengths, position)
    _check_size(ranker, cache, lengths, size)
    with torch.no_grad():
        time = candidates.events.time
        x = ranker.candidate_tokens(candidates.events, position)
        states = torch.empty_like(x)
        last: tuple[Places, _View] | None = None
        first = cache.offsets[:-1] + cache.context
        for places in micro_batches(lengths, cache.history, first, position, time, size):
            # At the same places, backends find what they worked out before: same tensors.
            if last is None or not places.same(last[0]):
                last = places, _view(ranker, cache, places, candidates.group[places.chosen])
            states[places.chosen] = _through_blocks(ranker, cache, x[places.chosen], last[1])
        output: Tensor = ranker.output(ranker.head(states))
        return output


def _view(ranker: GenerativeRanker, cache: Cache, places: Places, group: Tensor) -> _View:
    attention = ranker.config.attention
    mask = candidate_mask(
        places,
        group,
        candidates=attention.candidates,
        window=attention.window,
        context=cache.context,
    )
    # New tensors, not written in place: backends find what they keep for a batch by identity.
    position = cache.position.index_copy(0, places.slot, places.position)
    time = cache.time.index_copy(0, places.slot, places.time)
    biases = ranker.layer_biases(position, time, places.slot)
    return _View(places.slot, places.bounds(), mask, biases)


def _through_blocks(ranker: GenerativeRanker, cache: Cache, x: Tensor, view: _View) -> Tensor:
    """The hidden states of a micro-batch, [r, d] → [r, d]."""
    for module, keys, values, bias in zip(
        ranker.blocks, cache.keys, cache.values, view.biases, strict=True
    ):
        block = cast(HstuBlock, module)
        u, v, q, k = block.project(x)
        keys.index_copy_(0, view.slot, k)
        values.index_copy_(0, view.slot, v)
        attended = block.attend(q, keys, values, cache.offsets, view.mask, bias, view.bounds)
        x = block.update(x, attended, u)
    return x


def _checked(model: nn.Module) -> GenerativeRanker:
    if not isinstance(model, GenerativeRanker):
        raise GenrankError(
            f"{type(model).__name__} has no keys and values that could be cached",
            "cached inference is for the generative models",
        )
    if model.extra.active:
        raise GenrankError(
            "cached inference does not run modules that look at the history at the head",
            "score with the whole model, or switch model.modules off",
        )
    if model.training:
        raise ValueError("cached inference needs model.eval(): dropout would differ by call")
    return model


def _check_candidates(
    cache: Cache, candidates: Candidates, lengths: Tensor, position: Tensor
) -> None:
    users, known = len(lengths), len(cache.history)
    if users != known:
        raise ValueError(f"candidates of {users} users, but a cache of {known}")
    if len(candidates.prefix) != int(lengths.sum()):
        raise ValueError(f"{len(candidates.prefix)} prefixes for {int(lengths.sum())} candidates")
    # A longer prefix would show a candidate the others: a leak that no metric reveals.
    if bool((position > cache.history.repeat_interleave(lengths)).any()):
        raise ValueError("a candidate's prefix is longer than the history in the cache")


def _check_size(ranker: GenerativeRanker, cache: Cache, lengths: Tensor, size: int) -> None:
    if not 1 <= size <= cache.room:
        raise GenrankError(
            f"micro-batch {size} does not fit the cache's room for {cache.room} candidates",
            "encode the history with a larger micro_batch",
        )
    most = int(lengths.max()) if len(lengths) else 0
    if ranker.config.attention.candidates == "visible" and most > size:
        raise GenrankError(
            f"candidates that see each other must be scored together: a user has {most}, "
            f"a micro-batch holds {size}",
            "take a larger micro_batch, or model.attention.candidates=isolated",
        )


def _without_candidates(batch: Batch) -> Batch:
    none = slice(0, 0)
    return replace(
        batch,
        candidates=Events(*(getattr(batch.candidates, f.name)[none] for f in fields(Events))),
        candidate_offsets=torch.zeros_like(batch.candidate_offsets),
        **{name: getattr(batch, name)[none] for name in ("prefix", "group", "labels", "rows")},
    )
