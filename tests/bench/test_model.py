"""``genrank bench``: rows, batches, counts, regimes, claims."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.model import claims
from genrank_cli.bench.model.batch import joined, make_input, packed
from genrank_cli.bench.model.plan import BASE, MODELS, Request, checked, known_models
from genrank_cli.bench.model.regimes import regimes
from genrank_cli.bench.model.run import run
from genrank_cli.bench.model.stages import EVALUATION, PARTS, STEP, Training, row_name
from genrank_cli.bench.model.work import count, work_of
from genrank_cli.bench.record import BenchRecord, Case
from genrank_cli.errors import GenrankError
from genrank_cli.models.example import made_up_schema
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.presets import preset
from genrank_cli.models.trace import counted, shape_model

pytestmark = pytest.mark.usefixtures("quick_machine")

SMALL: dict[str, Any] = {
    "size": "tiny", "seq_lens": (16,), "batch_size": 2, "candidates": 4, "threads": 1,
    "rounds": 2, "memory": False,
}  # fmt: skip


def request(**changes: Any) -> Request:
    return checked(Request(**SMALL | changes))


@cache
def record() -> BenchRecord:
    return run(request(models=(*MODELS, "dlrm")))


def known(seconds: dict[str, float], rounds: int = 8) -> Case:
    """Steps that take these seconds, on a machine that halves its pace midway."""
    pace = np.where(np.arange(rounds) < rounds // 2, 1.0, 2.0)
    rows = [
        row.model_copy(update={"rounds_s": {"forward": list(pace * seconds[row.labels["model"]])}})
        for row in record().cases[0].rows
        if row.labels["stage"] == STEP and row.labels["model"] in seconds
    ]
    return record().cases[0].model_copy(update={"rows": rows})


# Batches


def test_drawn_samples_have_the_asked_lengths() -> None:
    batch = make_input(request(), 16).batch
    assert batch.history_lengths.tolist() == [8, 8]
    assert batch.candidate_lengths.tolist() == [4, 4]
    assert batch.group.tolist() == [0] * 4 + [1] * 4
    assert batch.prefix.tolist() == [8] * 8


def test_zipf_lengths_are_drawn_once_and_short_ones_are_frequent() -> None:
    asked = request(lengths="zipf", batch_size=400)
    lengths = make_input(asked, 64).batch.history_lengths
    assert torch.equal(lengths, make_input(asked, 64).batch.history_lengths)
    assert int(lengths.min()) >= 1
    assert int(lengths.max()) <= 32
    ones, twos = (int((lengths == n).sum()) for n in (1, 2))
    assert 1.3 < ones / twos < 3.1  # 2 in the long run


def test_a_packed_candidate_sees_the_requests_before_its_own() -> None:
    batch = packed(12, 4, made_up_schema(24), seed=0)
    assert batch.prefix.tolist() == [0] * 4 + [4] * 4 + [8] * 4
    assert batch.group.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    for first in (0, 4, 8):
        assert len(set(batch.candidates.time[first : first + 4].tolist())) == 1
    assert torch.equal(batch.candidates.item, batch.history.item)
    assert batch.candidates.time.diff().min() >= 0


@pytest.mark.parametrize("name", ["hstu", "genrank"])
def test_joined_samples_are_scored_as_each_alone(name: str) -> None:
    schema = made_up_schema(24)
    parts = [packed(12, 4, schema, seed=0), packed(8, 4, schema, seed=1)]
    asked = request(samples="packed")
    made = make_input(asked, 16)
    model = Training(asked, name, 16, made).model.eval()
    with torch.no_grad():
        together = model(joined(parts))
        alone = torch.cat([model(part) for part in parts])
    assert torch.allclose(together, alone, atol=1e-5)
    assert float(alone.std()) > 0


# Counts


@pytest.mark.parametrize("samples", ["grouped", "packed"])
@pytest.mark.parametrize("name", [name for name in known_models() if name != "dlrm"])
def test_flops_are_those_of_pytorch_and_cells_those_that_are_seen(name: str, samples: str) -> None:
    asked = request(samples=samples)
    made = make_input(asked, 16)
    config = asked.config(name, 16).model
    assert config.kind == "generative"
    work = count(config, made)
    model = shape_model(config, made.schema)
    assert isinstance(model, GenerativeRanker)
    layout = model.layout(made.batch)
    seen = [int(layout.mask.dense(layout.offsets, s).sum()) for s in range(made.batch.samples)]
    assert work.load.cells == sum(seen)
    # PyTorch counts the dense reference: all cells.
    forward, backward = counted(model, made.batch)
    hidden = (work.load.all_cells - work.load.cells) * 4 * config.width * config.blocks
    assert work.flops["forward"] + hidden == forward
    assert work.flops["backward"] + 2 * hidden == backward


def test_recomputed_scores_are_in_the_hardware_flops_alone() -> None:
    work = work_of(request(), "genrank", 16, make_input(request(), 16))
    again = 2 * work.load.cells * 64 * 2
    assert work.hardware_flops["backward"] - work.flops["backward"] == again
    assert work.hardware_flops["forward"] == work.flops["forward"]


def test_a_materialized_bias_moves_its_cells() -> None:
    made = make_input(request(), 16)
    fused, whole = (work_of(request(), name, 16, made) for name in ("hstu", BASE))
    cells = 2 * 20**2
    assert whole.moved["attention"] - fused.moved["attention"] == 2 * 5 * 4 * cells
    asked = request(dtype="bfloat16")
    fused, whole = (work_of(asked, name, 16, made) for name in ("hstu", BASE))
    assert whole.moved["attention"] - fused.moved["attention"] == 2 * 5 * 2 * cells
    assert whole.flops == fused.flops


def test_regimes_are_told_apart() -> None:
    few, doubled, dense = regimes(Request(), 480)
    assert (few.interleaved, few.action) == (490, 250)
    assert few.attention == pytest.approx(31_330 / 120_250)
    assert few.projections == pytest.approx(250 / 490)
    assert (doubled.interleaved, doubled.projections) == (500, 0.5)
    assert abs(doubled.attention - 0.25) < 0.01
    assert (dense.interleaved, dense.action) == (720, 480)
    assert dense.projections == pytest.approx(2 / 3)
    assert dense.attention > few.attention


# Measurement


def test_every_stage_of_every_model_is_timed() -> None:
    case = record().cases[0]
    names = {row.name for row in case.rows}
    for model in MODELS:
        assert {row_name(model, stage) for stage in (STEP, EVALUATION, *PARTS)} <= names
    assert {name for name in names if name.startswith("dlrm/")} == {"dlrm/step", "dlrm/evaluation"}
    assert case.left_out == []
    step = case.row("genrank/step")
    assert step is not None
    assert step.base == f"{BASE}/step"
    assert list(step.rounds_s) == ["forward", "backward", "optimizer"]
    assert step.figures["tokens"] == 2 * (8 + 4)
    assert 0 < step.share["total"].mean < step.share["forward+backward"].mean


def test_a_step_learns_and_an_evaluation_does_not() -> None:
    training = Training(request(), "genrank", 16, make_input(request(), 16))
    before = [p.detach().clone() for p in training.model.parameters()]
    training.evaluate()
    assert all(map(torch.equal, before, training.model.parameters()))
    training.step()
    changed = [
        not torch.equal(a, b) for a, b in zip(before, training.model.parameters(), strict=True)
    ]
    assert sum(changed) > len(changed) / 2


def test_mixed_precision_multiplies_in_it() -> None:
    asked = request(dtype="bfloat16")
    training = Training(asked, "genrank", 16, make_input(asked, 16))
    seen = set()
    output: Any = training.model.output
    output.register_forward_hook(lambda *call: seen.add(call[2].dtype))
    training.step()
    assert seen == {torch.bfloat16}


# Claims


def test_speeds_are_judged_against_the_materialized_baseline() -> None:
    times = {BASE: 2.0, "action-materialized": 1.0, "hstu+embeddings+alibi": 1.8, "genrank": 0.8}
    case = known(times)
    found = {c.id: c for c in claims.checks(request(), [case], {case.name: []})}
    assert found["org.speed"].measured is not None
    assert found["org.speed"].measured.mean == pytest.approx(2.0)
    assert found["org.speed"].verdict is Verdict.MET
    assert found["bias.speed"].verdict is Verdict.MISSED
    assert found["both.speed"].verdict is Verdict.MET


def test_the_prediction_is_that_of_the_paper() -> None:
    """1.787 and 1.25 give 1.96 (PAPER section 4)."""
    case = known({BASE: 1.0, "action-materialized": 1 / 1.787, "hstu+embeddings+alibi": 0.8})
    found = claims.predicted(case)
    assert found is not None
    assert found.mean == pytest.approx(1.9623, abs=1e-3)
    assert claims.predicted(known({BASE: 1.0})) is None


def test_one_disturbed_round_does_not_take_the_prediction_away() -> None:
    case = known({BASE: 1.0, "action-materialized": 1 / 1.787, "hstu+embeddings+alibi": 0.8})
    slow = case.rows[0]
    assert slow.labels["model"] == BASE
    rounds = [8 * slow.rounds_s["forward"][0], *slow.rounds_s["forward"][1:]]
    disturbed = slow.model_copy(update={"rounds_s": {"forward": rounds}})
    found = claims.predicted(case.model_copy(update={"rows": [disturbed, *case.rows[1:]]}))
    assert found is not None
    assert found.mean == pytest.approx(1.9623, rel=0.01)


def test_costs_are_of_doubled_candidates() -> None:
    case = record().cases[0]
    found = claims.checks(Request(), [case], {case.name: regimes(Request(), 480)})
    verdicts = {check.id: check.verdict for check in found if "cost" in check.id}
    assert verdicts == {
        "org.attention_cost": Verdict.MET,
        "org.projection_cost": Verdict.MET,
    }
    long = [r for r in regimes(Request(candidates=200), 480) if "doubled" not in r.name]
    assert claims.checks(Request(), [known({})], {case.name: long}) == []


# Refusals


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"models": ("genrnk",)}, "genrank"),
        ({"models": ("rates",)}, "--model"),
        ({"lengths": "uniform"}, "real:DATASET"),
        ({"lengths": "real:"}, "real:DATASET"),
        ({"dtype": "float16"}, "only on CUDA"),
        ({"dtype": "int8"}, "--dtype"),
        ({"samples": "shuffled"}, "--samples"),
        ({"seq_lens": (1,)}, "no event"),
        ({"seq_lens": (16, 481)}, "--seq-len 481: an event is 2 tokens"),
        ({"samples": "packed", "candidates": 3}, "whole number of requests"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(GenrankError) as error:
        request(**changes)
    assert reason in f"{error.value.message} {error.value.hint}"
    assert error.value.exit_code == 2


def test_every_preset_has_a_row() -> None:
    assert {preset(name).kind for name in known_models() if name not in MODELS} == {
        "generative",
        "dlrm",
    }
