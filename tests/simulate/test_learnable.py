"""The default feed rewards what a sequential ranker can see, and far less what a rate can.

The features are hand-made and the learner is boosted trees: an upper bound on no one, but proof
that the lift is there to be learnt from earlier requests alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from genrank_cli.simulate.config import FeedConfig
from genrank_cli.simulate.tables import generate

Floats = NDArray[np.float64]
HALF_LIVES_S = np.array([1, 3, 12, 48, 1e9]) * 3600
DIN_EVENTS = 50


@dataclass(frozen=True)
class Exposures:
    """Columns of the default feed, [E] each, and which rows come before the last tenth of time."""

    columns: dict[str, NDArray[np.int64]]
    time: Floats
    truth: Floats
    train: NDArray[np.bool_]

    def share(self, score: Floats) -> float:
        """Share of the reachable lift on the last tenth."""
        late = ~self.train
        click = self.columns["click"][late]
        lift = roc_auc_score(click, score[late]) - 0.5
        return float(lift / (roc_auc_score(click, self.truth[late]) - 0.5))

    def rate(self, name: str, rows: NDArray[np.bool_]) -> Floats:
        """Smoothed log-odds of each value's clicks among `rows`."""
        code, click = self.columns[name], self.columns["click"]
        count = np.bincount(code[rows], minlength=code.max() + 1)
        clicks = np.bincount(code[rows], click[rows], minlength=code.max() + 1)
        rate = (clicks + 20 * click[rows].mean()) / (count + 20)
        return np.asarray(np.log(rate / (1 - rate))[code])

    def rate_of_others(self, name: str) -> Floats:
        """`rate` from the training rows of other folds, so that a row never sees its label."""
        fold = np.random.default_rng(0).integers(8, size=len(self.time))
        out = self.rate(name, self.train)
        for number in range(8):
            rows = self.train & (fold == number)
            out[rows] = self.rate(name, self.train & (fold != number))[rows]
        return out

    def learnt(self, features: list[Floats]) -> float:
        """Share of the reachable lift that boosted trees get from the features."""
        inputs = np.column_stack(features)
        trees = HistGradientBoostingClassifier(
            max_iter=120, learning_rate=0.1, max_leaf_nodes=16, min_samples_leaf=80
        ).fit(inputs[self.train], self.columns["click"][self.train])
        return self.share(trees.predict_proba(inputs)[:, 1])


@pytest.fixture(scope="module")
def exposures() -> Exposures:
    tables = generate(FeedConfig())
    events = tables.events.join(tables.items, on="item", maintain_order="left")
    surface = np.unique(events["context.surface"].to_numpy(), return_inverse=True)[1]
    columns = {name: events[name].to_numpy() for name in ("user", "item", "request")}
    columns |= {
        name: events[f"field.{name}"].to_numpy() for name in ("topic", "author", "duration")
    }
    columns |= {name: events[f"action.{name}"].to_numpy().astype(int) for name in ("click", "like")}
    time = events["timestamp"].to_numpy()
    return Exposures(
        columns | {"surface": surface, "topic on surface": columns["topic"] * 4 + surface},
        time,
        events["truth.click"].to_numpy().astype(float),
        time < np.quantile(time, 0.9),
    )


def standing(exposures: Exposures) -> list[Floats]:
    names = ("user", "item", "author", "topic", "duration", "topic on surface")
    return [exposures.rate_of_others(name) for name in names]


def history(exposures: Exposures) -> tuple[list[Floats], list[Floats]]:
    """What earlier requests say: all of it and fading, and the newest clicks as DIN has them."""
    columns, time = exposures.columns, exposures.time
    topic, click, like = columns["topic"], columns["click"], columns["like"]
    fading = np.zeros((len(time), 4 * len(HALF_LIVES_S)))
    newest = np.zeros((len(time), 2))
    user, now, first = -1, 0.0, 0
    state = np.zeros((3, len(HALF_LIVES_S), topic.max() + 1))
    starts = np.nonzero(np.diff(columns["request"], prepend=-1))[0]
    for start, stop in zip(starts, np.append(starts[1:], len(time)), strict=True):
        rows, recent = slice(start, stop), slice(max(first, start - DIN_EVENTS), start)
        if columns["user"][start] != user:
            user, now, first = int(columns["user"][start]), float(time[start]), int(start)
            recent = slice(start, start)
            state[:] = 0
        state *= 0.5 ** ((time[start] - now) / HALF_LIVES_S)[:, None]
        now = time[start]
        mood = np.tile(state[0].sum(axis=1) - 0.3 * state[1].sum(axis=1), (stop - start, 1))
        fading[rows] = np.hstack([*(kind[:, topic[rows]].T for kind in state), mood])
        newest[rows, 0] = (topic[recent] == topic[rows][:, None]) @ click[recent]
        newest[rows, 1] = click[recent].sum()
        for kind, weight in enumerate((click[rows], np.ones(stop - start), like[rows])):
            state[kind] += np.bincount(topic[rows], weight, minlength=state.shape[2])
    return list(fading.T), list(newest.T)


def test_user_and_item_rates_reach_less_than_half_of_the_lift(exposures: Exposures) -> None:
    early = exposures.time < np.quantile(exposures.time, 0.8)  # the card's training part
    rates = exposures.rate("user", early) + exposures.rate("item", early)
    assert exposures.share(rates) < 0.5


@pytest.mark.slow
def test_history_reaches_most_of_the_lift_and_more_than_untimed_clicks(
    exposures: Exposures,
) -> None:
    fading, newest = history(exposures)
    with_time = exposures.learnt(standing(exposures) + fading)
    untimed = exposures.learnt(standing(exposures) + newest)
    assert with_time > 0.92
    assert untimed < with_time - 0.1


def test_the_oracle_is_neither_perfect_nor_weak(exposures: Exposures) -> None:
    late = ~exposures.train
    oracle = roc_auc_score(exposures.columns["click"][late], exposures.truth[late])
    assert 0.8 < oracle < 0.9
    assert 150_000 < len(late) < 250_000
