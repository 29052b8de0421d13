"""Each leak is named when it is planted, and only then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from genrank_cli.data.declare import Buckets, WindowSpec
from genrank_cli.data.exposure import drift
from genrank_cli.data.findings import Finding
from genrank_cli.data.splits import Part
from genrank_cli.data.store import FieldInfo, NumberInfo
from tests.data.planted import clean_rows, findings, planted
from tests.data.slow_audit import Row
from tests.factory import MemoryStore


def change(rows: list[Row], where: Callable[[Row], bool], **fields: Any) -> list[Row]:
    return [row._replace(**fields) if where(row) else row for row in rows]


def test_a_clean_log_has_no_leak_and_no_note() -> None:
    found = findings(planted(clean_rows()))
    assert {finding.level for finding in found.values()} == {"ok"}
    assert all(finding.remedy == "" for finding in found.values())
    assert found["users in both"].found == "30 of 30"
    # The two test events of a user are one page: neither is in the other's history.
    assert found["labels in history"].found == "none"


def late_training(rows: list[Row], user: int, item: int, **fields: Any) -> list[Row]:
    late = Row(user, item, 2e9, 10_000 + user, 1.0, Part.TRAIN)
    return [*rows, late._replace(**fields)]


#: name of the check, its level, how to plant it, and the share of events concerned
PLANTS: list[tuple[str, str, Callable[[list[Row]], list[Row]], float]] = [
    ("future of the user", "leak", lambda rows: late_training(rows, 7, 29), 2 / 60),
    ("future of the item", "leak", lambda rows: late_training(rows, 30, 7), 2 / 60),
    ("time overlap", "note", lambda rows: late_training(rows, 30, 30), 1 / 91),
    (
        "overlap with valid",
        "note",
        lambda rows: change(
            late_training(rows, 30, 30, time=1e9 + 500),
            lambda r: r.part == 0 and r.user < 2 and r.time > 1e9 + 19,
            part=Part.VALID,
        ),
        29 / 89,
    ),
    (
        "repeated pairs",
        "note",
        lambda rows: late_training(rows, 7, 10, time=1e9 + 25, request=30, label=0.0),
        1 / 60,
    ),
    ("repeated pairs", "leak", lambda rows: late_training(rows, 7, 10), 1 / 60),
    (
        "cut requests",
        "leak",
        lambda rows: [*rows[:-1], rows[-1]._replace(part=Part.VALID)],
        1 / 120,
    ),
    (
        "cold users",
        "note",
        lambda rows: change(rows, lambda r: r.user < 3 and r.part == 0, part=Part.UNUSED),
        6 / 60,
    ),
    (
        "cold items",
        "note",
        lambda rows: change(rows, lambda r: r.item == 5 and r.part == 0, part=Part.UNUSED),
        2 / 60,
    ),
    (
        "empty histories",
        "note",
        lambda rows: [row for row in rows if row.user != 4 or row.part == Part.TEST],
        2 / 60,
    ),
]


@pytest.mark.parametrize(("check", "level", "plant", "share"), PLANTS, ids=lambda v: str(v)[:20])
def test_what_is_planted_is_named(
    check: str, level: str, plant: Callable[[list[Row]], list[Row]], share: float
) -> None:
    found = findings(planted(plant(clean_rows())))[check]
    assert found.level == level
    assert found.figures["share"] == pytest.approx(share)
    assert found.meaning
    assert found.remedy
    assert found.found != "none"


def test_how_many_users_and_items_are_cold() -> None:
    rows = change(clean_rows(), lambda r: r.user < 3 and r.part == 0, part=Part.UNUSED)
    found = findings(planted(rows))
    assert found["cold users"].figures["users"] == 3
    assert found["cold users"].figures["users_share"] == pytest.approx(0.1)
    assert found["cold users"].meaning == "3 of 30 users were never trained on"
    assert found["users in both"].figures == {"users": 27, "share": 0.9}
    assert found["users in both"].found == "27 of 30"


def test_histories_with_test_labels_are_said_to_be_so_by_design() -> None:
    found = findings(planted(clean_rows()))["labels in history"]
    assert found.meaning == "no history of a test event holds another"
    rows = [r._replace(request=r.request * 10 + (r.item == 9)) for r in clean_rows()]
    found = findings(planted(rows))["labels in history"]
    assert (found.level, found.found) == ("ok", "3.3 % of test")
    assert "by design" in found.meaning


def test_repeated_pairs_tell_how_often_the_label_is_the_same() -> None:
    rows = late_training(clean_rows(), 7, 10, time=1e9 + 25, request=30)
    tested = next(row for row in rows if (row.user, row.item, row.part) == (7, 10, Part.TEST))
    for label, share in ((tested.label, 1.0), (1 - tested.label, 0.0)):
        found = findings(planted([*rows[:-1], rows[-1]._replace(label=label)]))["repeated pairs"]
        assert found.figures["same_label_share"] == share
        assert f"{100 * share:.1f} % with the same click" in found.meaning


def test_a_request_beyond_the_bound_is_no_leak() -> None:
    """One event in 2,000 is a few seconds late, because its request began in time."""
    rows = [
        Row(user, user % 2, 1e9 + test * 100 + user / 1e4, 2 * user + test, user % 3 % 2, 2 * test)
        for user in range(1500)
        for test in (0, 1)
    ]
    early = Row(1500, 1, 1e9 + 50, 3000, 0.0, Part.TRAIN)
    late = early._replace(time=1e9 + 100 + 2 / 1e4)
    found = findings(planted([*rows, early, late]))["future of the item"]
    assert found.figures["events"] == 1
    assert found.figures["lag"] == pytest.approx(1e-4, rel=0.01)
    assert found.level == "note"
    assert "0.0001 s later: requests are not cut" in found.meaning
    # As a request of its own, no length of a request explains it.
    assert findings(planted([*rows, late]))["future of the item"].level == "leak"


def drifted(users: int, train: float, test: float) -> Finding:
    """The finding about a label with these means, 50 events of each user in each part."""
    random = np.random.default_rng(0)
    rows = [
        Row(user, 0, 1e9 + place + 100 * part, 2 * user + part // 2, label, part)
        for user in range(users)
        for part, mean in ((Part.TRAIN, train), (Part.TEST, test))
        for place, label in enumerate((random.random(50) < mean).astype(float).tolist())
    ]
    return findings(planted(rows))["label drift"]


def test_label_drift_needs_significance_and_size() -> None:
    large = drifted(100, 0.3, 0.4)
    assert large.level == "note"
    assert large.found.startswith("click 0.3")
    figures = large.figures["click"]
    assert figures["change"] == pytest.approx(1 / 3, abs=0.05)
    assert figures["z"] > 3
    by_chance = drifted(10, 0.3, 0.35)
    assert by_chance.level == "ok"
    assert abs(by_chance.figures["click"]["change"]) > 0.05
    assert drifted(9, 0.3, 0.9).figures["click"]["z"] is None
    small = drifted(2500, 0.5, 0.515)
    assert small.level == "ok"
    assert small.figures["click"]["z"] > 3


def test_drift_of_events_of_one_user_is_no_evidence() -> None:
    """A hundred equal labels of one user count as one: the standard error is clustered."""
    store, parts = planted(
        [
            Row(user, 0, 1e9 + place + 500 * part, 2 * user + part // 2, float(user % 2), part)
            for user, part in [*((user, 0) for user in range(10)), *((u, 2) for u in (1, 3, 5, 0))]
            for place in range(100)
        ]
    )
    z = drift(store, parts, "click").z
    assert z is not None
    assert abs(z) < 2  # 9 if the events were independent


def described(**manifest: Any) -> dict[str, Finding]:
    store, parts = planted(clean_rows())
    changed = store.manifest.model_copy(update=manifest)
    columns = dict(store._columns)
    if changed.apart:
        columns["apart"] = ((parts == Part.RANDOM) | (parts == Part.UNUSED)).astype(np.uint8)
    return findings((MemoryStore(changed, columns, store.users, store.items), parts))


def test_statistics_are_named_as_leaks() -> None:
    number = NumberInfo(buckets=Buckets(quantiles=16), statistic=True)
    plain = number.model_copy(update={"statistic": False})
    undeclared = described(item_numbers={"age": plain})["statistic fields"]
    assert (undeclared.level, undeclared.found) == ("ok", "none declared")
    assert "1 numbers are taken to be older than it, unchecked" in undeclared.meaning
    found = described(
        user_numbers={"clicks": number, "age": plain},
        item_numbers={f"rate{k}": number for k in range(5)},
    )["statistic fields"]
    assert found.level == "leak"
    assert found.found == "user.clicks, item.rate0, item.rate1 and 3 more"
    assert "off by default" in found.meaning
    assert found.figures["fields"][-1] == "item.rate4"


def test_side_tables_are_snapshots_of_an_unknown_time() -> None:
    names = ("user_fields", "item_fields", "user_numbers", "item_numbers")
    nothing: dict[str, Any] = {name: {} for name in names}
    field = FieldInfo(size=3, multi=False)
    number = NumberInfo(buckets=Buckets(quantiles=16), statistic=False)
    assert "side tables" not in described(**nothing)
    users = described(**nothing | {"user_fields": {"age": field}, "user_numbers": {"fans": number}})
    found = users["side tables"]
    assert (found.level, found.found) == ("note", "2 of users")
    assert "a time that the store does not know" in found.meaning
    assert "model.features.user_fields" in found.remedy
    items = described(**nothing | {"item_fields": {"genre": field}})["side tables"]
    assert (items.level, items.found) == ("ok", "1 of items")
    assert items.figures == {"users": 0, "items": 1}


def test_features_that_do_not_leak_are_listed() -> None:
    assert not {"number buckets", "window statistics", "content vectors"} & set(described())
    plain = NumberInfo(buckets=Buckets(boundaries=(1.0,)), statistic=False)
    found = described(
        event_numbers={"length": Buckets(quantiles=16)},
        item_numbers={"year": plain, "rate": plain.model_copy(update={"statistic": True})},
        windows=WindowSpec(spans=("1h", "1d"), tasks=("click",)),
        content_width=8,
    )
    assert found["number buckets"].figures == {"quantiles": 1, "fixed": 1}
    assert found["window statistics"].found == "1h, 1d"
    assert found["content vectors"].found == "width 8"
    # Nobody can tell what these were made from.
    assert (found["content vectors"].level, found["statistic fields"].level) == ("note", "leak")
    del found["statistic fields"], found["content vectors"]
    assert {finding.level for finding in found.values()} == {"ok"}


def apart_findings(parts: list[Part]) -> Finding | None:
    """The finding where the first training events of the clean log have these parts instead."""
    rows = clean_rows()
    for place, part in enumerate(parts):
        rows[place] = rows[place]._replace(part=part)
    store, split = planted(rows)
    columns = dict(store._columns)
    columns["apart"] = (split >= Part.UNUSED).astype(np.uint8)
    manifest = store.manifest.model_copy(update={"apart": True})
    marked = MemoryStore(manifest, columns, store.users, store.items)
    return findings((marked, split)).get("events apart")


def test_events_apart() -> None:
    assert "events apart" not in described()
    found = apart_findings([Part.RANDOM, Part.UNUSED, Part.RANDOM])
    assert found is not None
    assert (found.level, found.found) == ("ok", "2 of 3")
    unused = apart_findings([Part.UNUSED])
    assert unused is not None
    assert (unused.level, unused.found) == ("note", "0 of 1")
    none = apart_findings([])
    assert none is not None
    assert (none.level, none.found) == ("ok", "none")


def test_an_overlap_as_long_as_a_request_is_said_to_be_one() -> None:
    """The last page of training lasts until after the first of test."""
    rows = clean_rows()
    first = min(row.time for row in rows if row.part == Part.TEST)
    late = next(row for row in rows if row.user == 29 and row.part == Part.TRAIN)
    found = findings(planted([*rows, late._replace(time=late.time + 19, item=28)]))
    assert found["time overlap"].level == "ok"
    pages = change(rows, lambda r: r.user == 29 and r.part == 0, request=4 * 29)
    pages.append(late._replace(time=first + 2, item=28))
    overlap = findings(planted(pages))["time overlap"]
    assert (overlap.level, overlap.figures["events"]) == ("note", 1)
    assert "are up to 2 s later than the first test event: requests are not cut" in overlap.meaning
