"""Which dtype things are computed in; for attention and for the layer around it."""

from __future__ import annotations

import torch
from torch import Tensor


def compute_dtype(x: Tensor) -> torch.dtype:
    """What the sums over ``x`` are kept in: float32, of float64 itself."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def lowered_dtype(x: Tensor) -> torch.dtype:
    """What products of ``x`` are computed in: its own dtype, or autocast's; float64 stays."""
    device = x.device.type
    # PyTorch cannot be asked whether autocast is on for `meta`, where FLOPs are counted.
    known = x.dtype == torch.float64 or device == "meta"
    if known or not torch.is_autocast_enabled(device):
        return x.dtype
    return torch.get_autocast_dtype(device)
