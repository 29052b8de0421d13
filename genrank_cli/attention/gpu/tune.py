"""The choice among configurations: each is timed once, at the first call that it could serve."""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch

from genrank_cli.attention.gpu.config import Config

_CHOSEN: dict[Hashable, Config] = {}


def choose(
    key: Hashable, candidates: tuple[Config, ...], launch: Callable[[Config], None]
) -> Config:
    """The fastest of ``candidates`` for calls of this ``key``; ``launch`` may run many times.

    The first one where nothing can or may be timed: under deterministic algorithms, since another
    choice in another process would round otherwise, and while a CUDA graph is captured.
    """
    if len(candidates) == 1 or torch.are_deterministic_algorithms_enabled():
        return candidates[0]
    known = _CHOSEN.get(key)
    if known is not None:
        return known
    if torch.cuda.is_current_stream_capturing():
        return candidates[0]
    times = {config: _time(launch, config) for config in candidates}
    best = _CHOSEN[key] = min(times, key=lambda config: times[config])
    return best


def _time(launch: Callable[[Config], None], config: Config) -> float:
    """Milliseconds; infinite where the device has too little memory on the chip."""
    from triton.runtime.errors import OutOfResources
    from triton.testing import do_bench

    try:
        return float(do_bench(lambda: launch(config), warmup=5, rep=20, return_mode="median"))
    except OutOfResources:
        return float("inf")
