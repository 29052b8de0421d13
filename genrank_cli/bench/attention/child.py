"""One memory measurement in a process of its own: JSON on stdin, JSON on stdout."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.plan import RowSpec, Shape
from genrank_cli.bench.attention.rows import make_step
from genrank_cli.bench.memory import peak_extra_bytes
from genrank_cli.errors import GenrankError

#: Loads kernels, thread pools and libraries without taking memory.
TINY = {"seq_len": 16, "batch_size": 1, "candidates": 2}


def request_of(spec: RowSpec, shape: Shape, device: str, threads: int) -> dict[str, Any]:
    """What `main` reads."""
    row: dict[str, Any] = spec.labels() | {"bases": []}
    return {"row": row, "shape": shape.labels(), "device": device, "threads": threads}


def peak_bytes(request: dict[str, Any]) -> int:
    """Peak extra bytes of forward and backward of the row."""
    torch.set_num_threads(request["threads"])
    spec, device = RowSpec(**request["row"]), request["device"]
    make_step(spec, Inputs(Shape(**(request["shape"] | TINY)), device)).run()
    step = make_step(spec, Inputs(Shape(**request["shape"]), device))
    return peak_extra_bytes(step.run, device)


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
