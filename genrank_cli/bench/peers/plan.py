"""Which implementations are timed, on which shape.

Legend: S sequences of L tokens, H heads of width D, d = H · D.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from genrank_cli.bench.attention.plan import DTYPES, Shape
from genrank_cli.errors import unknown_name


@dataclass(frozen=True)
class Request:
    """What a user asked for; checked by `checked`. ``peers`` empty: every one that is known."""

    peers: tuple[str, ...] = ()
    seq_lens: tuple[int, ...] = (480,)
    batch_size: int = 8
    heads: int = 8
    width: int = 96
    dtype: str = "float32"
    device: str = "cpu"
    threads: int | None = None
    rounds: int | None = None
    precision: float = 0.03
    budget_s: float = 60.0

    def settings(self) -> dict[str, Any]:
        """As plain values, for the record."""
        return {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}

    def shapes(self) -> list[Shape]:
        """The cases. Without candidates: the causal mask is the one that everybody has."""
        return [
            Shape(length, self.batch_size, self.heads, self.width, 0) for length in self.seq_lens
        ]

    def chosen(self) -> tuple[str, ...]:
        """The peers asked for and ours that they are held against, in the registry's order."""
        from genrank_cli.bench.peers.registry import PEERS

        names = self.peers or tuple(name for name, peer in PEERS.items() if not peer.ours)
        needed = {PEERS[name].base for name in names} | {*names}
        needed |= {PEERS[name].base for name in needed if name in PEERS}
        return tuple(name for name in PEERS if name in needed)


def checked(request: Request) -> Request:
    """The request itself. Raises `GenrankError` (2) for names that do not exist."""
    from genrank_cli.bench.peers.registry import PEERS

    for name in request.peers:
        if name not in PEERS:
            raise unknown_name("--peer", name, PEERS)
    if request.dtype not in DTYPES:
        raise unknown_name("--dtype", request.dtype, DTYPES)
    return request
