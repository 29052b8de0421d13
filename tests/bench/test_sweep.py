"""``genrank bench sweep``: exponents and crossovers of known times, closed forms, the command."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.__main__ import main
from genrank_cli.bench.record import BenchRecord
from genrank_cli.bench.statistics import median_interval
from genrank_cli.bench.sweep.fits import (
    crossing,
    crossovers,
    flops_crossing,
    growths,
    slopes,
    summed_up,
)
from genrank_cli.bench.sweep.plan import VALUES, Request, checked
from genrank_cli.bench.sweep.run import flops_crossovers, run, specs
from genrank_cli.bench.sweep.stages import bench_of
from genrank_cli.bench.sweep.work import Work
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.models.example import Lengths, example_batch, made_up_schema
from genrank_cli.models.trace import counted, shape_model
from genrank_cli.report.bench_sweep import crossover_table, intensity, roof, rows_table, tables
from genrank_cli.report.bench_sweep_plot import plot

pytestmark = pytest.mark.usefixtures("quick_machine")

SMALL: dict[str, Any] = {
    "size": "tiny", "values": (16, 8), "batch_size": 2, "candidates": 3, "threads": 1, "rounds": 2,
}  # fmt: skip


def request(**changes: Any) -> Request:
    return checked(Request(**SMALL | changes))


@cache
def record() -> BenchRecord:
    return run(request())


def known(times: dict[str, list[float]], values: tuple[int, ...], rounds: int = 8) -> BenchRecord:
    """genrank's stages take these seconds, on a machine that halves its pace midway."""
    row = record().cases[0].rows[0]
    pace = np.where(np.arange(rounds) < rounds // 2, 1.0, 2.0)
    rows = [
        row.model_copy(
            update={
                "name": f"genrank/{stage}/{value}",
                "labels": {"model": "genrank", "stage": stage, "value": str(value)},
                "figures": {"value": value, "tokens": value, "min_bytes": 1.0},
                "rounds_s": {"forward": list(pace * seconds)},
                "flops": {"forward": value**2},
                "time_s": {"total": median_interval(pace * seconds)},
            }
        )
        for stage, series in times.items()
        for value, seconds in zip(values, series, strict=True)
    ]
    case = record().cases[0].model_copy(update={"rows": rows})
    return record().model_copy(update={"cases": [case]})


def test_the_exponent_of_a_power_is_that_power_whatever_the_machine_does() -> None:
    values = (10, 20, 40)
    found = growths(known({"step": [3e-3 * v**1.5 for v in values]}, values))[0]
    assert (found.model, found.stage) == ("genrank", "step")
    for interval in (found.time, found.time_end):
        assert interval.mean == pytest.approx(1.5)
        assert interval.high - interval.low < 1e-9
    assert [found.flops, found.flops_end] == pytest.approx([2, 2])


def test_the_exponent_at_the_end_is_that_of_the_two_largest() -> None:
    found = growths(known({"step": [1.0, 1.0, 2.0]}, (10, 20, 40)))[0]
    assert found.time_end.mean == pytest.approx(1.0)
    assert 0 < found.time.mean < 1


def test_intervals_of_exponents_hold_them_as_often_as_they_say() -> None:
    draw, values = np.random.default_rng(0), np.array([10.0, 20.0, 40.0])
    held = []
    for _ in range(400):
        noise = np.exp(draw.normal(0, 0.1, (10, 3)) + draw.normal(0, 0.5, (10, 1)))
        found = summed_up(slopes(values, values**1.2 * noise))
        held.append(found.low <= 1.2 <= found.high)
    assert 0.93 <= np.mean(held) <= 1.0


def test_few_rounds_have_a_t_interval() -> None:
    found = summed_up([1.0, 1.2, 1.1])
    assert found.mean == pytest.approx(1.1)
    assert found.high - 1.1 == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-5)


@pytest.mark.parametrize(
    ("ratio", "place"),
    [
        ([0.25, 0.5, 2.0], 2 ** 0.5 * 20),  # inside, halfway between logarithms
        ([0.25, 0.25, 0.5], 80.0),  # beyond the largest: the last line goes on
        ([2.0, 4.0, 8.0], 5.0),  # before the smallest: the first line goes back
        ([0.5, 2.0, 1.0], 10 * 2**0.5),
        ([0.5, 0.5, 0.5], math.nan),
    ],
)  # fmt: skip
def test_where_a_ratio_reaches_one(ratio: list[float], place: float) -> None:
    found = crossing(np.array([10.0, 20.0, 40.0]), np.array(ratio))
    assert found == pytest.approx(place, nan_ok=True)


def test_the_crossover_is_found_in_every_round_and_said_to_be_inside_or_not() -> None:
    values = (10, 20, 40)
    linear, square = [1.0 * v for v in values], [v * v / 25.0 for v in values]
    found = crossovers(known({"attention": square, "projections": linear}, values))[0]
    assert found.time.mean == pytest.approx(25.0)
    assert found.time.high == pytest.approx(25.0)
    assert found.inside
    far = crossovers(known({"attention": [v / 10 for v in square], "projections": linear}, values))
    assert far[0].time.mean == pytest.approx(250.0)
    assert not far[0].inside
    never = crossovers(known({"attention": linear, "projections": [2 * x for x in linear]}, values))
    assert never[0].time.mean == math.inf
    assert crossovers(known({"attention": linear}, values)) == []


def test_the_crossover_by_flops_is_the_first_length_that_has_it() -> None:
    assert flops_crossing(lambda value: value / 1_000) == 1_000
    assert flops_crossing(lambda value: value / 1_001) == 1_002
    assert flops_crossing(lambda value: 0.0) is None


