"""Train on a vocabulary of any size in memory, and say what it took: memory and time.

    python -m tests.benchmarks.large_vocabulary --items 30e6 --width 64 --steps 100

The log is made up: users with histories of 128 events, items drawn with probabilities that fall
like 1/rank, one field of a thousand topics. All but the number of items is as in training: the
samples, the batches, the model and the optimisers.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import psutil
import torch

from genrank_cli.data.store import SideTable
from genrank_cli.models.embeddings import SPARSE_ROWS
from genrank_cli.training.collisions import collision_record
from genrank_cli.training.config import layered
from genrank_cli.training.environment import environment
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import prepare
from tests.factory import MemoryStore, make_store

USERS, EVENTS = 400, 200


def large_store(items: int, users: int = USERS) -> MemoryStore:
    """A log of ``users`` × 200 events that show some of ``items`` items."""
    store = make_store((EVENTS,) * users, items=10)
    random = np.random.default_rng(0)
    rank = np.floor(items ** random.random(users * EVENTS))  # P(rank) falls like 1/rank
    shown = (rank * 7_919 % items).astype(np.uint32)  # neighbours in rank are no neighbours in code
    topics = np.arange(items) % 1000
    table = SideTable(
        pl.int_range(items, eager=True), {"topic": topics}, {"topic": 1000}, content=None
    )
    counts = store.manifest.counts.model_copy(update={"items": items})
    manifest = store.manifest.model_copy(update={"counts": counts})
    columns = store.__dict__["_columns"] | {"item": shown}
    return MemoryStore(manifest, columns, replace(store.users), table)


def measure(
    items: int,
    width: int,
    steps: int,
    settings: dict[str, Any],
    *,
    adam: bool = False,
    epoch: bool = False,
) -> dict[str, Any]:
    """Peak memory in bytes and seconds of ``steps`` training steps, after as many to warm up.

    ``adam``: PyTorch's SparseAdam in place of row-wise Adagrad; ``epoch``: with an epoch's end
    after the steps, which validates and keeps the best weights.
    """
    layers = {"model": {"width": width, "features": settings}}
    config = layered("genrank", "tiny", layers)
    store = large_store(items)
    before = resident()
    begun = time.perf_counter()
    prepared = prepare(store, config)
    trainer = Trainer(prepared, config, 0, torch.device("cpu"))
    if adam:
        tables = trainer.optimizers[-1].param_groups[0]["params"]
        trainer.optimizers[-1] = torch.optim.SparseAdam(tables, lr=1e-2)
    built_s = time.perf_counter() - begun
    batches = [*prepared.train.epoch(0, 0)][: 2 * steps]
    losses, seconds, cpu = [], [], []
    for number in range(2 * steps):
        begun, used = time.perf_counter(), time.process_time()
        losses.append(trainer.train_step(batches[number % len(batches)]))
        seconds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
    steps_peak = peak()
    if epoch:
        trainer._end_epoch()
    model: Any = trainer.model
    table = model.event.item.id.weight
    sparse = trainer.optimizers[-1] if len(table) > SPARSE_ROWS else None
    state = sparse.state[table] if sparse is not None else {}
    return {
        "items": items,
        "rows": len(table),
        "width": width,
        "optimizer": type(trainer.optimizers[-1]).__name__,
        "table_bytes": table.numel() * table.element_size(),
        "state_bytes": sum(
            x.numel() * x.element_size() for x in state.values() if torch.is_tensor(x)
        ),
        "store_bytes": before,
        "peak_bytes": steps_peak,
        "epoch_peak_bytes": peak() if epoch else None,
        "collisions": collision_record(prepared),
        "build_s": built_s,
        "step_s_median": float(np.median(seconds[steps:])),
        "step_s_worst": max(seconds[steps:]),
        "step_cpu_s_median": float(np.median(cpu[steps:])),
        "events_a_batch": float(np.mean([len(b.actions) + len(b.rows) for b in batches])),
        "first_loss": float(np.mean(losses[:10])),
        "last_loss": float(np.mean(losses[-10:])),
    }


def peak() -> int:
    """The most bytes that were in memory so far."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def resident() -> int:
    """Bytes in memory now."""
    size: int = psutil.Process().memory_info().rss
    return size


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Parse, measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=float, default=30e6)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--hash", type=float, default=None, help="rows of a hashed table")
    parser.add_argument("--hashes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--adam", action="store_true", help="SparseAdam in its place")
    parser.add_argument("--epoch", action="store_true", help="with an epoch's end")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    settings = {"hashes": given.hashes}
    if given.hash is not None:
        settings["item_hash"] = int(given.hash)
    choice = {"adam": given.adam, "epoch": given.epoch}
    found = measure(int(given.items), given.width, given.steps, settings, **choice)
    found["environment"] = environment()
    print(json.dumps(found, indent=1))
    return found


if __name__ == "__main__":
    main()
