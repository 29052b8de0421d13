"""Organisations: how events become tokens (PAPER sections 2 and 3).

For history events e1 e2 … and candidates c1 c2 … of one sample

* ``interleaved`` (HSTU)    x1 a1 x2 a2 … c1 c2 …   2n + m tokens, x = φ(item), a = ψ(action)
* ``action`` (GenRank)      e1 e2 … c1 c2 …          n + m tokens, e = φ(item) + ψ(action),
                                                     c = φ(item) + M, the masked action

A candidate stands at its *virtual* place, the start of its request, whatever its physical index in
the sample: so its score is the same in a packed sample and alone.

Legend: S samples, n history events, m candidates, T tokens, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrank_cli.attention import Mask, packed_mask
from genrank_cli.data.batch import Batch
from genrank_cli.models.config import AttentionConfig


@dataclass(frozen=True)
class Layout:
    """Where the tokens of a batch stand; knows nothing of any model's weights.

    offsets    int64 [S+1]  tokens of each sample
    source     int64 [T]    row in what `Organization.values` returns
    event      int64 [T]    row in the history events followed by the candidates, [n + m]
    position   int64 [T]    virtual place, in tokens
    time       float64 [T]  seconds since the sample's first event
    candidates int64 [m]    token of each candidate
    mask       what each token sees
    """

    offsets: Tensor
    source: Tensor
    event: Tensor
    position: Tensor
    time: Tensor
    candidates: Tensor
    mask: Mask


@dataclass(frozen=True)
class Organization:
    """One way of turning events into tokens.

    ``tokens_per_event`` history tokens stand for one event; ``values(φ history [n, d],
    ψ [n, d], φ candidates [m, d], M [d])`` stacks the distinct token values: first those of the
    history, event by event, then the candidates'.
    """

    tokens_per_event: int
    values: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]

    def layout(self, batch: Batch, attention: AttentionConfig) -> Layout:
        """Place the tokens of ``batch``: of each sample first the history, then the candidates."""
        per = self.tokens_per_event
        history, shown = batch.history_lengths * per, batch.candidate_lengths
        offsets = torch.cat((batch.history_offsets[:1], (history + shown).cumsum(0)))
        is_candidate = _candidate_tokens(offsets, history)
        candidates = is_candidate.nonzero().squeeze(1)
        tokens = (~is_candidate).nonzero().squeeze(1)
        count = len(batch.actions) * per
        source = torch.empty(len(is_candidate), dtype=torch.int64, device=offsets.device)
        source[tokens] = torch.arange(count, device=offsets.device)
        source[candidates] = count + torch.arange(len(candidates), device=offsets.device)
        event = torch.where(is_candidate, source - count + len(batch.actions), source // per)
        position = torch.arange(len(source), device=offsets.device)
        position = position - offsets[:-1].repeat_interleave(offsets.diff())
        position[candidates] = batch.prefix * per
        return Layout(
            offsets=offsets,
            source=source,
            event=event,
            position=position,
            time=torch.cat((batch.history.time, batch.candidates.time))[event],
            candidates=candidates,
            mask=packed_mask(
                history,
                shown,
                batch.prefix * per,
                batch.group,
                history=attention.history,
                candidates=attention.candidates,
                window=attention.window,
            ),
        )


def _candidate_tokens(offsets: Tensor, history: Tensor) -> Tensor:
    """bool [T]: which tokens of each sample come after its history."""
    lengths = offsets.diff()
    local = torch.arange(int(offsets[-1]), device=offsets.device)
    local = local - offsets[:-1].repeat_interleave(lengths)
    return local >= history.repeat_interleave(lengths)


def _interleaved(history: Tensor, action: Tensor, shown: Tensor, masked: Tensor) -> Tensor:
    pairs = torch.stack((history, action), dim=1).flatten(0, 1)
    return torch.cat((pairs, shown))


def _action_oriented(history: Tensor, action: Tensor, shown: Tensor, masked: Tensor) -> Tensor:
    return torch.cat((history + action, shown + masked))


ORGANIZATIONS: dict[str, Organization] = {
    "interleaved": Organization(2, _interleaved),
    "action": Organization(1, _action_oriented),
}
