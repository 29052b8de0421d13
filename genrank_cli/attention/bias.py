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
from typing import ClassVar, NamedTuple, Protocol, Self

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

    name: ClassVar[str]

    @classmethod
    def of(cls, tensors: tuple[Tensor, ...]) -> Self:
        """The rule that reads ``tensors``: its settings follow from their shapes."""

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
    position  int64 [T]    virtual place of each token of k
    time      float64 [T]  seconds since the first event of the token's sequence
    form      ``fused``: inside the tile; ``materialized``: as a tensor of L×L, built first
    row_position, row_time  [R], of the rows of q; None: the rows are the tokens of k
    """

    rule: BiasRule
    tensors: tuple[Tensor, ...]
    position: Tensor
    time: Tensor
    form: str = "fused"
    row_position: Tensor | None = None
    row_time: Tensor | None = None

    def places(self, index: Tensor) -> Places:
        """The places of the tokens ``index`` [N, n] of k."""
        return Places(self.position[index], self.time[index])

    def row_places(self, index: Tensor) -> Places:
        """The places of the rows ``index`` [N, n] of q."""
        if self.row_position is None or self.row_time is None:
            return self.places(index)
        return Places(self.row_position[index], self.row_time[index])

    def place_tensors(self) -> tuple[Tensor, ...]:
        """Position and time of the keys and, where they are others, of the rows."""
        if self.row_position is None or self.row_time is None:
            return self.position, self.time
        return self.position, self.time, self.row_position, self.row_time


class BiasModule(nn.Module, ABC):
    """Holds a bias's tensors; called once per layer and batch."""

    form = "fused"

    @abstractmethod
    def rule(self) -> BiasRule:
        """How the bias is computed."""

    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """What the rule reads: learned tables, slopes."""

    def forward(self, position: Tensor, time: Tensor, rows: Tensor | None = None) -> Bias:
        """``position`` int64 [T], ``time`` float64 [T] → the batch's `Bias`.

        ``rows`` int64 [R]: the tokens that are rows of q; None: all.
        """
        own = (None, None) if rows is None else (position[rows], time[rows])
        return Bias(self.rule(), self.tensors(), position, time, self.form, *own)


@dataclass(frozen=True)
class BiasEntry:
    """A name that a configuration may give.

    ``make(heads, positions, form)`` builds the module, whose rule is a ``rule``; ``shared``: one
    module serves all layers.
    """

    make: Callable[[int, int, str], BiasModule]
    rule: type[BiasRule]
    shared: bool = False
