"""Disturbances are told: other processes, a hypervisor, heat, unrest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from genrank_cli.bench import machine
from genrank_cli.bench.machine import (
    Load,
    available_bytes,
    bf16_instructions,
    load_warnings,
    pace_warnings,
)

BEGIN = Load(wall_s=100.0, busy_s=50.0, stolen_s=5.0, own_s=10.0, cores=2)


def after(**seconds: float) -> Load:
    """Ten seconds later (20 of both cores); this process used all of both unless told."""
    moved = {"wall_s": 10.0, "busy_s": 20.0, "own_s": 20.0} | seconds
    return replace(BEGIN, **{name: getattr(BEGIN, name) + s for name, s in moved.items()})


def test_a_machine_of_our_own_gives_no_warning() -> None:
    assert load_warnings(BEGIN, after()) == []
    assert load_warnings(BEGIN, after(busy_s=20.8)) == []
    assert load_warnings(BEGIN, after(busy_s=4.0, own_s=4.0)) == []


def test_other_processes_are_told_with_their_share_and_the_remedy() -> None:
    (text,) = load_warnings(BEGIN, after(own_s=14.0))
    assert "other processes used 30 % of the machine's 2 cores" in text
    assert "--budget" in text


def test_stolen_time_is_told() -> None:
    (text,) = load_warnings(BEGIN, after(busy_s=17.0, own_s=17.0, stolen_s=3.0))
    assert "hypervisor gave 15 %" in text


def test_the_readings_grow() -> None:
    first = Load.now()
    sum(range(200_000))
    second = Load.now()
    assert second.wall_s > first.wall_s
    assert second.own_s >= first.own_s
    assert second.busy_s >= first.busy_s > 0


def test_a_steady_pace_gives_no_warning() -> None:
    assert pace_warnings([1.0, 1.01, 0.99, 1.0, 1.02, 1.0]) == []
    assert pace_warnings([1.0]) == []


def test_a_machine_that_slows_down_is_told() -> None:
    texts = pace_warnings([1.0] * 4 + [1.0, 1.2, 1.2, 1.2] + [1.2] * 4)
    assert "20 % slower" in texts[0]
    assert "20 % faster" in pace_warnings([1.0] * 5 + [0.8] * 5)[0]


def test_unrest_is_told() -> None:
    (text,) = pace_warnings([1.0, 1.2] * 6)
    assert "varied by" in text
    assert "--rounds" in text
    (text,) = pace_warnings([1.0, 1.2] * 6, "--requests")
    assert "--requests" in text
    assert "--rounds" not in text


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16", True),
        ("flags : fpu amx_bf16", True),
        ("Features\t: fp asimd bf16", True),
        ("flags : fpu avx2 avx512f", False),
        ("nothing", False),
    ],
)
def test_bf16_instructions_are_read_from_the_flags(
    flags: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda path: f"processor: 0\n{flags}\n")
    assert bf16_instructions() is expected


def test_a_system_without_cpuinfo_claims_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "Path", lambda name: Path("/no/such/file"))
    assert not bf16_instructions()
    assert available_bytes() > 2**20
