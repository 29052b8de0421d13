"""``genrank ablate`` for one study and for several: shared cells, budgets, plans, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.errors import ExitCode
from genrank_cli.studies import ablate
from genrank_cli.studies.ablate import Request, Watch, default_jobs, default_rounds, distinct
from genrank_cli.studies.cells import Outcome
from genrank_cli.studies.estimate import cell_seconds, epoch_seconds, total_seconds
from genrank_cli.studies.study import Study, load_study
from tests.conftest import Cli
from tests.studies.cases import claim, small, study

OTHER: dict[str, Any] = {
    "name": "other",
    "variants": [
        {"name": "relative", "preset": "hstu"},
        {"name": "tables", "preset": "hstu", "set": {"model.attention.bias": "tables"}},
        {"name": "windows", "preset": "hstu", "needs": ["windows"]},
    ],
    "base": "relative",
}


@pytest.fixture(scope="module", autouse=True)
def feed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A feed of about a thousand exposures, as the dataset `little`."""
    options = {"users": 30, "items": 120, "requests": 5.0, "topics": 4, "authors": 10}
    card = Card.model_validate(load_card("synthetic").model_dump() | {"options": options})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(tmp_path_factory.mktemp("home")))
        build_store(card, name="little")
        yield


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


def planned(runs: Path, made: Study, **fields: Any) -> ablate.Planned:
    asked: dict[str, Any] = {
        "study": made,
        "dataset": "little",
        "size": "tiny",
        "seeds": (0, 1),
        "variants": None,
        "settings": [small()],
        "rounds": 0,
        "device": "cpu",
        "threads": 1,
        "jobs": 1,
        "runs": runs,
        "force": False,
    }
    return ablate.plan(Request(**(asked | fields)))


def two(runs: Path, **fields: Any) -> list[ablate.Planned]:
    claims = [claim("none", "auc", "difference", 0.1)]
    return [planned(runs, study(**more), **fields) for more in ({"claims": claims}, OTHER)]


def test_studies_share_their_cells(runs: Path) -> None:
    plans = two(runs)
    assert [row.name for row in distinct(plans)] == [
        "small/rab",
        "small/none",
        "small/alibi",
        "small/dlrm",
        "small/rates",
        "other/tables",
    ]
    seen: list[Outcome] = []
    first, other = ablate.run_studies(plans, Watch(outcome=seen.append))
    assert len(seen) == 12  # not 16: base and references of both are the same cells
    assert [row.name for row in other.rows] == ["relative", "tables", "dlrm", "rates"]
    assert other.rows[0].auc == first.rows[0].auc
    assert other.rows[0].runs == first.rows[0].runs
    assert other.left_out == {"windows": "little has no window statistics"}
    assert [c.id for c in first.claims] == ["small.auc"]
    assert first.rows[0].slices["items"]["cold"]["events"] > 0
    again: list[Outcome] = []
    ablate.run_studies(plans, Watch(outcome=again.append))
    assert all(one.reused for one in again)


