"""A finished run scored on the randomly exposed events, which it was never trained on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.metrics import roc_auc_score

from genrank_cli.data import build as building
from genrank_cli.data.card import Card
from genrank_cli.data.sources import RawTables
from genrank_cli.data.splits import Part, assign_split
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.training.config import overlaid
from genrank_cli.training.evaluate import evaluate_run
from genrank_cli.training.run import Cell, run_cell
from tests.data.raw import plain_card
from tests.training.small import CPU, small_config

MODELS = ("genrank", "rates")


def events(apart: float) -> pl.DataFrame:
    """Forty users with thirty events each in the same weeks, a share of them apart."""
    random = np.random.default_rng(0)
    rows = 40 * 30
    return pl.DataFrame(
        {
            "user": np.repeat(np.arange(40), 30),
            "item": random.integers(0, 20, rows),
            "timestamp": 1e9 + np.floor(random.random(rows) * 1e6),
            "task.like": (random.random(rows) < 0.4).astype(np.float32),
            "action.like": random.integers(0, 2, rows).astype(np.uint8),
            "apart": random.random(rows) < apart,
        }
    )


def read_table(table: pl.DataFrame, _card: Card, _raw_dir: Path | None) -> RawTables:
    """A reader of that one table."""
    return RawTables(table.lazy())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Store, Path]]]:
    """Run folders by model, and one of a log in which nothing is apart."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(tmp_path_factory.mktemp("home")))
        done = {}
        for name, share in (("mixed", 0.2), ("usual", 0.0)):
            table = events(share) if share else events(share).drop("apart")
            patch.setattr(building, "read", partial(read_table, table))
            store = building.build_store(plain_card(name)).store
            for model in MODELS if share else ("rates",):
                config = overlaid(small_config(model, epochs=1), {"data": {"dataset": name}})
                cell = Cell(config, 0, store.manifest.data_hash)
                folder = run_cell(cell, store, tmp_path_factory.mktemp("runs"), CPU, threads=1)
                done[model if share else name] = store, Path(folder["folder"])
        yield done
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", MODELS)
def test_random_events_are_those_apart_of_the_test_period(
    model: str, runs: dict[str, tuple[Store, Path]]
) -> None:
    store, folder = runs[model]
    record, table = evaluate_run(folder, part="random", device="cpu", threads=1)
    rows = table["row"].to_numpy()
    assert record["part"] == "random"
    assert (store.column("apart")[rows] == 1).all()
    parts = assign_split(store, store.manifest.split)
    assert rows.tolist() == np.flatnonzero(parts == Part.RANDOM).tolist()
    assert store.column("timestamp")[rows].min() > store.column("timestamp")[parts == 0].max()
    expected = roc_auc_score(table["label.like"].to_numpy(), table["score.like"].to_numpy())
    assert record["metrics"]["like"]["auc"] == pytest.approx(expected)
    for part in ("train", "valid", "test"):
        usual = evaluate_run(folder, part=part, device="cpu")[1]["row"].to_numpy()
        assert not (store.column("apart")[usual] == 1).any()


def test_without_random_events(runs: dict[str, tuple[Store, Path]]) -> None:
    with pytest.raises(GenrankError, match=r"random part of usual .* does not exist") as caught:
        evaluate_run(runs["usual"][1], part="random", device="cpu")
    assert caught.value.exit_code == ExitCode.DATA
    with pytest.raises(GenrankError, match="unknown part of the data 'rndom'"):
        evaluate_run(runs["usual"][1], part="rndom", device="cpu")
