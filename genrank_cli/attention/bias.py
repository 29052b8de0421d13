"""What a bias is to a backend, and the table of its names.

A bias adds a term to every score that depends on two tokens' *virtual* places only: their position
and their time. It has three parts, so that a backend can hold each at the best moment:

* codes: from places alone, table rows or distances; the same in every layer, forward and backward.
* values: from codes and the bias's tensors (learned tables, slopes), what is added to a score.
* gradients: of the learned tensors, from codes and the scores' gradient summed over heads.

Legend: T tokens, N independent tiles, R rows and K keys of a tile, H heads.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

BIAS_FORMS = ("fused", "materialized")


class Places(NamedTuple):
    """Where the rows or the keys of tiles stand.

    position int64 [N, n], in tokens; time float64 [N, n], seconds since the sequence's first event.
    """

    position: Tensor
    time: Tensor


class BiasRule(Protocol):
    """How a bias is computed; immutable, without tensors, hashable (equal rules share codes)."""

    def codes(self, rows: Places, keys: Places, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Tensors [N, R, K]; those with a fraction are of ``dtype``."""

    def values(
        self, codes: tuple[Tensor, ...], tensors: tuple[Tensor, ...], out: Tensor | None = None
    ) -> Tensor:
        """The bias [N, 1 or H, R, K], written to ``out`` [N, H, R, K] where that is given."""

    def gradients(
        self, codes: tuple[Tensor, ...], grad: Tensor, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        """Gradients of the learned ``tensors`` from the scores' ``grad`` [N, R, K], heads summed.

        Empty for a bias without learned tensors.
        """


@dataclass(frozen=True, eq=False)
class Bias:
    """The bias of one batch, as `attend` takes it.

    rule      how it is computed
    tensors   what it reads; gradients flow to those that require them
    position  int64 [T]    virtual place of each token
    time      float64 [T]  seconds since the first event of the token's sequence
    form      ``fused``: inside the tile; ``materialized``: as a tensor of L×L, built first
    """

    rule: BiasRule
    tensors: tuple[Tensor, ...]
    position: Tensor
    time: Tensor
    form: str = "fused"

    def places(self, index: Tensor) -> Places:
        """The places of the tokens ``index`` [N, n]."""
        return Places(self.position[index], self.time[index])


class BiasModule(nn.Module, ABC):
    """Holds a bias's tensors; called once per layer and batch."""

    form = "fused"

    @abstractmethod
    def rule(self) -> BiasRule:
        """How the bias is computed."""

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """What the rule reads: learned tables, slopes."""

    def forward(self, position: Tensor, time: Tensor) -> Bias:
        """``position`` int64 [T], ``time`` float64 [T] → the batch's `Bias`."""
        return Bias(self.rule(), self.tensors(), position, time, self.form)


@dataclass(frozen=True)
class BiasEntry:
    """A name that a configuration may give.

    ``make(heads, positions, form)`` builds the module; ``shared``: one module serves all layers.
    """

    make: Callable[[int, int, str], BiasModule]
    shared: bool = False
