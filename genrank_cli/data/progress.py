"""How long work says how far it is, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable

#: what is being done, how much is done, how much there is (0: not known)
Report = Callable[[str, float, float], None]


def quiet(_what: str, _done: float, _total: float) -> None:
    """Report nothing."""
