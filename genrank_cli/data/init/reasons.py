"""Why a column that is called like it was not taken as the user, the item, the time or a label."""

from __future__ import annotations

from genrank_cli.data.init.guess import Guess, named
from genrank_cli.data.init.look import Look, Seen

ROLES = ("user", "item", "timestamp", "action")


def todo(look: Look, guesses: list[Guess]) -> dict[str, str]:
    """Role that no column took → what keeps the column from it that its name points to, or ""."""
    taken = {guess.role for guess in guesses}
    return {role: _reason(look, guesses, role) for role in ROLES if role not in taken}


def _reason(look: Look, guesses: list[Guess], role: str) -> str:
    free = [guess.seen for guess in guesses if guess.role not in ROLES]
    seen = next((seen for seen in free if named(seen, role)), None)
    return "" if seen is None else f"{seen.name!r} may be it, but {_obstacle(look, seen, role)}"


def _obstacle(look: Look, seen: Seen, role: str) -> str:
    if seen.missing:
        empty = round(seen.missing * look.rows)
        cells = look.frame[seen.name].cast(str, strict=False).fill_null("")
        first = int(cells.str.to_lowercase().is_in(["", "nan"]).arg_max() or 0)
        return f"{empty:,} of {look.rows:,} cells are empty, the first in row {first + 1:,}"
    if seen.distinct == 1:
        return "it has one value only"
    if role == "action":
        return 'it is not 0 or 1: write a test, such as "rating >= 4"'
    return f"it holds {seen.kind} values such as {seen.summary}"
