"""Verdicts from intervals, and the bars of attention."""

from __future__ import annotations

from typing import Any

import pytest

from genrank_cli.bench.attention import bars
from genrank_cli.bench.attention.bars import checks
from genrank_cli.bench.checks import Bar, Verdict, exactly, judge_bar
from genrank_cli.bench.record import Check, LeftOut, Memory
from genrank_cli.metrics.intervals import Interval
from tests.bench.small import made_case, made_row, small_request

NAN = float("nan")
RATES = {"reference": 3.0, "sdpa": 1.0, "native": 1.0}


@pytest.mark.parametrize(
    ("side", "low", "high", "verdict"),
    [
        ("at least", 2.5, 2.9, Verdict.MET),
        ("at least", 2.4, 2.9, Verdict.CANNOT_TELL),
        ("at least", 2.0, 2.49, Verdict.MISSED),
        ("at most", 2.0, 2.5, Verdict.MET),
        ("at most", 2.4, 2.6, Verdict.CANNOT_TELL),
        ("at most", 2.51, 2.9, Verdict.MISSED),
        ("at most", NAN, NAN, Verdict.CANNOT_TELL),
    ],
)
def test_the_whole_interval_decides(side: Any, low: float, high: float, verdict: Verdict) -> None:
    interval = Interval((low + high) / 2 if low == low else 2.0, low, high, 8, 0.1)
    assert judge_bar(Bar("x", "x", side, 2.5), interval) is verdict


def test_nothing_measured_is_not_testable() -> None:
    bar = Bar("x", "x", "at most", 0.15, "%")
    assert judge_bar(bar, None) is Verdict.NOT_TESTABLE
    assert judge_bar(bar, exactly(NAN)) is Verdict.NOT_TESTABLE
    assert judge_bar(bar, exactly(0.15)) is Verdict.MET
    assert judge_bar(bar, exactly(0.1501)) is Verdict.MISSED


def test_every_verdict_has_a_sign_of_its_own() -> None:
    assert len({verdict.symbol for verdict in Verdict}) == len(Verdict)


def found(rows: dict[str, float], **changes: Any) -> dict[str, Check]:
    """The checks of a case whose rows take these seconds in every one of 8 rounds."""
    left_out = changes.pop("left_out", [])
    memory = changes.pop("rows_memory", [])
    labels = changes.pop("labels", {})
    request = small_request(
        **{"heads": 8, "widths": (96,), "batch_size": 8, "candidates": 10, "seq_lens": (480,)}
        | {"backends": ("reference", "native", "sdpa"), "memory_len": 4096, "threads": 2}
        | changes
    )
    case = made_case([made_row(name, [s] * 8) for name, s in rows.items()], left_out, **labels)
    return {check.id: check for check in checks(request, [case], memory)}


ALL = {
    "reference/none/float32": 3.0,
    "sdpa/float32": 1.0,
    "native/none/float32": 1.05,
    "native/rab/float32": 1.26,
    "native/alibi/float32": 1.1,
    "native/none/bfloat16": 0.6,
}


def test_the_ratios_of_all_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "bf16_instructions", lambda: True)
    measured = {
        name: check.measured.mean
        for name, check in found(ALL).items()
        if check.measured is not None
    }
    assert measured == {
        "native.reference": pytest.approx(3 / 1.05),
        "native.sdpa": pytest.approx(1.05),
        "native.rab": pytest.approx(1.2),
        "native.alibi": pytest.approx(1.1 / 1.05),
        "native.bfloat16": pytest.approx(1.05 / 0.6),
    }
    bounds = {name: (check.side, check.bound) for name, check in found(ALL).items()}
    assert bounds == {
        "native.reference": ("at least", 2.5),
        "native.sdpa": ("at most", 1.1),
        "native.rab": ("at most", 1.3),
        "native.alibi": ("at most", 1.05),
        "native.bfloat16": ("at least", 1.5),
        "native.memory": ("at most", 0.15),
    }
    verdicts = {check.verdict for name, check in found(ALL).items() if name != "native.memory"}
    assert verdicts == {Verdict.MET}


