"""What will be timed: the shapes, and the rows of each shape with the rows they are compared with.

Legend: B sequences, L tokens each, of which the last m are candidates; H heads of width D.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from genrank_cli.bench.flops import Flops, attention_flops, visible_cells
from genrank_cli.errors import GenrankError, unknown_name

REFERENCE = "reference"
PLAIN = "none"
MATERIALIZED = "-materialized"

#: A bias of a row: its registered name, with the suffix in its other form.
BIASES = ("none", "rab", "rab-materialized", "tables", "alibi", "alibi-time")

DEFAULT_BIASES = ("none", "rab", "rab-materialized", "alibi", "alibi-time")
DTYPES = ("float32", "bfloat16", "float16")

#: Kernels of PyTorch that are timed beside ours: all softmax, all without a bias.
PEERS: Mapping[str, str] = {
    "sdpa": "scaled_dot_product_attention(is_causal=True), PyTorch's choice of kernel",
    "flash": "the same, FlashAttention only",
    "flex": "FlexAttention, compiled, with our mask",
}

#: The peer that every row is compared with as well: the practical limit.
LIMIT = "sdpa"

#: What the dense reference holds of each cell and head until its backward pass has gone by.
REFERENCE_COPIES = 4


@dataclass(frozen=True)
class Shape:
    """One case."""

    seq_len: int
    batch_size: int
    heads: int
    width: int
    candidates: int

    @property
    def name(self) -> str:
        """``480 tokens, batch 8, 8 x 96, 10 candidates`` without the words."""
        return f"L{self.seq_len}-B{self.batch_size}-H{self.heads}-D{self.width}-C{self.candidates}"

    @property
    def tokens(self) -> int:
        return self.batch_size * self.seq_len

    def labels(self) -> dict[str, int]:
        """The fields by name."""
        return asdict(self)

    def dense_bytes(self, element: int) -> int:
        """About what the dense reference holds, of elements of so many bytes."""
        return REFERENCE_COPIES * self.batch_size * self.heads * self.seq_len**2 * element


@dataclass(frozen=True)
class RowSpec:
    """One row. ``bases``: rows it may be compared with; the first that ran is taken."""

    backend: str
    bias: str
    dtype: str
    activation: str
    bases: tuple[str, ...]

    @property
    def name(self) -> str:
        """``native/rab/float32``; a peer's ``sdpa/float32``."""
        return row_name(self.backend, self.bias, self.dtype)

    @property
    def is_peer(self) -> bool:
        return self.backend in PEERS

    def labels(self) -> dict[str, str]:
        """What the row is, by name."""
        fields = asdict(self)
        del fields["bases"]
        return fields

    def flops(self, shape: Shape) -> Flops:
        """Of one run; each row's own mask (PyTorch's is causal for the candidates as well)."""
        history, m, length = shape.seq_len - shape.candidates, shape.candidates, shape.seq_len
        causal = self.backend in ("sdpa", "flash")
        cells = visible_cells(length, 0) if causal else visible_cells(history, m)
        dense = self.backend == REFERENCE
        return attention_flops(
            shape.batch_size * cells,
            shape.heads,
            shape.width,
            visited=shape.batch_size * length**2 if dense else None,
            recomputes=not dense,
        )


def row_name(backend: str, bias: str, dtype: str) -> str:
    """See `RowSpec.name`."""
    return f"{backend}/{dtype}" if backend in PEERS else f"{backend}/{bias}/{dtype}"


@dataclass(frozen=True)
class Request:
    """What a user asked for; checked by `checked`."""

    seq_lens: tuple[int, ...] = (480,)
    batch_size: int = 8
    heads: int = 8
    widths: tuple[int, ...] = (96,)
    candidates: int = 10
    dtypes: tuple[str, ...] = ("float32", "bfloat16")
    biases: tuple[str, ...] = DEFAULT_BIASES
    backends: tuple[str, ...] = (REFERENCE, "blockwise")
    activation: str = "silu"
    device: str = "cpu"
    threads: int | None = None
    rounds: int | None = None
    precision: float = 0.03
    budget_s: float = 60.0
    memory: bool = False
    memory_len: int = 4_096

    def settings(self) -> dict[str, Any]:
        """As plain values, for the record."""
        return {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}

    def shapes(self) -> list[Shape]:
        """The cases, in the order asked for."""
        return [
            Shape(length, self.batch_size, self.heads, width, self.candidates)
            for width, length in product(self.widths, self.seq_lens)
        ]

    def memory_shape(self) -> Shape:
        """One long sequence, of the first width."""
        return Shape(self.memory_len, 1, self.heads, self.widths[0], self.candidates)

    def fast(self) -> list[str]:
        """Our backends but the reference."""
        return [name for name in self.backends if name != REFERENCE and name not in PEERS]

    def rows(self) -> list[RowSpec]:
        """The rows of every case. The reference has no bias unless it is asked for alone."""
        return [
            RowSpec(backend, bias, dtype, self._activation(backend), ())
            for dtype, backend in product(self.dtypes, self.backends)
            for bias in self._biases(backend)
        ]

    def specs(self) -> list[RowSpec]:
        """`rows`, each with its bases."""
        rows = self.rows()
        names = {row.name for row in rows}
        return [
            RowSpec(row.backend, row.bias, row.dtype, row.activation, self._bases(row, names))
            for row in rows
        ]

    def _activation(self, backend: str) -> str:
        return "softmax" if backend in PEERS else self.activation

    def _biases(self, backend: str) -> Iterable[str]:
        if backend in PEERS:
            return (PLAIN,)
        alone = set(self.backends) <= {REFERENCE, *PEERS}
        return (PLAIN,) if backend == REFERENCE and not alone else self.biases

    def _bases(self, row: RowSpec, names: set[str]) -> tuple[str, ...]:
        """A bias against none, another dtype against the first, a backend against the reference or,
        where that does not fit the memory, against PyTorch's kernel.
        """
        plain = row_name(row.backend, PLAIN, row.dtype)
        if row.bias != PLAIN:
            return (plain,) if plain in names else ()
        bases = [row_name(row.backend, PLAIN, self.dtypes[0])]
        if row.backend != REFERENCE:
            bases += [row_name(other, PLAIN, row.dtype) for other in (REFERENCE, LIMIT)]
        return tuple(base for base in bases if base in names and base != row.name)


def checked(request: Request, known: Iterable[str]) -> Request:
    """The request itself. ``known``: the names of our backends.

    Raises `GenrankError` (2) for names that do not exist and sizes that cannot be.
    """
    registries = (
        ("--bias", request.biases, BIASES),
        ("--dtype", request.dtypes, DTYPES),
        ("--backend", request.backends, (*known, *PEERS)),
        ("--activation", (request.activation,), ("silu", "softmax")),
    )
    for option, names, allowed in registries:
        for name in names:
            if name not in allowed:
                raise unknown_name(option, name, allowed)
    shortest = min((*request.seq_lens, request.memory_len if request.memory else 2**62))
    if request.candidates >= shortest:
        raise GenrankError(
            f"--candidates {request.candidates} leaves no history in {shortest} tokens",
            "give fewer candidates or more tokens (--seq-len, --memory-len)",
        )
    return request
