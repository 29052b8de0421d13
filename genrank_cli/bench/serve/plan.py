"""Which requests are timed, of which models, along which paths.

| path | what is computed for a request |
|---|---|
| ``whole`` | history and candidates together, as in training; nothing is kept |
| ``cold`` | the history is encoded, the candidates are scored on its keys and values |
| ``warm`` | the candidates alone: the user's keys and values were kept before |

``cold`` and ``warm`` run for each size of a micro-batch of candidates; a DLRM has ``whole`` only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.presets import PRESETS, SIZES, preset

WHOLE, COLD, WARM = "whole", "cold", "warm"

#: Parts that are timed apart.
ENCODE, SCORE = "encode", "score"
PARTS = {WHOLE: (SCORE,), COLD: (ENCODE, SCORE), WARM: (SCORE,)}

#: What everything is compared with, where it is asked for.
BASE = "dlrm"


@dataclass(frozen=True)
class Path:
    """One row. ``micro_batch``: candidates scored together; 0 for ``whole``."""

    model: str
    path: str
    micro_batch: int = 0

    @property
    def name(self) -> str:
        """``genrank/warm/256``; ``dlrm/whole``."""
        return "/".join(filter(None, (self.model, self.path, str(self.micro_batch or ""))))

    def labels(self) -> dict[str, str]:
        """What the row is, by name."""
        return {name: str(value) for name, value in asdict(self).items()}

    @property
    def bases(self) -> tuple[str, ...]:
        """The DLRM, and the same model without a cache."""
        return f"{BASE}/{WHOLE}", f"{self.model}/{WHOLE}"


@dataclass(frozen=True)
class Request:
    """What a user asked for; checked by `checked`.

    ``requests`` of every row, fewer where ``budget_s`` seconds of a case are used up; ``users``:
    different users (and their requests) that are served in turn.
    """

    models: tuple[str, ...] = (BASE, "hstu", "genrank")
    size: str = "base"
    history: int = 240
    candidates: tuple[int, ...] = (100, 1_000)
    micro_batches: tuple[int, ...] = (64, 256, 1_024)
    requests: int = 400
    budget_s: float = 60.0
    users: int = 8
    device: str = "cpu"
    threads: int | None = None

    def settings(self) -> dict[str, Any]:
        """As plain values, for the record."""
        return {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}

    def config(self, model: str) -> ModelConfig:
        """The preset of that name at the size asked for."""
        return preset(model, self.size)

    def paths(self, candidates: int) -> list[Path]:
        """The rows of a case; of micro-batches that hold all candidates one is enough."""
        return [path for model in self.models for path in self._paths(model, candidates)]

    def _paths(self, model: str, candidates: int) -> Iterator[Path]:
        yield Path(model, WHOLE)
        if self.config(model).kind != "generative":
            return
        sizes = dict.fromkeys(min(size, candidates) for size in self.micro_batches)
        for path in (COLD, WARM):
            yield from (Path(model, path, size) for size in sizes)

    def case_name(self, candidates: int) -> str:
        """``N240-C100``: history events and candidates."""
        return f"N{self.history}-C{candidates}"


def checked(request: Request) -> Request:
    """The request itself. Raises `GenrankError` (2) for names that do not exist or cannot serve."""
    if request.size not in SIZES:
        raise unknown_name("--size", request.size, SIZES)
    known = [name for name in PRESETS if name != "rates"]
    for model in request.models:
        if model == "rates":
            raise GenrankError("rates computes nothing worth timing", "name a trained model")
        if model not in known:
            raise unknown_name("--model", model, known)
    return request