def test_a_budget_takes_the_seeds_that_fit(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that shows a minute more each time it is read: three readings by the first seed."""
    ticks = count(0.0, 60.0)
    monkeypatch.setattr(ablate, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    stopped: list[int] = []
    plans = two(runs, seeds=(0, 1, 2, 3))
    ran = [
        len(ablate.run_studies(plans, Watch(stopped=stopped.append), budget)[0].seeds)
        for budget in (1.0, 179.0, 299.0)
    ]
    assert ran == [1, 1, 2]
    assert stopped == [1, 1, 2]
    record = ablate.run_studies(plans, Watch(stopped=stopped.append), 1e9)[0]
    assert record.seeds == [0, 1, 2, 3]
    assert stopped == [1, 1, 2]


def test_time_is_estimated_from_what_was_measured(runs: Path) -> None:
    plan = planned(runs, study())
    ablate.run_study(plan)
    data_hash, events = plan.store.manifest.data_hash, plan.known.train_events
    assert 0 < events < plan.store.manifest.counts.events
    known = epoch_seconds(runs, data_hash, events)
    rab, *_, rates = plan.rows
    one = cell_seconds(rab, known)
    assert one is not None
    assert one > 0
    longer = planned(runs, study(), settings=[small(), {"training": {"epochs": 20}}]).rows[0]
    assert cell_seconds(longer, known) == pytest.approx(10 * one)
    wider = planned(runs, study(), settings=[small(), {"model": {"width": 16}}]).rows[0]
    assert cell_seconds(wider, known) is None
    assert cell_seconds(rates, known) == 0.0
    assert total_seconds([rab, wider, wider, rates], known) == (one, 2)
    assert epoch_seconds(runs, "other data", events) == {}
    both = {"wide": wider, "run": rab}  # what was run is not estimated from its timing
    timed = {
        "round_s": {name: [2.0, 1.0, 4.0] for name in both},
        "events": dict.fromkeys(both, 100),
    }
    configs = {name: row.config.model_dump(mode="json") for name, row in both.items()}
    described = {"configs": configs, "data_hash": data_hash}
    (runs / "speed-0.json").write_text(json.dumps(described | {"speed": timed}))
    (runs / "speed-1.json").write_text("{")
    assert cell_seconds(wider, epoch_seconds(runs, data_hash, 500)) == pytest.approx(2 * 10.0)
    assert cell_seconds(rab, epoch_seconds(runs, data_hash, 500)) == one


def test_defaults_of_rounds_and_jobs() -> None:
    speed = study(claims=[claim("none", "speed", "ratio", 1.2)])
    assert [default_rounds(None, s, n) for s in (study(), speed) for n in (1, 2)] == [12, 0, 12, 12]
    assert default_rounds(3, study(), 2) == 3
    assert default_jobs(None, None, 1, "tiny", "cpu") == (1, None)
    assert default_jobs(None, None, 2, "base", "cpu") == (1, None)
    assert default_jobs(None, 4, 2, "tiny", "cpu") == (1, 4)
    assert default_jobs(3, None, 2, "tiny", "cpu") == (3, None)
    jobs, threads = default_jobs(None, None, 2, "tiny", "cpu")
    assert jobs >= 1
    assert threads == 1


def test_all_leaves_the_extra_studies_out(cli: Cli, tmp_path: Path) -> None:
    done = cli(
        "ablate", "--component", "all", "--data", "little", "--dry-run", "--json",
        "--runs", str(tmp_path),
    )  # fmt: skip
    assert done.code == 0, done.err
    tree = json.loads(done.out)
    names = [row["study"] for row in tree["rows"]]
    assert {"bias", "mask", "paradigm"} < set(names)
    assert not {name for name in names if load_study(name).extra}
    assert {row["estimate"] for row in tree["rows"]} == {"unknown"}


def test_several_studies_on_the_command_line(cli: Cli, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(MINE)
    line = [
        "ablate", "--component", f"{tmp_path}/small.toml,cold-start", "--data", "little",
        "--seeds", "0", "--runs", str(runs), "--rounds", "0", "--jobs", "1", "--threads", "1",
        *(f"--set={path}={value}" for path, value in SMALL.items()),
    ]  # fmt: skip
    done = cli(*line, "--budget", "1s", "--format", "csv")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0].startswith("study,claim,variant,paper,verdict")
    assert "cold_start" in done.out
    assert (runs / "cold-start-little-tiny" / "cold-start-little-tiny.json").exists()
    plan = cli(*line, "--dry-run", "--format", "md").out
    assert plan.startswith("### Would run 0 of 3 cells")


CLAIMED = """
[[claims]]
id = "gap"
variant = "no-gap"
reported = 0.01
source = "a paper"
"""


def test_every_form_of_a_study_says_its_claims(cli: Cli, runs: Path, tmp_path: Path) -> None:
    file = tmp_path / "small.toml"
    file.write_text(MINE + CLAIMED)
    line = [
        "ablate", "--component", str(file), "--data", "little", "--seeds", "0", "--rounds", "0",
        "--runs", str(runs), "--threads", "1",
        *(f"--set={path}={value}" for path, value in SMALL.items()),
    ]  # fmt: skip
    (forms := tmp_path / "forms").mkdir()
    said = {}
    for suffix in ("json", "md", "csv"):
        done = cli(*line, "-o", str(forms / f"o.{suffix}"))
        assert done.code == 0, done.err
        assert done.out == ""
        said[suffix] = done.err
    record = json.loads((forms / "o.json").read_text())
    assert record == json.loads(cli(*line, "--json").out)
    assert record["claims"][0]["id"] == "gap"
    assert "### Claims" in (forms / "o.md").read_text()
    assert (forms / "o.csv").read_text().startswith("row,auc,")
    assert "left out, since csv holds one table: Claims (1 rows)" in said["csv"]
    assert "left out" not in said["md"] + said["json"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--json", "--format", "csv"), "--json and --format csv contradict each other"),
        (("-o", "claims.xlsx"), "unknown file suffix '.xlsx'"),
        (("-o", "/nowhere/claims.csv"), "the folder /nowhere does not exist"),
    ],
)
def test_a_form_that_cannot_be_written_is_refused_before_any_work(
    cli: Cli, options: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object) -> None:
        raise AssertionError("began to plan")

    monkeypatch.setattr(ablate, "plan", work)
    done = cli("ablate", "--component", "bias", "--data", "little", *options)
    assert done.code == ExitCode.USAGE
    assert message in done.err


MINE = """
name = "mine"
version = 1
title = "Mine"
question = "?"
base = "genrank"
[[variants]]
name = "genrank"
preset = "genrank"
[[variants]]
name = "no-gap"
preset = "genrank"
[variants.set]
model.embeddings.gap = false
"""
SMALL = {"model.width": 8, "model.blocks": 1, "training.epochs": 1, "data.samples.history": 10}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--component", "bias,mask", "--variants", "rab"), "--variants belongs to one study"),
        (("--component", "bias", "--budget", "soon"), "--budget 'soon' is no time"),
        (("--component", "bais"), "unknown study 'bais'"),
        (("--component", "bias,bias"), "empty or repeated name"),
        ((), "--component is missing"),
    ],
)
def test_what_the_command_refuses(cli: Cli, options: tuple[str, ...], message: str) -> None:
    done = cli("ablate", *options)
    assert done.code == ExitCode.USAGE
    assert message in done.err


def test_a_base_cannot_need_what_a_dataset_may_lack() -> None:
    variants = [{"name": "rab", "preset": "hstu", "needs": ["content"]}, *OTHER["variants"][1:]]
    with pytest.raises(ValueError, match="every run needs it"):
        study(variants=variants)
    with pytest.raises(ValueError, match=r"factorial.second: unknown variant 'alib'"):
        study(factorial={"first": "none", "second": "alib", "both": "alibi"})
