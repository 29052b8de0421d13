"""The bench of attention: which rows, compared with which, on which numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genrank_cli.bench.attention import run as run_module
from genrank_cli.bench.attention.defaults import request_for
from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.plan import RowSpec, Shape, checked
from genrank_cli.bench.attention.rows import make_step, subject
from genrank_cli.bench.attention.run import run
from genrank_cli.bench.watch import Watch
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.report.bench import tables
from tests.bench.small import small_record, small_request

SHAPE = Shape(seq_len=24, batch_size=2, heads=2, width=16, candidates=4)


def bases(**changes: Any) -> dict[str, tuple[str, ...]]:
    return {row.name: row.bases for row in small_request(**changes).specs()}


def test_rows_and_their_bases() -> None:
    found = bases(biases=("none", "alibi"), dtypes=("float32", "bfloat16"))
    assert found == {
        "reference/none/float32": (),
        "blockwise/none/float32": ("reference/none/float32", "sdpa/float32"),
        "blockwise/alibi/float32": ("blockwise/none/float32",),
        "sdpa/float32": ("reference/none/float32",),
        "reference/none/bfloat16": ("reference/none/float32",),
        "blockwise/none/bfloat16": (
            "blockwise/none/float32",
            "reference/none/bfloat16",
            "sdpa/bfloat16",
        ),
        "blockwise/alibi/bfloat16": ("blockwise/none/bfloat16",),
        "sdpa/bfloat16": ("sdpa/float32", "reference/none/bfloat16"),
    }


def test_a_base_that_was_not_asked_for_is_no_base() -> None:
    assert bases(biases=("rab",), backends=("blockwise",)) == {"blockwise/rab/float32": ()}


def test_the_reference_shows_its_biases_where_it_is_alone() -> None:
    assert set(bases(biases=("none", "rab"), backends=("reference", "sdpa"))) == {
        "reference/none/float32",
        "reference/rab/float32",
        "sdpa/float32",
    }


def test_every_combination_of_lengths_and_widths_is_a_case() -> None:
    request = small_request(seq_lens=(24, 48), widths=(16, 32))
    assert [shape.name for shape in request.shapes()] == [
        "L24-B2-H2-D16-C4",
        "L48-B2-H2-D16-C4",
        "L24-B2-H2-D32-C4",
        "L48-B2-H2-D32-C4",
    ]
    assert request.shapes()[1].tokens == 96


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"biases": ("rap",)}, "unknown --bias 'rap'"),
        ({"dtypes": ("float23",)}, "unknown --dtype 'float23'"),
        ({"backends": ("nativ",)}, "unknown --backend 'nativ'"),
        ({"activation": "relu"}, "unknown --activation 'relu'"),
        ({"candidates": 24}, "leaves no history in 24 tokens"),
        ({"memory": True, "memory_len": 4}, "leaves no history in 4 tokens"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(GenrankError, match=said) as caught:
        small_request(**changes)
    assert caught.value.exit_code is ExitCode.USAGE


def test_defaults_belong_to_the_device() -> None:
    request = request_for("cpu", batch_size=None, seq_lens=(480,))
    assert request.batch_size == 8
    assert request.dtypes == ("float32", "bfloat16")
    assert {"reference", "blockwise", "sdpa"} <= set(request.backends)
    assert "flash" not in request.backends
    assert request_for("cpu", batch_size=3, dtypes=("float16",)).dtypes == ("float16",)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_never_replaced() -> None:
    with pytest.raises(GenrankError, match="0 CUDA devices found") as caught:
        request_for("cuda")
    assert caught.value.exit_code is ExitCode.USAGE


def gradients(spec: RowSpec) -> list[Tensor]:
    """Output and gradients of a row, in the layout [T, H, D]."""
    found: list[Tensor] = []
    step = make_step(spec, Inputs(SHAPE, "cpu"))
    step.forward()
    assert step._out is not None
    found = [step._out.detach(), *torch.autograd.grad(step._out, step._wanted, step._grad)]
    if spec.is_peer:
        return [x.transpose(1, 2).reshape(SHAPE.tokens, SHAPE.heads, SHAPE.width) for x in found]
    return found


def test_the_peer_computes_what_our_softmax_does() -> None:
    """On the history, where both masks agree: the same numbers, so the same work."""
    ours = gradients(RowSpec("reference", "none", "float32", "softmax", ()))
    theirs = gradients(RowSpec("sdpa", "none", "float32", "softmax", ()))
    history = torch.arange(SHAPE.tokens) % 24 < 20
    assert torch.allclose(ours[0][history], theirs[0][history], atol=1e-5)
    assert not torch.allclose(ours[0], theirs[0], atol=1e-5)  # candidates are isolated in ours


@pytest.mark.parametrize("bias", ["none", "rab", "rab-materialized", "alibi", "alibi-time"])
def test_a_fast_row_computes_what_the_reference_does(bias: str) -> None:
    rows = [RowSpec(name, bias, "float32", "silu", ()) for name in ("reference", "blockwise")]
    plain, fast = (gradients(row) for row in rows)
    assert len(plain) == len(fast) == (6 if bias.startswith("rab") else 4)
    for one, other in zip(plain, fast, strict=True):
        assert torch.allclose(one, other, atol=1e-5, rtol=1e-3)


def test_the_times_fill_many_buckets_and_end_at_the_request() -> None:
    shape = Shape(seq_len=480, batch_size=4, heads=1, width=8, candidates=10)
    times = Inputs(shape, "cpu").time.view(4, 480)
    assert bool((times.diff(dim=1) >= 0).all())
    assert bool((times[:, 0] == 0).all())
    assert bool((times[:, 469:] == times[:, 469:470]).all())
    gaps = times[:, 1:470].diff(dim=1).clamp(min=1).log().div(0.301).floor()
    assert len(gaps.unique()) > 30


def test_a_real_record() -> None:
    record = small_record()
    (case,) = record.cases
    assert [row.name for row in case.rows] == [row.name for row in small_request().specs()]
    assert case.left_out == []
    assert [probe.name for probe in case.probes] == ["product/float32", "copy"]
    row = case.row("blockwise/rab/float32")
    assert row is not None
    assert row.base == "blockwise/none/float32"
    assert set(row.ratio) == {"blockwise/none/float32", "sdpa/float32"}
    assert row.ratio["sdpa/float32"].mean > 0
    assert record.failures == []
    probe = case.probe("product/float32")
    assert probe is not None
    expected = row.flops["forward"] / probe.amount
    share = [expected * a / b for a, b in zip(probe.rounds_s, row.rounds_s["forward"], strict=True)]
    assert min(share) <= row.share["forward"].mean <= max(share)


def test_ctrl_c_keeps_the_cases_that_were_finished() -> None:
    request = small_request(seq_lens=(24, 48), biases=("none",), rounds=1)
    stop_at = "L48-B2-H2-D16-C4"

    def warming(case: str, row: str) -> None:
        if case == stop_at:
            raise KeyboardInterrupt

    record = run(request, Watch(warming=warming))
    assert [case.name for case in record.cases] == ["L24-B2-H2-D16-C4"]
    assert record.interrupted
    assert not small_record().interrupted
    stop_at = "L24-B2-H2-D16-C4"
    with pytest.raises(KeyboardInterrupt):
        run(request, Watch(warming=warming))


def test_a_case_without_rows_does_not_lose_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "available_bytes", lambda: 60_000)
    record = run(small_request(seq_lens=(24, 480), backends=("reference",), rounds=1))
    assert [len(case.rows) for case in record.cases] == [6, 0]
    assert record.cases[1].left_out[0].reason.startswith("would hold about")
    assert [len(table.rows) for table in tables(record)] == [6]


def test_a_base_that_could_not_run_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "available_bytes", lambda: 1)
    heard: list[str] = []
    watch = Watch(warming=lambda case, row: heard.append(row))
    record = run(small_request(biases=("none",), rounds=1), watch)
    (left,) = record.cases[0].left_out
    assert (left.name, left.expected) == ("reference/none/float32", True)
    assert "are free" in left.reason
    row = record.cases[0].row("blockwise/none/float32")
    assert row is not None
    assert row.base == "sdpa/float32"
    assert heard == ["blockwise/none/float32", "sdpa/float32", "product/float32", "copy"]


def failing(names: set[str]) -> Callable[..., Any]:
    """`subject`, whose rows of these backends cannot run."""

    def make(spec: RowSpec, inputs: Inputs) -> Any:
        def fail() -> None:
            raise NotImplementedError("no such kernel")

        made = subject(spec, inputs)
        parts = {"forward": fail, "backward": fail}
        return type(made)(made.name, parts) if spec.backend in names else made

    return make


def test_our_own_failure_counts_a_peers_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "subject", failing({"sdpa", "blockwise"}))
    record = run(small_request(biases=("none",), rounds=1))
    assert {left.name: left.expected for left in record.cases[0].left_out} == {
        "blockwise/none/float32": False,
        "sdpa/float32": True,
    }
    assert [left.name for left in record.failures] == ["blockwise/none/float32"]
    monkeypatch.setattr(run_module, "subject", failing({"sdpa", "blockwise", "reference"}))
    with pytest.raises(GenrankError, match="no row could run: reference/none/float32: NotImpl"):
        run(small_request(biases=("none",), rounds=1))


def test_memory_rows_are_those_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def answer(module: str, request: dict[str, Any]) -> dict[str, int]:
        asked.append(request)
        if request["row"]["backend"] == "sdpa":
            raise GenrankError("the process was killed: probably out of memory")
        return {"peak_bytes": 7}

    monkeypatch.setattr(run_module, "in_fresh_process", answer)
    record = run(small_request(rounds=1, memory=True, memory_len=64, dtypes=("float32",)))
    assert {row.name: (row.peak_bytes, row.reason) for row in record.memory} == {
        "reference/none/float32": (7, ""),
        "blockwise/none/float32": (7, ""),
        "blockwise/rab/float32": (7, ""),
        "blockwise/rab-materialized/float32": (7, ""),
        "sdpa/float32": (None, "the process was killed: probably out of memory"),
    }
    assert all(request["shape"]["seq_len"] == 64 for request in asked)
    assert all(request["shape"]["batch_size"] == 1 for request in asked)
    assert record.memory_case == "L64-B1-H2-D16-C4"


def test_checked_returns_the_request_itself() -> None:
    request = small_request()
    assert checked(request, ("reference", "blockwise")) is request
