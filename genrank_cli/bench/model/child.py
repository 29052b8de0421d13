"""One memory measurement in a process of its own: JSON on stdin, JSON on stdout."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import Any

import torch

from genrank_cli.bench.memory import peak_extra_bytes
from genrank_cli.bench.model.batch import make_input
from genrank_cli.bench.model.plan import Request
from genrank_cli.bench.model.stages import Training
from genrank_cli.errors import GenrankError


def peak_bytes(asked: dict[str, Any]) -> int:
    """Peak bytes of a first training step beyond weights and batch.

    Activations, gradients and the optimiser's moments. A tiny model runs before, so that kernels,
    thread pools and libraries are loaded.
    """
    request, model = Request.of(asked["settings"]), asked["model"]
    torch.set_num_threads(request.threads or torch.get_num_threads())
    tiny = replace(request, size="tiny", batch_size=1, candidates=2, lengths="fixed")
    Training(tiny, model, 8, make_input(tiny, 8)).step()
    seq_len = request.seq_lens[0]
    training = Training(request, model, seq_len, make_input(request, seq_len))
    return peak_extra_bytes(training.step, request.device)


def main() -> None:
    """Answer one request."""
    try:
        answer = {"peak_bytes": peak_bytes(json.load(sys.stdin))}
    except (GenrankError, RuntimeError) as error:
        text = error.message if isinstance(error, GenrankError) else str(error)
        sys.exit(text.splitlines()[0] if text else type(error).__name__)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
