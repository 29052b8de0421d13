"""Arguments that do not fit are refused by every backend with the same words."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from genrank_cli.attention import Mask, attend
from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.blockwise import _PLANS
from genrank_cli.attention.native.compiled import compiler
from tests.attention.cases import BIASES, HEADS, NORM, WIDTH, make_case, run
from tests.attention.gpu_cases import DEVICE, needs_triton

BACKENDS = [
    "reference",
    "blockwise",
    pytest.param("native", marks=pytest.mark.skipif(compiler() is None, reason="no C++ compiler")),
    pytest.param("triton", marks=needs_triton),
]


def arguments(bias: str = "rab") -> dict[str, Any]:
    """Of `attend`, all in order."""
    case, module = make_case([(6, 2), (3, 0)]), BIASES[bias]()
    return {
        "q": case.q.float(), "k": case.k.float(), "v": case.v.float(), "offsets": case.offsets,
        "mask": case.mask(), "bias": module and module(case.position, case.time),
        "activation": "silu", "scale": WIDTH**-0.5, "norm": NORM, "dropout": 0.5,
    }  # fmt: skip


def with_time(number: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """One time of the bias is ``number``."""

    def change(known: dict[str, Any]) -> dict[str, Any]:
        time = known["bias"].time.clone()
        time[3] = number
        return {"bias": replace(known["bias"], time=time)}

    return change


def narrow(known: dict[str, Any]) -> dict[str, Any]:
    return {name: known[name][..., :0] for name in "qk"}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "float-norm": (lambda known: {"norm": 50.0}, "norm must be an int, not 50.0"),
    "float-seed": (lambda known: {"seed": 1.5}, "seed must be an int, not 1.5"),
    "endless-scale": (lambda known: {"scale": float("inf")}, "scale must be finite"),
    "int32-offsets": (
        lambda known: {"offsets": known["offsets"].int()},
        r"offsets must be torch\.int64, not torch\.int32",
    ),
    "offsets-of-two-dimensions": (
        lambda known: {"offsets": known["offsets"][None]},
        r"offsets must be \[sequences \+ 1\]",
    ),
    "offsets-begin-late": (
        lambda known: {"offsets": torch.tensor([1, 8, 11])},
        "offsets must begin with 0, not 1",
    ),
    "offsets-fall": (
        lambda known: {"offsets": torch.tensor([0, 12, 11])},
        "offsets must not fall",
    ),
    "offsets-end-early": (
        lambda known: {"offsets": torch.tensor([0, 8, 9])},
        "offsets end at 9, there are 11 tokens",
    ),
    "rows-of-other-sequences": (
        lambda known: {"row_offsets": torch.tensor([0, 4, 8, 11])},
        "offsets are of 2 sequences, row_offsets of 3",
    ),
    "no-width": (narrow, "a width of 1"),
    "mask-too-far": (
        lambda known: {"mask": replace(known["mask"], stop=known["mask"].stop + 40)},
        "reaches beyond its sequence",
    ),
    "key-counted-twice": (
        lambda known: {"mask": replace(known["mask"], context=known["mask"].context + 1)},
        "overlap",
    ),
    "int32-mask": (
        lambda known: {"mask": replace(known["mask"], stop=known["mask"].stop.int())},
        "stop must be torch.int64",
    ),
    "time-is-nan": (with_time(float("nan")), "times of a bias must be finite"),
    "time-is-endless": (with_time(float("inf")), "times of a bias must be finite"),
    "float32-time": (
        lambda known: {"bias": replace(known["bias"], time=known["bias"].time.float())},
        "time must be torch.float64",
    ),
}


@pytest.mark.skipif(DEVICE != "cpu", reason="looks at numbers, as on a CPU only")
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_is_refused(wrong: str, backend: str) -> None:
    change, reason = WRONG[wrong]
    for bias in ("rab", "rab-materialized"):
        known = arguments(bias)
        with pytest.raises(ValueError, match=reason):
            attend(**(known | change(known)), backend=backend)


@pytest.mark.skipif(DEVICE != "cpu", reason="compares with tensors of the CPU")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_seed_counts_by_its_lowest_32_bits(backend: str) -> None:
    known = arguments()
    right = attend(**known, backend=backend, seed=7)
    for seed in (2**32 + 7, 2**90 + 7, 7 - 2**64):
        assert torch.equal(attend(**known, backend=backend, seed=seed), right)
    assert not torch.equal(attend(**known, backend=backend, seed=8), right)


def test_a_mask_whose_intervals_share_a_tensor_is_dropped_with_it() -> None:
    case = make_case([(4, 0)])
    gc.collect()
    before = len(_PLANS)
    shared = torch.zeros(4, dtype=torch.int64)
    out = run(case, Mask.of(shared, shared), None)[0]
    assert torch.equal(out, torch.zeros(4, HEADS, WIDTH, dtype=torch.float64))
    assert len(_PLANS) == before + 1
    del shared
    gc.collect()
    assert len(_PLANS) == before


def test_a_memo_tells_the_key_from_an_equal_tensor() -> None:
    memo: BatchMemo[int] = BatchMemo()
    key, other = torch.zeros(2), torch.zeros(2)
    made = iter(range(9))
    found = [memo.get(key, (x, other), (), lambda: next(made)) for x in (key, key, other, key)]
    assert found == [0, 0, 1, 2]
