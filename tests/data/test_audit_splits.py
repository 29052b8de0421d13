"""What each split lets through, and the command that says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrank_cli.data.audit import Audit, audit
from genrank_cli.data.findings import CHECKS
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.errors import ExitCode
from tests.conftest import Cli
from tests.factory import MemoryStore, make_store


@pytest.fixture(scope="module")
def overlapping() -> MemoryStore:
    """Users that come and go in the same weeks, each with a month of events."""
    store = make_store((60,) * 40, items=50, per_request=3)
    time = store.column("timestamp")
    time[:] = 1e9 + (time - time[store.user_offsets[:-1]][store.column("user")])
    time[:] += store.column("user") * 97.0
    time_range = store.manifest.time.model_copy(
        update={"first": float(time.min()), "last": float(time.max())}
    )
    manifest = store.manifest.model_copy(update={"time": time_range})
    return MemoryStore(manifest, dict(store._columns), store.users, store.items)


def levels(found: Audit) -> dict[str, str]:
    return {finding.check: finding.level for finding in found.findings}


@pytest.mark.parametrize(
    ("name", "leaks"),
    [
        ("temporal", set()),
        ("date", set()),
        ("user-temporal", {"future of the item"}),
        ("user", {"future of the item"}),
        ("leave-one-out", {"future of the item"}),
    ],
)
def test_what_each_split_lets_through(name: str, leaks: set[str], overlapping: MemoryStore) -> None:
    found = audit(overlapping, SplitSpec(name=name))
    by_level = levels(found)
    assert {check for check, level in by_level.items() if level == "leak"} == leaks
    assert by_level["future of the user"] == "ok"
    assert by_level["cold users"] == ("note" if name == "user" else "ok")
    assert by_level["time overlap"] == ("note" if leaks else "ok")
    order = [("leak", "note", "ok").index(finding.level) for finding in found.findings]
    assert order == sorted(order)


def test_the_record_is_plain_and_complete(overlapping: MemoryStore) -> None:
    record = audit(overlapping).record()
    assert json.loads(json.dumps(record)) == record
    assert record["split"] == {"name": "user-temporal", "train": 0.7, "valid": 0.1, "test": 0.2}
    assert record["leaks"] == 1
    assert sum(part["events"] for part in record["parts"].values()) == 2400
    assert sum(part["share"] for part in record["parts"].values()) == pytest.approx(1)
    assert set(record["parts"]) == {"train", "valid", "test"}
    assert 0.2 < record["parts"]["train"]["mean_label"]["click"] < 0.6
    assert len(record["findings"]) >= len(CHECKS) - 1


@pytest.fixture
def built(home: Path, cli: Cli) -> str:
    feed = ("--users", "60", "--items", "80", "--requests", "6", "--name", "small")
    assert cli("data", "build", "synthetic", *feed).code == 0
    return "small"


def test_command_prints_a_table_or_json(built: str, cli: Cli, tmp_path: Path) -> None:
    outcome = cli("data", "audit", built)
    assert outcome.code == 0
    assert "| level" in outcome.out
    assert "0 leaks · next: genrank train --data small" in outcome.err
    leaky = cli("data", "audit", built, "--split", "user", "--json")
    assert leaky.code == 0  # an audit reports, it does not judge
    record = json.loads(leaky.out)
    assert record["split"]["name"] == "user"
    assert [f["check"] for f in record["findings"] if f["level"] == "leak"] == [
        "future of the item"
    ]
    assert "1 leak ·" in leaky.err
    assert cli("data", "audit", built, "-o", str(tmp_path / "a.json")).code == 0
    assert json.loads((tmp_path / "a.json").read_text())["dataset"] == built
    for form in ("table", "csv", "latex"):
        assert "future of the item" in cli("data", "audit", built, "--format", form).out


def test_command_refuses(built: str, cli: Cli) -> None:
    wrong = cli("data", "audit", built, "--split", "usr")
    assert wrong.code == ExitCode.USAGE
    assert "did you mean 'user'" in wrong.err
    absent = cli("data", "audit", "ml-1m")
    assert absent.code == ExitCode.DATA
    assert "is not built" in absent.err


@pytest.mark.parametrize("command", ["audit", "describe", "validate"])
def test_an_unknown_name_gets_the_nearest_known_one(built: str, command: str, cli: Cli) -> None:
    for name, nearest in (("ml-100", "ml-100k"), (built + "x", built)):
        unknown = cli("data", command, name)
        assert unknown.code == ExitCode.USAGE
        assert f"unknown dataset '{name}'" in unknown.err
        assert f"did you mean '{nearest}'?" in unknown.err
        assert "data build" not in unknown.err
