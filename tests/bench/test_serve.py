"""``genrank bench serve``: both ways score alike, single requests are timed, costs are judged."""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from genrank_cli.__main__ import main
from genrank_cli.bench.batches import drawn_batch, drawn_ranker, newest
from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.peak import Probe
from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.bench.serve import world as world_module
from genrank_cli.bench.serve.claims import checks
from genrank_cli.bench.serve.clock import FEWEST, serve
from genrank_cli.bench.serve.plan import COLD, WARM, WHOLE, Request, checked
from genrank_cli.bench.serve.plan import Path as Served
from genrank_cli.bench.serve.run import run
from genrank_cli.bench.serve.work import Work
from genrank_cli.bench.serve.world import TOLERANCE, World, largest_difference, subject
from genrank_cli.bench.timing import Subject
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.models import cached
from genrank_cli.models.cached import encode
from genrank_cli.models.example import Lengths, example_batch, made_up_schema
from genrank_cli.models.presets import preset
from genrank_cli.models.trace import counted, shape_model
from genrank_cli.report.bench_serve import latency_table, resources_table, tables
from genrank_cli.report.bench_serve_plot import plot
from tests.bench.clocks import FakeClock

pytestmark = pytest.mark.usefixtures("quick_machine")

SMALL: dict[str, Any] = {
    "size": "tiny", "history": 24, "candidates": (7,), "micro_batches": (3, 64), "requests": 4,
    "users": 2, "threads": 1,
}  # fmt: skip


def request(**changes: Any) -> Request:
    return checked(Request(**SMALL | changes))


@cache
def record() -> BenchRecord:
    return run(request())


@pytest.mark.parametrize("model", ["hstu", "genrank", "softmax", "hstu-meta"])
def test_cached_and_uncached_scores_are_equal(model: str) -> None:
    world = World.of(request(models=(model,)), 7)
    world.keep(model, 64)
    for world.turn in range(2):
        whole = subject(Served(model, WHOLE), world).parts["score"]()
        assert isinstance(whole, torch.Tensor)
        assert whole.std() > 1e-2  # equal scores would prove nothing
        found = largest_difference(request(models=(model,)).paths(7), world)
        assert set(found) == {f"{model}/{path}/{size}" for path in (COLD, WARM) for size in (3, 7)}
        assert max(found.values()) <= TOLERANCE


def test_a_cache_that_scores_otherwise_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cached.score
    monkeypatch.setattr(world_module, "score", lambda *given: true(*given) + 1e-4)
    with pytest.raises(GenrankError, match=r"uncached scores differ by 0\.0001") as error:
        run(request(models=("genrank",)))
    assert error.value.exit_code is ExitCode.DATA


def test_scores_that_are_no_numbers_are_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    true = cached.score
    monkeypatch.setattr(world_module, "score", lambda *given: true(*given) * math.nan)
    with pytest.raises(GenrankError, match="differ by nan"):
        run(request(models=("genrank",)))


def test_a_dlrm_scores_the_same_on_the_events_that_it_reads() -> None:
    config = preset("dlrm", "tiny")
    model, schema = drawn_ranker(config, 80)
    batch = drawn_batch(1, 80, 5, schema, seed=0)
    model.eval()
    torch.testing.assert_close(model(newest(batch, 50)), model(batch))
    assert not torch.allclose(model(newest(batch, 49)), model(batch))


def test_users_are_served_in_turn_and_differ() -> None:
    world = World.of(request(models=("genrank",)), 7)
    score = subject(Served("genrank", WHOLE), world).parts["score"]
    scores = []
    for world.turn in range(3):
        scores.append(score())
    assert torch.equal(scores[0], scores[2])  # type: ignore[arg-type]
    assert not torch.allclose(scores[0], scores[1])  # type: ignore[arg-type]


def test_micro_batches_beyond_the_candidates_are_one_row() -> None:
    names = [path.name for path in request(micro_batches=(3, 7, 64)).paths(7)]
    assert names[:2] == ["dlrm/whole", "hstu/whole"]
    assert names[2:6] == ["hstu/cold/3", "hstu/cold/7", "hstu/warm/3", "hstu/warm/7"]
    assert len(names) == len(set(names)) == 11


def serve_fake(requests: int, budget_s: float) -> tuple[FakeClock, Any, list[int]]:
    clock = FakeClock()
    turns: list[int] = []
    lasting = iter(range(1, 10_000))
    subjects = [Subject("a", {"run": lambda: next(lasting)}), Subject("b", {"run": lambda: 1.0})]
    probe = Probe(Subject("product", {"run": lambda: 0.5}), 1, "flops")
    timings = serve(
        subjects, clock, requests=requests, budget_s=budget_s, probe=probe, turn=turns.append,
        now=clock.now,
    )  # fmt: skip
    return clock, timings, turns


