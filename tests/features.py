"""A small log with every kind of number: of events, of items, and a window statistic."""

from __future__ import annotations

import numpy as np

from genrank_cli.data.declare import Buckets, WindowSpec
from genrank_cli.data.store import NumberInfo
from tests.factory import MemoryStore, make_store


def number_store(lengths: tuple[int, ...] = (40, 30, 25, 20) * 3, seed: int = 0) -> MemoryStore:
    """`make_store` with numbers: ``price`` (quartiles, with gaps) and ``age`` (declared) of events,
    ``length`` (quintiles) and the statistic ``plays`` of items, events of the user in an hour."""
    store = make_store(lengths, seed=seed, items=60)
    random = np.random.default_rng(seed)
    events, items = store.manifest.counts.events, store.manifest.counts.items
    price = random.lognormal(size=events).astype(np.float32)
    price[random.random(events) < 0.1] = np.nan
    columns = store.__dict__["_columns"]
    columns["number.price"] = price
    columns["number.age"] = random.integers(10, 70, events).astype(np.float32)
    columns["window.user_1h_count"] = random.poisson(1.0, events).astype(np.float32)
    store.items.numbers["length"] = random.lognormal(size=items).astype(np.float32)
    store.items.numbers["plays"] = random.lognormal(size=items).astype(np.float32)
    manifest = store.manifest.model_copy(
        update={
            "event_numbers": {
                "price": Buckets(quantiles=4),
                "age": Buckets(boundaries=(18.0, 40.0)),
            },
            "item_numbers": {
                "length": NumberInfo(buckets=Buckets(quantiles=5), statistic=False),
                "plays": NumberInfo(buckets=Buckets(quantiles=3), statistic=True),
            },
            "windows": WindowSpec(spans=("1h",), keys=("user",)),
        }
    )
    return MemoryStore(manifest, columns, store.users, store.items)
