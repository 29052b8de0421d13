"""How many ids share rows of a hashed table: counted when a model is built, logged and recorded."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrank_cli.models.config import RatesConfig
from genrank_cli.models.hashing import Collisions, count_collisions
from genrank_cli.training.prepare import Prepared

log = logging.getLogger(__name__)

PIECE = 1 << 20  # events looked at together


def id_collisions(prepared: Prepared) -> dict[str, Collisions]:
    """``item`` and ``user``, where the model hashes their ids."""
    model = prepared.config.model
    if isinstance(model, RatesConfig):
        return {}
    features, gates = model.features, model.modules.ppnet is not None  # these read ids as well
    tables = {
        "item": (features.item_id or gates, features.item_hash, prepared.schema.items),
        "user": (features.user_id or gates, features.user_hash, prepared.schema.users),
    }
    return {
        name: count_collisions(rows, features.hashes, _met(prepared, name, len(side.ids)))
        for name, (used, rows, side) in tables.items()
        if used and rows is not None
    }


def collision_record(prepared: Prepared) -> dict[str, Any]:
    """The counts of `id_collisions` as plain values; each is logged, too."""
    found = id_collisions(prepared)
    for name, counts in found.items():
        log.info("%s", counts.sentence(name))
        if counts.rows >= counts.ids:
            log.warning("model.features.%s_hash saves no memory: leave it out", name)
    return {name: counts.record() for name, counts in found.items()}


def _met(prepared: Prepared, name: str, ids: int) -> NDArray[np.int64]:
    """Training events of each id, int64 [ids]."""
    codes, counts = prepared.store.column(name), np.zeros(ids, np.int64)
    for start in range(0, len(codes), PIECE):
        chosen = prepared.fitted[start : start + PIECE]
        counts += np.bincount(codes[start : start + PIECE][chosen], minlength=ids)
    return counts
