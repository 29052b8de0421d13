"""The datasets that can be built and the stores that are, as a table."""

from __future__ import annotations

from collections.abc import Iterator

from genrank_cli.data.card import Card, list_cards, own_card
from genrank_cli.data.store import MANIFEST, Store
from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.paths import data_home
from genrank_cli.report.table import Column, Kind, Table, Value

COLUMNS = (
    Column("name", "name"),
    Column("built", "built"),
    Column("events", "events", Kind.COUNT),
    Column("users", "users", Kind.COUNT),
    Column("items", "items", Kind.COUNT),
    Column("title", "title"),
    Column("licence", "licence"),
)


def catalogue() -> Table:
    """Shipped datasets by name, then stores built under other names.

    ``built`` is yes, no, ``other settings`` (not what the card of that name says) or ``broken``.
    """
    cards = list_cards()
    rows = [_row(card.name, card) for card in cards]
    rows += [_row(name, None) for name in _other_stores({card.name for card in cards})]
    return Table("Datasets", COLUMNS, rows, notes=[f"Built datasets are in {data_home()}."])


def check_known(name: str) -> None:
    """Raise `GenrankError` (2) for a dataset that is neither built nor has a card."""
    names = {card.name for card in list_cards()}
    names |= set(_other_stores(names))
    if name not in names and own_card(name) is None and not (data_home() / name).exists():
        raise unknown_name("dataset", name, names, "see: genrank data list")


def _other_stores(known: set[str]) -> Iterator[str]:
    names = sorted(path.parent.name for path in data_home().glob(f"*/{MANIFEST}"))
    # Names with a leading dot are builds that have not ended.
    yield from (name for name in names if name not in known and not name.startswith("."))


def _row(name: str, card: Card | None) -> list[Value]:
    about: list[Value] = [card.title, card.licence] if card else ["built under this name", None]
    path = data_home() / name  # whatever the folder is called
    if not path.exists():
        return [name, "no", None, None, None, *about]
    try:
        manifest = Store.open(path).manifest
    except GenrankError:
        return [name, "broken", None, None, None, *about]
    counts = manifest.counts
    same = card is None or manifest.card_hash == card.hash
    state = "yes" if same else "other settings"
    return [name, state, counts.events, counts.users, counts.items, *about]
