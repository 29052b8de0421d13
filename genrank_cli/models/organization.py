"""Organisations: how events become tokens (PAPER sections 2 and 3).

For history events e1 e2 … and candidates c1 c2 … of one sample

* ``interleaved`` (HSTU)    x1 a1 x2 a2 … c1 c2 …   2n + m tokens, x = φ(item), a = ψ(action)
* ``action`` (GenRank)      e1 e2 … c1 c2 …          n + m tokens, e = φ(item) + ψ(action),
                                                     c = φ(item) + M, the masked action

Doubled candidates, c1 M c2 M … (interleaved), cost what they cost where every event is two tokens:
M sees what its candidate sees and the candidate, and nothing sees M. Contextual tokens u1 u2 …
stand before the history, at place 0 and at the time of its first event.

A candidate stands at its *virtual* place, the start of its request, whatever its physical index in
the sample: so its score is the same in a packed sample and alone. M shares its candidate's place.

Legend: S samples, n history events, m candidates, T tokens, C contextual tokens, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genrank_cli.attention import Mask, packed_mask
from genrank_cli.data.batch import Batch
from genrank_cli.models.config import AttentionConfig


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch stand; knows nothing of any model's weights.

    offsets    int64 [S+1]  tokens of each sample
    source     int64 [T]    row in what `Organization.values` returns, one past its end for M; 0 for
                            contextual tokens, which are not among them
    event      int64 [T]    row in the history events followed by the candidates, [n + m]; −1 for
                            contextual tokens
    position   int64 [T]    virtual place, in tokens
    time       float64 [T]  seconds since the sample's first event
    candidates int64 [m]    token of each candidate
    history    int64 [n·t]  tokens of the history, t for each event
    context    int64 [C]    contextual tokens, sample by sample
    mask       what each token sees
    """

    offsets: Tensor
    source: Tensor
    event: Tensor
    position: Tensor
    time: Tensor
    candidates: Tensor
    history: Tensor
    context: Tensor
    mask: Mask


@dataclass(frozen=True)
class Organization:
    """One way of turning events into tokens.

    ``tokens_per_event`` history tokens stand for one event; ``values(φ history [n, d],
    ψ [n, d], φ candidates [m, d], M [d])`` stacks the distinct token values: first those of the
    history, event by event, then the candidates'. ``masks_actions``: whether a candidate's token
    holds M, so that a history event's own token, which holds its action, cannot be trained on.
    """

    tokens_per_event: int
    values: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    masks_actions: bool

    def layout(
        self, batch: Batch, attention: AttentionConfig, *, double: bool = False, context: int = 0
    ) -> Layout:
        """Place the tokens of ``batch``: of each sample its history, then its candidates.

        ``double``: candidates have two tokens; ``context``: contextual tokens of each sample.
        """
        per, each = self.tokens_per_event, 2 if double else 1
        before = torch.full_like(batch.history_lengths, context)  # [S]
        history, shown = batch.history_lengths * per, batch.candidate_lengths * each
        offsets = torch.cat((batch.history_offsets[:1], (before + history + shown).cumsum(0)))
        place = _places(offsets)  # [T]
        end = (before + history).repeat_interleave(offsets.diff())
        known = ((place >= context) & (place < end)).nonzero().squeeze(1)
        asked = (place >= end).nonzero().squeeze(1)  # [m·each]
        source, event = _sources(len(place), known, asked, len(batch.actions), per, each)
        position = (place - context).clamp(min=0)
        position[asked] = (batch.prefix * per).repeat_interleave(each)
        seconds = torch.cat((batch.history.time, batch.candidates.time))
        return Layout(
            offsets=offsets,
            source=source,
            event=event,
            position=position,
            time=torch.where(event < 0, 0.0, seconds[event]),
            candidates=asked[::each],
            history=known,
            context=(place < context).nonzero().squeeze(1),
            mask=self._mask(batch, attention, before, asked, each),
        )

    def _mask(
        self, batch: Batch, attention: AttentionConfig, before: Tensor, asked: Tensor, each: int
    ) -> Mask:
        mask = packed_mask(
            batch.history_lengths * self.tokens_per_event,
            batch.candidate_lengths * each,
            (batch.prefix * self.tokens_per_event).repeat_interleave(each),
            batch.group.repeat_interleave(each),
            history=attention.history,
            candidates=attention.candidates,
            window=attention.window,
            context_lengths=before,
            context=attention.context,
        )
        if each == 1:
            return mask
        peer_start = mask.peer_start.clone()
        peer_start[asked[1::2]] -= 1  # M sees the candidate before it, and itself
        return replace(mask, peer_start=peer_start)


def _places(offsets: Tensor) -> Tensor:
    """0, 1, … inside each sample, [T]."""
    place = torch.arange(int(offsets[-1]), device=offsets.device)
    return place - offsets[:-1].repeat_interleave(offsets.diff())


def _sources(
    tokens: int, known: Tensor, asked: Tensor, events: int, per: int, each: int
) -> tuple[Tensor, Tensor]:
    """`Layout.source` and `Layout.event`, from the tokens of the history and of the candidates."""
    place = torch.arange(len(asked), device=asked.device)
    candidate = place // each
    source = torch.zeros(tokens, dtype=torch.int64, device=asked.device)
    event = torch.full_like(source, -1)
    order = torch.arange(len(known), device=known.device)
    source[known], event[known] = order, order // per
    last = len(known) + len(asked) // each  # one past the values of history and candidates
    source[asked] = torch.where(place % each == 0, len(known) + candidate, last)
    event[asked] = events + candidate
    return source, event


def _interleaved(history: Tensor, action: Tensor, shown: Tensor, masked: Tensor) -> Tensor:
    pairs = torch.stack((history, action), dim=1).flatten(0, 1)
    return torch.cat((pairs, shown))


def _action_oriented(history: Tensor, action: Tensor, shown: Tensor, masked: Tensor) -> Tensor:
    return torch.cat((history + action, shown + masked))


ORGANIZATIONS: dict[str, Organization] = {
    "interleaved": Organization(2, _interleaved, masks_actions=False),
    "action": Organization(1, _action_oriented, masks_actions=True),
}
