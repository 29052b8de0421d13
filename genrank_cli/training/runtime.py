"""The device, the threads and the random numbers of a process."""

from __future__ import annotations

import torch

from genrank_cli.errors import GenrankError


def resolve_device(name: str) -> torch.device:
    """``auto`` takes CUDA where it is there; a device named explicitly is never replaced."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise GenrankError(f"unknown device {name!r}", "use auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise GenrankError(
                f"device {name} is not available: {count} CUDA devices found",
                "use --device cpu, or install a CUDA build of torch",
            )
    elif device.type != "cpu":
        raise GenrankError(f"device {name!r} is not supported", "use auto, cpu, cuda or cuda:N")
    return device


def start(seed: int, threads: int | None) -> None:
    """Set the number of threads and seed torch: every run begins here."""
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(seed)
