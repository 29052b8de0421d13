"""Training speed of several models on the same batches, as ratios from alternating rounds.

Machines change pace while they measure: a ratio is taken inside one round, in which every model
trains on the same batches, and the order rotates from round to round.
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
from genrank_cli.data.store import Store
from genrank_cli.errors import data_error
from genrank_cli.files import write_json
from genrank_cli.training.config import ExperimentConfig
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import prepare
from genrank_cli.training.runtime import start

#: A round whose time is this many times the row's median is reported: the machine was disturbed.
OUTLIER = 1.5

#: Batches of a round: few, so that rounds are short beside a change of the machine's pace.
ROUND_BATCHES = 4


@dataclass(frozen=True)
class Speed:
    """Seconds of each round by row, and the candidates trained on in a round."""

    round_s: dict[str, list[float]]
    events: int
    device: str
    threads: int

    def ratios(self, base: str, row: str) -> list[float]:
        """How many times as fast as ``base`` the row was, round by round."""
        pairs = zip(self.round_s[base], self.round_s[row], strict=True)
        return [slow / quick for slow, quick in pairs]

    def events_per_s(self, row: str) -> list[float]:
        """Candidates per second of each round."""
        return [self.events / seconds for seconds in self.round_s[row]]

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

    All configurations must share their data settings: the batches are the first ones' of seed 0.
    """
    start(0, threads)
    first = next(iter(configs.values()))
    prepared = prepare(store, first)
    epoch = prepared.train.epoch(seed=0, epoch=0)
    batches = [batch.to(device) for _, batch in zip(range(ROUND_BATCHES), epoch, strict=False)]
    trainers = {name: Trainer(prepared, config, 0, device) for name, config in configs.items()}
    for trainer in trainers.values():
        _time(trainer, batches, device)  # every shape once, before anything counts
    round_s: dict[str, list[float]] = {name: [] for name in trainers}
    names = list(trainers)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            round_s[name].append(_time(trainers[name], batches, device))
        on_round(number + 1)
    events = sum(len(batch.rows) for batch in batches)
    return Speed(round_s, events, str(device), torch.get_num_threads())


def _time(trainer: Trainer, batches: list[Batch], device: torch.device) -> float:
    """Seconds of one training step on each of ``batches``; the step ends with reading its loss."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    for batch in batches:
        trainer.train_step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


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
    """`measure_speed`, or what it gave before for the same configurations on the same machine."""
    described = {
        "configs": {name: config.model_dump(mode="json") for name, config in configs.items()},
        "data_hash": store.manifest.content_hash,
        "machine": dict(machine),
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
