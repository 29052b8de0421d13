"""Arguments that several commands on datasets share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from genrank_cli.data.split_spec import SplitSpec
    from genrank_cli.data.store import Store

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A built dataset; see: genrank data list.")
]
StoreSplitOption = Annotated[
    str | None,
    typer.Option("--split", metavar="NAME", help="Look at this split, not the store's own."),
]


def open_split(name: str, split: str | None) -> tuple[Store, SplitSpec]:
    """The built store ``name``, and its split ``split``, by default its card's."""
    store = open_store(name)
    own = store.manifest.split
    return store, own.named(split) if split else own


def open_store(name: str) -> Store:
    """The built store ``name``; an unknown name is told apart from one that is not built."""
    from genrank_cli.data.catalogue import check_known
    from genrank_cli.data.store import Store
    from genrank_cli.paths import store_path

    path = store_path(name)
    check_known(name)
    return Store.open(path)
