"""One block, forward and backward, in its two forms; skipped unless asked for.

``pytest tests/benchmarks --benchmark-only --benchmark-group-by=group``. Compare inside a group: the
tokens and the weights are the same, and only how the parts around the attention are computed
differs. Blocks other than HSTU's have one form.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genrank_cli.attention import Alibi, packed_mask
from genrank_cli.models.blocks import BLOCKS
from genrank_cli.models.config import GenerativeConfig
from tests.benchmarks.rounds import timed

SAMPLES, HISTORY, SHOWN = 4, 230, 10
HEADS, WIDTH = 4, 256
CASES = [("hstu", "plain"), ("hstu", "fused"), ("hstu-meta", "plain"), ("transformer", "plain")]


@pytest.mark.parametrize(("block", "form"), CASES)
def test_block(benchmark: Any, block: str, form: str) -> None:
    torch.manual_seed(0)
    config = GenerativeConfig.model_validate(
        {"block": block, "width": WIDTH, "heads": HEADS, "layer": form, "dropout": 0.1}
    )
    layer = BLOCKS[block](config, HISTORY + 1)
    counts = torch.full((SAMPLES,), HISTORY), torch.full((SAMPLES,), SHOWN)
    group = torch.arange(SAMPLES).repeat_interleave(SHOWN)
    mask = packed_mask(*counts, torch.full((SAMPLES * SHOWN,), HISTORY), group)
    tokens = len(mask.stop)
    offsets = torch.arange(0, tokens + 1, HISTORY + SHOWN)
    place = torch.arange(tokens) % (HISTORY + SHOWN)
    x, grad = torch.randn(tokens, WIDTH, requires_grad=True), torch.randn(tokens, WIDTH)
    bias = Alibi(HEADS)(place, place.double())
    wanted = [x, *layer.parameters()]

    def step() -> None:
        u, v, q, k = layer.project(x)
        out = layer.update(x, layer.attend(q, k, v, offsets, mask, bias), u)
        torch.autograd.grad(out, wanted, grad)

    benchmark.group = f"{block} block, {tokens} tokens of {WIDTH}"
    timed(benchmark, step)
    benchmark.extra_info["tokens_per_s"] = tokens / benchmark.stats["min"]
