"""The ``[split]`` of a card: what it takes, what it refuses, how another split is asked for."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from genrank_cli.data.card import override, problems
from genrank_cli.data.split_spec import KEYS, SplitSpec
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.raw import movielens_card

MIDNIGHT = datetime(2022, 5, 6, 16, tzinfo=UTC).timestamp()  # in Beijing


def read(text: str) -> SplitSpec:
    return SplitSpec.model_validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "test_from",
    [
        "2022-05-07T00:00:00+08:00",
        "2022-05-06T16:00:00Z",
        '"2022-05-07T00:00:00+08:00"',
        "2022-05-07 00:00:00+08:00",
        "1651852800",
        "1651852800.0",
        "2022-05-07T00:00:00\nutc_offset_hours = 8",
    ],
)
def test_one_moment_in_many_forms(test_from: str) -> None:
    spec = read(f'name = "temporal"\ntest_from = {test_from}')
    assert spec.bounds == (MIDNIGHT,)
    assert spec.test_from == "2022-05-06T16:00:00+00:00"
    assert (spec.train, spec.valid, spec.test) == (None, None, None)
    assert not spec.wants_valid


def test_fractions_of_a_second_survive() -> None:
    spec = SplitSpec.model_validate({"name": "temporal", "test_from": 1651852800.123})
    assert spec.bounds == (1651852800.123,)


def test_days_begin_at_local_midnight() -> None:
    text = 'name = "date"\nvalid_from = 2022-05-05\ntest_from = 2022-05-07\nutc_offset_hours = '
    assert read(text + "8").bounds == (MIDNIGHT - 2 * 86400, MIDNIGHT)
    assert read(text + "-3.5").bounds == (MIDNIGHT - 36.5 * 3600, MIDNIGHT + 11.5 * 3600)
    assert read(text.replace("utc_offset_hours = ", "")).utc_offset_hours == 0
    assert read(text + "8").wants_valid


def test_shares_by_default() -> None:
    assert SplitSpec(name="user").shares == (0.8, 0.1, 0.1)
    assert SplitSpec(name="date").shares == (0.8, 0.1, 0.1)
    assert SplitSpec(name="leave-one-out").train is None
    assert not SplitSpec(name="user", train=0.7, valid=0, test=0.3).wants_valid
    assert SplitSpec(name="leave-one-out").wants_valid
    with pytest.raises(ValueError, match="not given by shares"):
        _ = SplitSpec(name="leave-one-out").shares


def test_a_spec_survives_its_own_json() -> None:
    for text in (
        'name = "date"\ntest_from = 2022-05-07',
        'name = "temporal"\nvalid_from = 5\ntest_from = 2022-05-07T00:00:00.25+08:00',
        'name = "leave-one-out"',
        'name = "user"',
    ):
        spec = read(text)
        assert SplitSpec.model_validate_json(spec.model_dump_json()) == spec
        assert SplitSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('name = "temporl"', "did you mean 'temporal'"),
        ('name = "user"\ntest_from = 2022-05-07', "split user takes no test_from; it takes train"),
        ('name = "user"\nutc_offset_hours = 8', "takes no utc_offset_hours"),
        ('name = "leave-one-out"\ntrain = 0.8', "takes no train; it takes no key but its name"),
        ('name = "temporal"\ntest_from = 2022-05-07', "is a day; split temporal takes a moment"),
        ('name = "temporal"\ntest_from = 2022-05-07T00:00:00', "has no UTC offset; write"),
        ('name = "temporal"\ntest_from = "soon"', "'soon' is neither an ISO date nor"),
        ('name = "temporal"\ntest_from = true', "True is neither a date"),
        ('name = "temporal"\ntest_from = 1651852800000', "this looks like milliseconds"),
        ('name = "temporal"\ntest_from = -1', "is not between 1970 and 2100"),
        ('name = "temporal"\ntest_from = nan', "is not between 1970 and 2100"),
        ('name = "temporal"\ntest_from = 2101-01-01T00:00:00Z', "is not between 1970 and 2100"),
        ('name = "temporal"\ntest_from = 0001-01-01T00:00:00+08:00', "is not between 1970"),
        ('name = "date"\ntest_from = 1651852800', "takes days, such as 2022-05-07"),
        ('name = "date"\ntest_from = 2022-05-07T00:00:00Z', "takes days"),
        ('name = "date"\nvalid_from = 2022-05-07', "valid_from needs test_from"),
        (
            'name = "date"\nvalid_from = 2022-05-07\ntest_from = 2022-05-07',
            r"valid_from \(2022-05-07\) must be earlier than test_from",
        ),
        ('name = "temporal"\nvalid_from = 20\ntest_from = 10', "must be earlier"),
        ('name = "temporal"\ntest_from = 10\ntrain = 0.8', "either shares or test_from, not both"),
        ('name = "temporal"\ntrain = 0.9', "train . valid . test must be 1, found 1.1"),
        ('name = "date"\nutc_offset_hours = 20', "utc_offset_hours"),
        ('name = "date"\nutc_offset = 8', "utc_offset: Extra inputs"),
        ("name = 3", "name"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(text)
    assert re.search(reason, problems(caught.value))


@pytest.mark.parametrize("name", sorted(KEYS))
@pytest.mark.parametrize(
    "given",
    [
        {"name": "date", "test_from": "2022-05-07", "utc_offset_hours": 8},
        {"name": "temporal", "valid_from": 5, "test_from": 10},
        {"name": "user-temporal", "train": 0.6, "valid": 0.1, "test": 0.3},
        {"name": "leave-one-out"},
    ],
)
def test_another_name_keeps_the_keys_that_it_takes(name: str, given: dict[str, Any]) -> None:
    spec = SplitSpec.model_validate(given).named(name)
    if name == given["name"]:
        assert spec == SplitSpec.model_validate(given)
        return
    assert spec.name == name
    assert spec.bounds == ()
    if name != "leave-one-out":
        asked = (0.6, 0.1, 0.3) if "train" in given else (0.8, 0.1, 0.1)
        assert spec.shares == asked
    if name == "date":
        assert spec.utc_offset_hours == 0
    if name == "temporal":
        assert spec.utc_offset_hours == given.get("utc_offset_hours")


def test_another_name_says_that_bounds_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "genrank_cli")
    SplitSpec.model_validate({"name": "date", "test_from": "2022-05-07"}).named("user")
    assert caplog.messages == ["split user does not use the bounds of split date"]


def test_unknown_name() -> None:
    with pytest.raises(GenrankError, match="unknown split 'usr'") as caught:
        SplitSpec(name="user").named("usr")
    assert caught.value.exit_code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"name": "leave-one-out"}, {"name": "leave-one-out"}),
        ({"name": "user"}, {"name": "user", "train": 0.6, "valid": 0.2, "test": 0.2}),
        ({"test_from": 10.5}, {"name": "temporal", "test_from": 10.5}),
        (
            {"name": "date", "test_from": "2022-05-07"},
            {"name": "date", "test_from": "2022-05-07", "utc_offset_hours": 0},
        ),
        (
            {"train": 0.7, "test": 0.1},
            {"name": "temporal", "train": 0.7, "valid": 0.2, "test": 0.1},
        ),
    ],
)
def test_settings_replace_what_they_contradict(
    settings: dict[str, Any], expected: dict[str, Any]
) -> None:
    split = {"name": "temporal", "train": 0.6, "valid": 0.2, "test": 0.2}
    found = override(movielens_card("100k", split=split), {"split": settings}).split
    assert found == SplitSpec.model_validate(expected)


def test_settings_go_from_bounds_to_shares() -> None:
    card = movielens_card("100k", split={"name": "temporal", "valid_from": 5, "test_from": 10})
    assert override(card, {"split": {"train": 0.8}}).split.shares == (0.8, 0.1, 0.1)
    assert override(card, {"split": {"test_from": 20}}).split.bounds == (5, 20)
    with pytest.raises(GenrankError, match="must be earlier") as caught:
        override(card, {"split": {"test_from": 3}})
    assert caught.value.exit_code == ExitCode.USAGE
