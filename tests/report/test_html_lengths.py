"""Cost against length of a bench of training steps: a panel a stage, a line a model."""

from __future__ import annotations

import re
from functools import cache

import pytest

from genrank_cli.bench.model.plan import Request, checked
from genrank_cli.bench.model.run import run
from genrank_cli.bench.record import BenchRecord
from genrank_cli.report.html.lengths import lengths

pytestmark = pytest.mark.usefixtures("quick_machine")

MODELS = ("hstu", "genrank")


@cache
def record() -> BenchRecord:
    return run(
        checked(
            Request(
                models=MODELS, size="tiny", seq_lens=(16, 24), batch_size=2, candidates=4,
                threads=1, rounds=2, memory=False,
            )
        )
    )  # fmt: skip


def panels() -> list[tuple[str, str]]:
    """Title and lines of each panel, as its description says them."""
    drawn = lengths(record())
    assert drawn is not None
    return re.findall(r"Time against seq_len, ([^:]*): ([^<\"]*)", drawn)


def test_a_real_record_has_a_panel_a_stage_and_a_line_a_model() -> None:
    assert {"seq_len", "history_events"} <= record().cases[0].labels.keys()
    stages = dict.fromkeys(row.labels["stage"] for row in record().cases[0].rows)
    assert len(stages) > 3
    found = panels()
    assert [title for title, _ in dict.fromkeys(found)] == [*stages]
    lines = {title: set(names.split(", ")) for title, names in found}
    assert lines["step"] == {*MODELS}
    assert set.union(*lines.values()) == {*MODELS}


def test_labels_that_follow_from_the_length_part_nothing() -> None:
    drawn = lengths(record())
    assert drawn is not None
    assert "history_events" not in drawn
    assert drawn.count("step") == drawn.count("attention")


def test_a_label_of_its_own_still_parts_the_cases() -> None:
    more = [
        case.model_copy(update={"name": "more", "labels": case.labels | {"samples": 99}})
        for case in record().cases
    ]
    drawn = lengths(record().model_copy(update={"cases": [*record().cases, *more]}))
    assert drawn is not None
    assert "samples 99, step" in drawn