def test_the_crossover_by_flops_is_the_one_that_was_stored() -> None:
    stored = record().extra["flops_crossover"]
    assert stored == flops_crossovers(request())
    for model, length in stored.items():
        before, at = (Work(request(), model, value) for value in (length - 2, length))
        assert attention_lead(before) < 0 <= attention_lead(at)
    other = record().model_copy(update={"extra": {"flops_crossover": {"hstu": 1_234}}})
    cells = {row[0]: row[3] for row in crossover_table(other).formatted()}
    assert cells == {"hstu": "1,234", "genrank": "–"}


def attention_lead(work: Work) -> int:
    attention, projections = (sum(work.flops(x).values()) for x in ("attention", "projections"))
    return attention - projections


@pytest.mark.parametrize("model", ["hstu", "genrank", "hstu-meta", "softmax"])
def test_the_parts_of_a_block_add_up_to_the_counters_step(model: str) -> None:
    asked = request(models=(model,))
    work, config = Work(asked, model, 16), asked.config(model, 16)
    step, parts = work.flops("step"), [work.flops(s) for s in ("attention", "projections")]
    schema = made_up_schema(8)
    forward, backward = counted(shape_model(config, schema), example_batch(Lengths(8, 3), schema))
    hidden = 4 * (work.load.all_cells - work.load.cells) * config.width * config.blocks
    assert step["forward"] == asked.batch_size * forward - hidden
    assert step["backward"] == asked.batch_size * backward - 2 * hidden
    assert config.blocks * sum(p["forward"] for p in parts) < step["forward"]
    assert parts[0]["forward"] == 4 * work.load.cells * config.width


@pytest.mark.parametrize("over", VALUES)
def test_every_dimension_grows_alone(over: str) -> None:
    asked = checked(Request(over=over, size="tiny"))
    values = VALUES[over]
    shapes = [vars(asked.shape(value)) for value in values]
    assert [shape[over] for shape in shapes] == list(values)
    assert all(shape[name] == shapes[0][name] for shape in shapes for name in shape if name != over)
    rows = specs(asked)
    names = {row.labels["stage"] for row in rows}
    assert names == ({"step"} if over == "depth" else {"step", "attention", "projections"})
    work = [sum(row.flops.values()) for row in rows if row.labels["model"] == "hstu"]
    assert work[0] < work[-3 if over != "depth" else -1]
    assert rows[0].bases == ()
    assert rows[-1].bases == (rows[-1].name.rpartition("/")[0] + f"/{values[0]}",)


def test_the_stages_compute_what_the_model_computes() -> None:
    bench = bench_of(request(models=("hstu",)), "hstu", 16)
    bench.model.eval()
    attention = bench.attention()
    attention.forward()
    _, v, q, k = bench.block.project(bench.x)
    layout = bench.layout
    bias = bench.model.layer_biases(layout.position, layout.time)[0]
    expected = bench.block.attend(q, k, v, layout.offsets, layout.mask, bias)
    assert attention._out is not None
    torch.testing.assert_close(attention._out, expected)
    bench.forward()
    bench.backward()
    assert all(p.grad is not None for p in bench.block.parameters())


def test_the_record_holds_all_and_its_tables_read(tmp_path: Path) -> None:
    found = record()
    again = BenchRecord.model_validate_json(found.model_dump_json())
    assert again.model_dump_json() == found.model_dump_json()
    assert [row.figures["value"] for row in found.cases[0].rows[:4:3]] == [8, 16]  # sorted
    assert len(tables(found)) == 3
    assert len(rows_table(found).rows) == 12
    assert {row[0] for row in crossover_table(found).formatted()} == {"hstu", "genrank"}
    case = found.cases[0]
    product, copy = case.probes
    row = next(row for row in case.rows if row.labels["stage"] == "attention")
    assert intensity(row) == sum(row.flops.values()) / row.figures["min_bytes"]
    assert roof(case, 1e-3) == pytest.approx(1e-3 * copy.rate)
    assert roof(case, 1e9) == product.rate
    text = plot(found, tmp_path / "sweep")[1].read_text()
    for label in ("HSTU tokens", "Roofline", "GFLOP/s", "projections", "genrank"):
        assert label in text


def test_the_command_writes_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sweep.json"
    options = "--over depth --values 1,2 --size tiny --seq-len 8 --rounds 2 --threads 1"
    assert main(["bench", "sweep", *options.split(), "-o", str(file)]) == 0
    assert json.loads(file.read_text())["settings"]["over"] == "depth"
    assert main(["bench", "show", str(file), "--plot", str(tmp_path / "p.png")]) == 0
    assert "Growth with blocks" in capsys.readouterr().out
    assert main(["bench", "sweep", "--dry-run", "--size", "tiny", "--format", "csv"]) == 0
    assert "hstu/attention/960" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "lenght"}, "did you mean|unknown --over"),
        ({"models": ("dlrm",)}, "unknown --model 'dlrm'"),
        ({"values": (8,)}, "one value shows nothing"),
        ({"values": (1, 8)}, "--values 1: no event has room"),
        ({"values": (8, 11)}, "--values 11: an event is 2 tokens"),
        ({"over": "batch", "seq_len": 481}, "--seq-len 481: an event is 2 tokens"),
        ({"over": "width", "values": (64, 65)}, "^--values 65: width 65 is not a multiple of h"),
        ({"size": "huge"}, "unknown --size"),
    ],
)
def test_what_cannot_be_swept_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GenrankError, match=message) as error:
        request(**options)
    assert error.value.exit_code is ExitCode.USAGE