def test_every_time_is_one_request_and_none_is_a_mean() -> None:
    _, timings, turns = serve_fake(30, 1e9)
    assert timings.rounds_s["a"]["run"] == list(range(4, 34))  # three rounds of warm-up before
    assert turns == [0, 1, 2, *range(30)]
    assert len(timings.rounds_s["product"]["run"]) == 15


def test_the_budget_ends_the_requests_but_not_before_twenty() -> None:
    _, timings, _ = serve_fake(1_000, 1.0)
    assert len(timings.total("a")) == FEWEST
    _, timings, _ = serve_fake(1_000, 800.0)
    assert FEWEST < len(timings.total("a")) < 60


def made_row(name: str, times: list[float], **figures: float) -> Row:
    row = next(x for x in record().cases[0].rows if x.name == name)
    base = record().cases[0].rows[0]
    ratio = {base.name: row.time_s["total"]}
    return row.model_copy(
        update={"rounds_s": {"score": times}, "ratio": ratio, "figures": row.figures | figures}
    )


def made_case(ours: list[float], theirs: list[float], **figures: float) -> Case:
    rows = [made_row("dlrm/whole", theirs), made_row("genrank/whole", ours, **figures)]
    return record().cases[0].model_copy(update={"rows": rows, "warnings": []})


@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(0.5, Verdict.MET), (0.9, Verdict.MISSED), (0.75, Verdict.CANNOT_TELL)],
)
def test_the_claim_on_the_99th_percentile_is_judged(factor: float, verdict: Verdict) -> None:
    times = [1.0 + 0.1 * (place % 100) / 100 for place in range(600)]
    found = {x.id: x for x in checks([made_case([factor * t for t in times], times)])}
    assert found["cost.p99.whole"].verdict is verdict


def test_the_99th_percentile_of_few_requests_cannot_be_told() -> None:
    found = {x.id: x for x in checks([made_case([0.1] * 100, [1.0] * 100)])}
    assert found["cost.p99.whole"].verdict is Verdict.CANNOT_TELL
    assert "needs 437 requests for an interval, this has 100" in found["cost.p99.whole"].reason


@pytest.mark.parametrize("requests", [100, 600])
def test_the_tail_of_a_disturbed_case_is_not_judged_but_its_paired_ratios_are(
    requests: int,
) -> None:
    case = made_case([2.0] * requests, [1.0] * requests)
    disturbed = case.model_copy(update={"warnings": ["other processes used 37 %"]})
    assert {x.id: x for x in checks([case])}["cost.p99.whole"].verdict is not Verdict.MET
    found = {x.id: x for x in checks([disturbed])}
    assert found["cost.p99.whole"].verdict is Verdict.CANNOT_TELL
    assert "other processes used 37 %" in found["cost.p99.whole"].reason
    inference = {x.id: x.verdict for x in checks([case])}["cost.inference.whole"]
    assert found["cost.inference.whole"].verdict is inference


def test_training_and_storage_are_judged_by_counts() -> None:
    rows = {row.name: row for row in record().cases[0].rows}
    dlrm = rows["dlrm/whole"].figures
    more = dlrm["training_flops_per_million_events_packed"] * 2
    case = made_case([1.0], [1.0], training_flops_per_million_events_packed=more, table_bytes=1)
    found = {x.id: x for x in checks([case, case])}
    packed = found["cost.training.packed"]
    assert packed.verdict is Verdict.MET
    assert packed.measured is not None
    assert packed.measured.mean == 2.0
    assert "packed" in packed.text
    grouped = found["cost.training.grouped"].measured
    assert grouped is not None
    name = "training_flops_per_million_events_grouped"
    assert grouped.mean == rows["genrank/whole"].figures[name] / dlrm[name]
    assert found["cost.storage.parameters"].verdict is Verdict.MET
    assert "bytes of parameters" in found["cost.storage.parameters"].text
    assert [x.id for x in checks([case, case])].count("cost.storage.parameters") == 1
    assert checks([case.model_copy(update={"rows": case.rows[1:]})]) == []


