"""``genrank bench compare``: honest shifts, refusals, verdicts only where they can be given."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrank_cli.__main__ import main
from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.compare.compare import MACHINE, compare, verdict
from genrank_cli.bench.compare.result import DISTURBED, FASTER, SAME, SLOWER, UNKNOWN, Comparison
from genrank_cli.bench.compare.shift import MOST, shift
from genrank_cli.bench.record import BenchRecord, ProbeRow
from genrank_cli.bench.statistics import median_interval, ratio_interval
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.bench_compare import header, plot, table
from tests.bench.small import made_case, made_check, made_record, made_row

ENVIRONMENT = {
    "cpu": "a CPU", "cores_usable": 2, "threads": 2, "torch": "2.13", "cuda": None, "commit": "aa",
    "memory_bytes": 2**30, "attention": "native", "layer": "fused", "python": "3.11",
    "genrank": "0.1.0", "command": "genrank bench compare",
}  # fmt: skip
BASE, ROW = "reference/none/float32", "native/none/float32"


def noisy(seconds: float, seed: int, rounds: int = 12, sd: float = 0.01) -> list[float]:
    return list(seconds * np.exp(np.random.default_rng(seed).normal(0, sd, rounds)))


def made(
    seconds: float = 1.0, *, seed: int = 0, pace: float = 1.0, rounds: int = 12, **environment: Any
) -> BenchRecord:
    """A base of 2 s, a row, a product of 0.1 s, on a machine of some pace that nobody disturbs."""
    base = [pace * x for x in noisy(2.0, 3 * seed, rounds)]
    times = [pace * x for x in noisy(seconds, 3 * seed + 1, rounds)]
    product = [pace * x for x in noisy(0.1, 3 * seed + 2, rounds)]
    rows = [made_row(BASE, base), made_row(ROW, times, {BASE: base})]
    probe = ProbeRow(
        name="product/float32", unit="flops", amount=1, rounds_s=product,
        time_s=median_interval(product),
    )  # fmt: skip
    case = made_case(rows).model_copy(update={"warnings": [], "probes": [probe]})
    block = ENVIRONMENT | environment
    return made_record([case]).model_copy(update={"environment": block, "settings": {"a": 1}})


def compared(old: BenchRecord, new: BenchRecord, **options: Any) -> Comparison:
    return compare(old, new, ("a.json", "b.json"), "genrank bench compare", **options)


def verdicts(found: Comparison, row: str = ROW) -> dict[str, str]:
    return {x.quantity: x.verdict for x in found.changes if x.row == row}


@pytest.mark.parametrize(("n", "m"), [(8, 8), (12, 9), (30, 40)])
def test_the_interval_of_a_shift_holds_it_as_often_as_it_says(n: int, m: int) -> None:
    draw = np.random.default_rng(0)
    held = []
    for _ in range(600):
        found = shift(1.3 * draw.lognormal(sigma=0.3, size=n), draw.lognormal(sigma=0.3, size=m))
        held.append(found.low <= 1.3 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.985


def test_a_shift_and_its_inverse_are_inverse() -> None:
    a, b = noisy(1, 0), noisy(2, 1, rounds=9)
    there, back = shift(b, a), shift(a, b)
    assert there.mean == pytest.approx(1 / back.mean)
    assert there.low == pytest.approx(1 / back.high)
    assert there.low < 2 < there.high


def test_ranks_of_few_rounds_give_no_interval_and_many_fit_the_memory() -> None:
    assert math.isnan(shift([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]).low)
    assert math.isnan(shift([], [1.0]).mean)
    many = np.linspace(1, 2, 5 * MOST)
    assert shift(many, many).mean == pytest.approx(1.0)


def test_the_same_program_shows_no_difference() -> None:
    found = compared(made(seed=1), made(seed=2))
    assert set(verdicts(found).values()) == {SAME}
    assert found.count(SAME) == len(found.changes) == 5
    assert all(x.smallest is not None and 0.02 <= x.smallest < 0.1 for x in found.changes)


@pytest.mark.parametrize(("seconds", "expected"), [(1.1, SLOWER), (0.9, FASTER), (1.005, SAME)])
def test_a_change_needs_a_size_and_an_interval(seconds: float, expected: str) -> None:
    found = verdicts(compared(made(rounds=100), made(seconds, seed=1, rounds=100)))
    assert found == dict.fromkeys(("time", "time / product/float32", f"time / {BASE}"), expected)


@pytest.mark.parametrize("bounds", [(1.1, 0.99, 1.3), (0.9, 0.8, 1.01), (1.01, 1.005, 1.015)])
def test_an_interval_around_one_or_a_small_size_is_no_difference(
    bounds: tuple[float, float, float],
) -> None:
    assert verdict(Interval(*bounds, 12, math.nan)) == SAME


def test_a_machine_of_another_pace_is_no_change_of_the_program() -> None:
    found = compared(made(), made(seed=1, pace=1.5))
    assert verdicts(found) == {
        "time": DISTURBED, "time / product/float32": DISTURBED, f"time / {BASE}": SAME,
    }  # fmt: skip
    assert verdicts(found, BASE) == {"time": DISTURBED, "time / product/float32": DISTURBED}


def test_of_a_disturbed_run_only_ratios_to_a_base_are_judged() -> None:
    old = made(1.2)
    case = old.cases[0].model_copy(update={"warnings": ["other processes used 40 %"]})
    found = compared(old.model_copy(update={"cases": [case]}), made(seed=1))
    assert verdicts(found)["time"] == DISTURBED
    assert verdicts(found)[f"time / {BASE}"] == FASTER


def test_few_rounds_are_not_judged() -> None:
    found = compared(made(rounds=3), made(2.0, seed=1, rounds=3))
    assert set(verdicts(found).values()) == {UNKNOWN}


@pytest.mark.parametrize("name", MACHINE)
def test_another_machine_is_refused_and_named_unless_asked_for(name: str) -> None:
    other: Any = {"device": "a GPU"} if name == "cuda" else 64
    changed: dict[str, Any] = {name: other}
    with pytest.raises(GenrankError, match=f"different machines: {name}: ") as error:
        compared(made(), made(seed=1, **changed))
    assert error.value.exit_code is ExitCode.CANNOT_JUDGE
    found = compared(made(), made(seed=1, **changed), anyway=True)
    assert [*found.machine] == [name]
    assert any("DIFFERENT MACHINES" in line and name in line for line in header(found))


def test_a_cpu_and_a_gpu_of_one_machine_are_two_machines() -> None:
    gpu = {"device": "H100"}
    old, new = made(cuda=gpu, device="cpu"), made(seed=1, cuda=gpu, device="cuda")
    with pytest.raises(GenrankError, match="different machines: device: cpu and cuda"):
        compared(old, new)
    assert compared(old, made(seed=1, cuda=gpu, device="cpu")).machine == {}


def test_of_older_records_the_settings_say_which_device_was_used() -> None:
    gpu = {"device": "H100"}
    old, new = (
        made(seed=x, cuda=gpu).model_copy(update={"settings": {"device": device}})
        for x, device in enumerate(("cpu", "cuda:0"))
    )
    assert compared(old, new, anyway=True).machine == {"device": ["cpu", "cuda"]}
    known = made(seed=1, cuda=gpu, device="cpu")
    assert compared(old, known).machine == {}


def test_the_table_names_the_machines_of_both_records() -> None:
    found = compared(made(), made(seed=1, cpu="another CPU"), anyway=True)
    lines = table(found).header
    assert lines[0].startswith("a.json: a CPU, 2 cores")
    assert lines[1].startswith("b.json: another CPU, 2 cores")
    assert [block["cpu"] for block in found.environments] == ["a CPU", "another CPU"]


def test_the_interval_that_a_p99_is_judged_by_is_said() -> None:
    assert "Of a P99" in " ".join(table(compared(made(), made(seed=1))).notes)


def test_a_driver_is_not_another_gpu() -> None:
    old, new = ({"device": "H100", "driver": x} for x in ("1", "2"))
    assert compared(made(cuda=old), made(seed=1, cuda=new)).machine == {}


def test_what_else_differs_is_named() -> None:
    old, new = (
        made(commit="aa"),
        made(seed=1, commit="bb").model_copy(update={"settings": {"b": 2}}),
    )
    rows = [row.model_copy(update={"flops": {"forward": 7}}) for row in new.cases[0].rows[1:]]
    case = new.cases[0].model_copy(update={"rows": [*rows, made_row("new/none/float32", [1.0])]})
    new = new.model_copy(update={"cases": [case], "checks": [made_check(Verdict.MISSED)]})
    old = old.model_copy(update={"checks": [made_check(Verdict.MET)]})
    found = compared(old, new)
    assert found.settings == {"a": [1, None], "b": [None, 2]}
    assert found.versions == {"commit": ["aa", "bb"]}
    assert found.work == {f"L480 {ROW}": [10**9, 7]}
    assert found.checks == {"native.rab L480": ["met", "missed"]}
    assert (found.only_old, found.only_new) == ([f"L480 {BASE}"], ["L480 new/none/float32"])
    lines = "\n".join(header(found))
    for words in ("settings that differ", "commit: aa → bb", "other work", "met → missed"):
        assert words in lines


def test_two_benches_and_records_without_a_common_row_are_refused() -> None:
    with pytest.raises(GenrankError, match=r"of bench attention, .* of bench serve") as error:
        compared(made(), made().model_copy(update={"bench": "serve"}))
    assert error.value.exit_code is ExitCode.USAGE
    case = made().cases[0].model_copy(update={"name": "L960"})
    with pytest.raises(GenrankError, match="no row is in both") as error:
        compared(made(), made().model_copy(update={"cases": [case]}))
    assert error.value.exit_code is ExitCode.CANNOT_JUDGE


def test_the_tail_of_requests_is_compared() -> None:
    old, new = made(rounds=500), made(seed=1, rounds=500)
    found = compared(*(x.model_copy(update={"bench": "serve"}) for x in (old, new)))
    tail = next(x for x in found.changes if x.quantity == "P99" and x.row == ROW)
    assert tail.ratio.low < 1 < tail.ratio.high
    assert tail.old.mean == pytest.approx(np.quantile(old.cases[0].rows[1].total_s(), 0.99))


def test_the_table_and_the_plot_read(tmp_path: Path) -> None:
    found = compared(made(), made(1.2, seed=1))
    text = table(found).formatted()
    assert text[-1][2] == f"time / {BASE}"
    assert text[-1][-1] == "x slower"
    assert text[2][3].endswith(" ms")
    files = plot(found, tmp_path / "changes")
    assert "below 1 is faster" in files[1].read_text()
    assert BenchRecord.model_validate_json(made().model_dump_json()).bench == "attention"


def test_the_command_compares_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, record in zip(paths, (made(), made(1.2, seed=1, torch="9")), strict=True):
        path.write_text(record.model_dump_json())
    names = [str(path) for path in paths]
    assert main(["bench", "compare", *names]) == ExitCode.CANNOT_JUDGE
    assert "--anyway" in capsys.readouterr().err
    out = tmp_path / "c.json"
    assert main(["bench", "compare", *names, "--anyway", "-o", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["machine"] == {"torch": ["2.13", "9"]}
    assert found["changes"][-1]["verdict"] == SLOWER
    assert main(["bench", "compare", names[0], names[0], "--format", "latex"]) == 0
    assert "no difference seen" in capsys.readouterr().out
    assert main(["bench", "compare", names[0], str(tmp_path / "none.json")]) == ExitCode.DATA


def test_ratios_of_the_records_themselves_are_not_used() -> None:
    # They have one interval each; the comparison goes back to the rounds.
    old = made()
    wrong = old.cases[0].rows[1].model_copy(update={"ratio": {BASE: ratio_interval([9.0], [1.0])}})
    case = old.cases[0].model_copy(update={"rows": [old.cases[0].rows[0], wrong]})
    found = compared(old.model_copy(update={"cases": [case]}), made(seed=1))
    assert verdicts(found)[f"time / {BASE}"] == SAME
