"""SIM and DIN are their formulas, and what they find goes where it is said to go."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrank_cli.models.modules.slots import Seen
from tests.models.cases import LOG
from tests.models.module_cases import RANKERS, long_batcher, seen_by, whole
from tests.models.module_formulas import (
    LOGS,
    din_interest,
    exactly,
    full_vector,
    linear,
    sim_interest,
    states_and_gates,
    weights_of,
)


@LOGS
@pytest.mark.parametrize("name", ["sim-hard", "sim-tags", "sim-soft"])
@pytest.mark.parametrize("ranker", RANKERS)
def test_sim_is_the_formula(ranker: str, name: str, organization: str) -> None:
    model = exactly(ranker, name)
    batch = whole(long_batcher(LOG, organization))
    with torch.no_grad():
        found = model.extra.interest["sim"](seen_by(model, batch)).numpy()
    expected = [sim_interest(model, batch, t) for t in range(len(batch.rows))]
    assert found == pytest.approx(np.stack(expected), rel=1e-9, abs=1e-12)
    nothing = np.flatnonzero(~np.stack(expected).any(axis=1))
    assert 0 < len(nothing) < len(found)
    assert not found[nothing].any()  # exactly: without finds, SIM says nothing


@LOGS
@pytest.mark.parametrize("ranker", ["hstu", "genrank"])
def test_din_is_the_formula(ranker: str, organization: str) -> None:
    model = exactly(ranker, "din")
    weights = weights_of(model)
    batch = whole(long_batcher(LOG, organization, history=9))
    with torch.no_grad():
        found = model.extra.interest["din"](seen_by(model, batch)).numpy()
    name = "extra.interest.din"
    expected = [
        linear(din_interest(batch, t, weights, f"{name}.attention", 6), weights, f"{name}.project")
        for t in range(len(batch.rows))
    ]
    assert found == pytest.approx(np.stack(expected), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ranker", ["hstu", "genrank"])
@pytest.mark.parametrize(("name", "module"), [("sim-tags", "sim"), ("din", "din")])
def test_an_interest_is_added_to_the_candidates_state(ranker: str, name: str, module: str) -> None:
    model, batch = exactly(ranker, name), whole(long_batcher(LOG))
    with torch.no_grad():
        interest = model.extra.interest[module](seen_by(model, batch)).numpy()
    states, _, _ = states_and_gates(model, batch)
    del model.extra.interest[module]
    plain, _, _ = states_and_gates(model, batch)
    assert interest.any()
    assert states - plain == pytest.approx(interest, rel=1e-9, abs=1e-12)


def test_an_interest_joins_the_input_of_the_dlrm() -> None:
    model, batch = exactly("dlrm", "sim-tags"), whole(long_batcher(LOG))
    weights = weights_of(model)
    states, _, _ = states_and_gates(model, batch)
    for t in range(0, len(batch.rows), 7):
        own = full_vector(batch, "candidates", t, weights)
        interest = din_interest(batch, t, weights, "attention", 6)
        found = sim_interest(model, batch, t)
        expected = np.concatenate((own, interest, own * interest, found))
        assert states[t] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_what_is_seen_of_candidates_is_theirs() -> None:
    model, batch = exactly("genrank", "ppnet"), whole(long_batcher(LOG, "grouped"))
    seen = Seen.of(batch, model.event, model.action)
    samples = np.repeat(np.arange(batch.samples), batch.candidate_lengths.numpy())
    assert seen.sample.tolist() == samples.tolist()
    assert seen.prefix is batch.prefix
    assert seen.events is batch.candidates