@pytest.mark.parametrize("model", ["hstu", "genrank", "hstu-meta", "softmax"])
def test_whole_is_the_counter_and_the_parts_of_a_cached_request_are_fewer(model: str) -> None:
    config, n, m = preset(model, "tiny"), 20, 6
    schema = made_up_schema(n)
    shapes = shape_model(config, schema)
    whole = Work(config, n).flops(WHOLE, m)["score"]
    dense, _ = counted(shapes, example_batch(Lengths(n, m), schema))
    assert 0 < whole < dense
    cold = Work(config, n).flops(COLD, m)
    assert Work(config, n).flops(WARM, m) == {"score": cold["score"]}
    tokens = n * (2 if config.organization == "interleaved" else 1)  # type: ignore[union-attr]
    # What the last block leaves out for the history: u and q, attention, output, hidden layer.
    width, cells = 64, tokens * (tokens + 1) // 2
    matrices = {"hstu": 3, "genrank": 3, "hstu-meta": 3, "softmax": 9}[model] * width**2
    saved = 2 * tokens * matrices + 4 * cells * width
    assert sum(cold.values()) == whole - saved


def test_bytes_of_parameters_and_of_a_cache_are_those_of_the_model() -> None:
    rows = {row.name: row.figures for row in record().cases[0].rows}
    model, schema = drawn_ranker(preset("genrank", "tiny"), 24)
    sizes = sum(p.numel() * p.element_size() for p in model.parameters())
    found = rows["genrank/whole"]
    assert found["table_bytes"] + found["other_parameter_bytes"] == sizes
    assert found["table_bytes"] >= len(schema.items.ids) * 64 * 4
    cache_of = encode(model.eval(), drawn_batch(1, 24, 3, schema, 0), 3)
    assert found["cache_bytes_per_user"] == int(cache_of.bytes_per_user()[0])
    assert rows["hstu/whole"]["cache_bytes_per_user"] == 2 * found["cache_bytes_per_user"]
    assert rows["dlrm/whole"]["cache_bytes_per_user"] == 0


def test_training_flops_are_those_of_the_events_that_are_learnt() -> None:
    work = Work(preset("genrank", "tiny"), 20)
    packed, grouped = (work.training_flops(packed=x) for x in (True, False))
    assert packed < grouped  # the history is encoded for every request


def test_a_dlrm_trains_on_each_event_by_itself_as_the_counter_says() -> None:
    config, schema = preset("dlrm", "tiny"), made_up_schema(20)
    batch = example_batch(Lengths(20, 10, 1), schema)
    forward, backward = counted(shape_model(config, schema), batch)
    found = Work(config, 20).training_flops(packed=False)
    assert found == pytest.approx((forward + backward) / 10 * 1e6, rel=1e-12)


def test_the_record_holds_every_request_and_its_tables_read() -> None:
    found = record()
    again = BenchRecord.model_validate_json(found.model_dump_json())
    assert again.model_dump_json() == found.model_dump_json()
    assert all(len(row.total_s()) == 4 for case in found.cases for row in case.rows)
    cold = next(row for row in found.cases[0].rows if row.name == "genrank/cold/3")
    assert set(cold.rounds_s) == {"encode", "score"}
    rows = latency_table(found).formatted()
    assert rows[0][:2] == ["N24-C7", "dlrm/whole"]
    assert rows[0][4] == "? 4 of 368 requests"
    assert [row[0] for row in resources_table(found).formatted()] == ["dlrm", "hstu", "genrank"]
    assert len(tables(found)) == 3
    assert {x.id for x in found.checks} >= {
        "cached.hstu/warm/3",
        "cost.p99.warm",
        "cost.storage.parameters",
    }


def test_the_plot_shows_every_path(tmp_path: Path) -> None:
    files = plot(record(), tmp_path / "serve")
    text = files[1].read_text()
    for name in ("hstu/cold/3", "genrank/warm/7", "P99", "ms per request", "24 events"):
        assert name in text


def test_the_command_writes_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "serve.json"
    options = (
        "--size tiny --model dlrm,genrank --history 12 --candidates 4 --requests 2 --threads 1"
    )
    assert main(["bench", "serve", *options.split(), "-o", str(file)]) == 0
    assert json.loads(file.read_text())["bench"] == "serve"
    assert main(["bench", "show", str(file), "--format", "csv"]) == 0
    assert "p99_ms" in capsys.readouterr().out
    assert main(["bench", "serve", "--dry-run", "--size", "tiny", "--format", "csv"]) == 0
    assert "N240-C1000,genrank/warm/256" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [("--model rates", "rates computes nothing"), ("--model genrnk", "did you mean 'genrank'")],
)
def test_what_cannot_be_served_is_refused(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "serve", *options.split()]) == ExitCode.USAGE
    assert message in capsys.readouterr().err
