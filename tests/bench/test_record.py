"""The record: a round trip through JSON, and what is no record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrank_cli.bench.record import RECORD_VERSION, read_record
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.report.json import dump
from tests.bench.small import small_record


def test_a_record_comes_back_from_its_file(tmp_path: Path) -> None:
    record, file = small_record(), tmp_path / "record.json"
    file.write_text(dump(record.model_dump(mode="json")))
    again = read_record(file)
    assert again.model_dump_json() == record.model_dump_json()
    assert again.cases[0].rows[0].rounds_s == record.cases[0].rows[0].rounds_s
    low = again.cases[0].rows[0].time_s["total"].low
    assert low != low  # two rounds have no interval: null, and nan again


def test_raw_rounds_and_units_are_kept() -> None:
    record = small_record()
    row = record.cases[0].rows[0]
    assert set(row.rounds_s) == {"forward", "backward"}
    assert all(len(times) == record.cases[0].rounds == 2 for times in row.rounds_s.values())
    assert set(row.time_s) == {"forward", "backward", "total"}
    assert row.total_s() == pytest.approx(
        [sum(pair) for pair in zip(*row.rounds_s.values(), strict=True)]
    )
    work = sum(row.flops.values())
    assert row.flops_per_s("total") == pytest.approx(work / row.time_s["total"].mean)
    assert record.environment["torch"]
    assert record.settings["seq_lens"] == [24]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "no JSON"),
        ("[]", "no bench record"),
        ('{"version": 99}', "found 99"),
        (json.dumps({"version": RECORD_VERSION, "bench": "attention"}), "damaged: title"),
    ],
    ids=["cut", "list", "version", "fields"],
)
def test_what_is_no_record_is_named(content: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(content)
    with pytest.raises(GenrankError, match=said) as caught:
        read_record(file)
    assert caught.value.exit_code is ExitCode.DATA
    assert str(file) in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match="No such file") as caught:
        read_record(tmp_path / "x.json")
    assert caught.value.exit_code is ExitCode.DATA
