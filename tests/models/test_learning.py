"""Gradients reach every weight, in large tables as in small ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrank_cli.training.loss import candidate_loss
from tests.models.cases import LOG, MODELS, make_batcher, make_model

KINDS = ("binary", "regression")


@pytest.mark.parametrize("name", MODELS)
def test_a_gradient_reaches_every_weight(name: str) -> None:
    model, batcher = make_model(name, LOG).train(), make_batcher(LOG)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    candidate_loss(model(batch), batch.labels, KINDS).backward()
    untouched = {
        path
        for path, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.to_dense().any()
    }
    # Interleaved candidates hold no masked action: doubled or not, nothing sees a token of it.
    interleaved = name.startswith(("hstu", "softmax"))
    assert untouched == ({"masked"} if interleaved else set())


@pytest.mark.parametrize("name", ["hstu", "genrank", "dlrm"])
def test_large_tables_get_the_gradient_of_small_ones(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grads, weights = [], make_model(name, LOG).state_dict()
    for rows in (100_000, 3):
        monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", rows)
        model, batcher = make_model(name, LOG), make_batcher(LOG)
        model.load_state_dict(weights)  # large tables draw no first numbers
        batch = batcher.batch(np.arange(len(batcher.samples)))
        candidate_loss(model(batch), batch.labels, KINDS).backward()
        grads.append({path: p.grad for path, p in model.named_parameters() if p.grad is not None})
    dense, sparse = grads
    assert dense.keys() == sparse.keys()
    assert any(grad.is_sparse for grad in sparse.values())
    for path, grad in dense.items():
        torch.testing.assert_close(sparse[path].to_dense(), grad, rtol=1e-4, atol=1e-6)