def test_at_960_the_reference_must_be_beaten_by_four() -> None:
    checked = found(ALL, labels={"seq_len": 960}, seq_lens=(960,))
    assert set(checked) == {"native.reference", "native.memory"}
    assert checked["native.reference"].bound == 4.0
    assert checked["native.reference"].verdict is Verdict.MISSED


@pytest.mark.parametrize("label", ["batch_size", "heads", "width", "candidates", "seq_len"])
def test_shapes_that_nothing_was_promised_for_have_no_bars(label: str) -> None:
    assert set(found(ALL, labels={label: 4})) <= {"native.memory"}


@pytest.mark.parametrize("threads", [1, 16])
def test_bars_stand_for_two_threads(threads: int) -> None:
    checked = found(ALL, threads=threads)
    ratios = [check for name, check in checked.items() if name != "native.memory"]
    assert len(ratios) == 5
    assert {check.verdict for check in ratios} == {Verdict.NOT_TESTABLE}
    assert checked["native.rab"].measured is not None
    assert f"not {threads}: give --threads 2" in checked["native.rab"].reason


def test_what_was_left_out_is_named_with_its_reason() -> None:
    gone = LeftOut(name="reference/none/float32", reason="would hold 90 GiB", expected=True)
    rows = {name: s for name, s in ALL.items() if not name.startswith(("reference", "sdpa"))}
    checked = found(rows, left_out=[gone])
    assert checked["native.reference"].verdict is Verdict.NOT_TESTABLE
    assert checked["native.reference"].reason == "reference/none/float32: would hold 90 GiB"
    assert checked["native.sdpa"].reason == "sdpa/float32: was not asked for"


def test_bf16_is_not_testable_without_the_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bars, "bf16_instructions", lambda: False)
    check = found(ALL)["native.bfloat16"]
    assert check.verdict is Verdict.NOT_TESTABLE
    assert "no bfloat16 instructions" in check.reason


def memory_rows(ours: int | None, dense: int | None, reason: str = "") -> list[Memory]:
    names = {"native/none/float32": ours, "reference/none/float32": dense}
    return [
        Memory(name=name, labels={}, peak_bytes=size, reason="" if size else reason)
        for name, size in names.items()
    ]


def test_memory_is_a_share_of_the_references() -> None:
    def check(rows: list[Memory], **changes: Any) -> Check:
        return found(ALL, rows_memory=rows, memory=True, **changes)["native.memory"]

    assert check(memory_rows(14, 100)).verdict is Verdict.MET
    assert check(memory_rows(16, 100)).verdict is Verdict.MISSED
    missing = check(memory_rows(16, None, "killed"))
    assert (missing.verdict, missing.reason) == (
        Verdict.NOT_TESTABLE,
        "reference/none/float32: killed",
    )
    assert "--memory" in found(ALL)["native.memory"].reason
    assert "native.memory" not in found(ALL, memory_len=2048)


def test_the_bars_of_a_gpu() -> None:
    rows = {"triton/none/bfloat16": 1.0, "triton/rab/bfloat16": 1.2}
    wanted: dict[str, Any] = {
        "device": "cuda",
        "backends": ("triton", "flash"),
        "dtypes": ("bfloat16",),
        "labels": {"seq_len": 4096, "batch_size": 128},
    }
    checked = found(rows, **wanted)
    assert checked["triton.rab.bfloat16"].verdict is Verdict.MET
    assert checked["triton.rab.bfloat16"].bound == 1.25
    share = checked["triton.share"]
    assert share.measured is not None
    assert share.measured.mean == pytest.approx(0.5)
    assert (share.bound, share.verdict) == (0.45, Verdict.MET)
    shorter = found(rows, **wanted | {"labels": {"seq_len": 2048}})
    assert set(shorter) == {"triton.rab.bfloat16"}
