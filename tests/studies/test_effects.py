"""A study finds an effect that was planted in the feed, and does not find one that was not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card, override
from genrank_cli.studies.ablate import Request, plan, run_study
from tests.studies.cases import study

#: Only the swing of an item's appeal is not told by the item's fields; users stand still.
STILL = {"interest": {"strength": 0}, "mood": {"strength": 0}, "fatigue": {"strength": 0}}
WORLD: dict[str, Any] = {"users": 500, "items": 200, "quality": 0, "content": {"strength": 0}}
WINDOWS = {"spans": ["1h", "1d"], "keys": ["item"], "tasks": ["click"]}
SETTINGS: dict[str, Any] = {
    "data": {"samples": {"history": 1, "window": 256}},
    "model": {"width": 8, "hidden": [16], "recent": 0, "dropout": 0.0},
    "training": {"epochs": 2, "batch_events": 1024},
}
VARIANTS = [
    {"name": "without", "preset": "dlrm", "set": {"model.features.windows": False}},
    {"name": "with", "preset": "dlrm", "needs": ["windows"]},
]


def gain(swing: float, folder: Path, monkeypatch: pytest.MonkeyPatch) -> float:
    """AUC with window statistics minus AUC without, of a DLRM that sees no history."""
    monkeypatch.setenv("GENRANK_HOME", str(folder))
    options = WORLD | STILL | {"popularity_drift": {"strength": swing, "period_days": 4}}
    build_store(override(load_card("synthetic"), {"options": options, "windows": WINDOWS}))
    planned = plan(
        Request(
            study=study(base="without", variants=VARIANTS, references=[]),
            dataset="synthetic",
            size="tiny",
            seeds=(0,),
            variants=None,
            settings=[SETTINGS],
            rounds=0,
            device="cpu",
            threads=1,
            jobs=1,
            runs=folder / "runs",
            force=False,
        )
    )
    delta = run_study(planned).rows[1].delta_auc
    assert delta is not None
    return delta.mean


@pytest.mark.slow
def test_window_statistics_help_where_items_swing_and_only_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gain(0.8, tmp_path / "swing", monkeypatch) > 0.05
    assert abs(gain(0.0, tmp_path / "still", monkeypatch)) < 0.01
