"""Training speed of several configurations on the same events, as ratios from alternating rounds.

Machines change pace while they measure: a ratio is taken inside one round, in which every row
trains on its batches, and the order rotates from round to round.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.store import Store
from genrank_cli.errors import data_error
from genrank_cli.files import write_json
from genrank_cli.models.history_loss import trains_on_history
from genrank_cli.paths import PACKAGE
from genrank_cli.training.config import ExperimentConfig
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import Prepared, prepare
from genrank_cli.training.runtime import start

#: A round whose time is this many times the row's median is reported: the machine was disturbed.
OUTLIER = 1.5

#: Batches of a round: few, so that rounds are short beside a change of the machine's pace.
ROUND_BATCHES = 4

Batches = list[Batch]


@dataclass(frozen=True)
class Speed:
    """Seconds of each round by row, and the candidates that the row trains on in a round."""

    round_s: dict[str, list[float]]
    events: dict[str, int]
    device: str
    threads: int

    def ratios(self, base: str, row: str) -> list[float]:
        """How many times as fast as ``base`` the row was, round by round."""
        pairs = zip(self.events_per_s(base), self.events_per_s(row), strict=True)
        return [quick / slow for slow, quick in pairs]

    def events_per_s(self, row: str) -> list[float]:
        """Candidates per second of each round."""
        return [self.events[row] / seconds for seconds in self.round_s[row]]

    def outliers(self, row: str) -> int:
        """Rounds that took much longer than the row's median."""
        times = sorted(self.round_s[row])
        return sum(seconds > OUTLIER * times[len(times) // 2] for seconds in times)


def measure_speed(
    configs: Mapping[str, ExperimentConfig],
    store: Store,
    device: torch.device,
    *,
    rounds: int,
    threads: int | None = None,
    on_round: Callable[[int], None] = lambda done: None,
) -> Speed:
    """Whole training steps (forward, backward, optimiser) of every configuration, timed in rounds.

    Rows that read and batch the data alike share their batches: of those sorted by length, the ones
    in the middle of four equal parts, so that a round is like an epoch.
    """
    start(0, threads)
    trainers, batches = _set_up(configs, store, device)
    for name, trainer in trainers.items():
        _time(trainer, batches[name], device)  # every shape once, before anything counts
    round_s: dict[str, list[float]] = {name: [] for name in trainers}
    names = list(trainers)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            round_s[name].append(_time(trainers[name], batches[name], device))
        on_round(number + 1)
    events = {name: sum(len(batch.rows) for batch in batches[name]) for name in names}
    return Speed(round_s, events, str(device), torch.get_num_threads())


def _set_up(
    configs: Mapping[str, ExperimentConfig], store: Store, device: torch.device
) -> tuple[dict[str, Trainer], dict[str, Batches]]:
    """A trainer and the batches of each row.

    Rows that train on their histories need batches with the labels of these: the same samples, but
    batches of their own.
    """
    known: dict[str, tuple[Prepared, Batches]] = {}
    trainers, batches = {}, {}
    for name, config in configs.items():
        labelled = trains_on_history(config.model)
        key = f"{config.data.model_dump_json()} {config.training.batch_events} {labelled}"
        if key not in known:
            prepared = prepare(store, config)
            known[key] = prepared, _typical(prepared.train, device)
        prepared, batches[name] = known[key]
        trainers[name] = Trainer(prepared, config, 0, device)
    return trainers, batches


def _typical(batcher: Batcher, device: torch.device) -> Batches:
    """Batches from the middle of equal parts of an epoch sorted by length."""
    order = batcher.in_order()
    count = min(ROUND_BATCHES, len(order))
    places = [(2 * part + 1) * len(order) // (2 * count) for part in range(count)]
    return [batcher.batch(order[place]).to(device) for place in places]


def _time(trainer: Trainer, batches: Batches, device: torch.device) -> float:
    """Seconds of one training step on each of ``batches``; the step ends with reading its loss."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    for batch in batches:
        trainer.train_step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def _code_hash() -> str:
    """Of all sources that a training step may run: a change of them makes old times worthless."""
    digest = hashlib.sha256()
    for file in sorted(PACKAGE.rglob("*")):
        if file.suffix in {".py", ".cpp", ".h"}:
            digest.update(file.read_bytes())
    return digest.hexdigest()


def kept_speed(
    configs: Mapping[str, ExperimentConfig],
    store: Store,
    device: torch.device,
    runs: Path,
    machine: Mapping[str, Any],
    *,
    rounds: int,
    threads: int | None = None,
    force: bool = False,
    on_round: Callable[[int], None] = lambda done: None,
) -> Speed:
    """`measure_speed`, or what it gave for the same configurations, code and machine before."""
    described = {
        "configs": {name: config.model_dump(mode="json") for name, config in configs.items()},
        "data_hash": store.manifest.data_hash,
        "machine": dict(machine),
        "code": _code_hash(),
        "device": str(device),
        "rounds": rounds,
        "threads": threads,
    }
    key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]
    file = runs / f"speed-{key}.json"
    if file.exists() and not force:
        try:
            return Speed(**json.loads(file.read_text())["speed"])
        except (ValueError, KeyError, TypeError):
            raise data_error(f"{file} is damaged", f"delete {file} and run again") from None
    speed = measure_speed(configs, store, device, rounds=rounds, threads=threads, on_round=on_round)
    runs.mkdir(parents=True, exist_ok=True)
    write_json(file, described | {"speed": speed.__dict__})
    return speed
