"""The fused parts of a block against the plain ones: exactness, dropout, whole models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.attention import attend
from genrank_cli.errors import GenrankError
from genrank_cli.models.dropout import Dropout, drop, keep_mask
from genrank_cli.models.fused import cpu
from genrank_cli.models.layer import PLAIN, LayerForm, layer_form, resolve_layer
from genrank_cli.training.loss import candidate_loss
from tests.models.cases import LOG, make_batcher, make_model
from tests.models.fused_cases import assert_as_exact_as, parts_of_a_block

CPU = LayerForm(cpu.project, cpu.update)


@pytest.mark.parametrize("tokens", [0, 1, 5, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_as_exact_as_plain(dtype: torch.dtype, tokens: int) -> None:
    sizes: dict[str, Any] = {"tokens": tokens, "width": 24, "rounded_to": dtype}
    found, plain = (parts_of_a_block(form, dtype, **sizes) for form in (CPU, PLAIN))
    assert_as_exact_as(found, plain, parts_of_a_block(PLAIN, torch.float64, **sizes))


def test_as_exact_as_plain_under_autocast() -> None:
    sizes: dict[str, Any] = {"tokens": 33, "width": 24, "rounded_to": torch.float32}
    found, plain = (
        parts_of_a_block(form, torch.float32, autocast=True, **sizes) for form in (CPU, PLAIN)
    )
    assert_as_exact_as(found, plain, parts_of_a_block(PLAIN, torch.float64, **sizes))


def test_nothing_is_kept_without_gradients() -> None:
    norm, linear = nn.LayerNorm(8), nn.Linear(8, 32)
    x = torch.randn(5, 8)
    kept = x.clone()
    expected = PLAIN.project(x, norm, linear)
    with torch.no_grad():
        found = CPU.project(x, norm, linear)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert torch.equal(x, kept)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.9, 1e-6])
def test_share_and_mean_of_what_dropout_keeps(share: float) -> None:
    torch.manual_seed(0)
    kept, factor = keep_mask(torch.Size((401, 503)), share)
    count = kept.numel()
    spread = 5 * (max(share, 1e-5) / count) ** 0.5
    assert float(kept.double().mean()) == pytest.approx(1 - share, abs=spread + 2**-16)
    rounded = int(share * 2**16) / 2**16
    assert factor == 1 / (1 - rounded)
    # Every quarter of a word drops alike, and neighbours are independent.
    for quarter in range(4):
        part = kept.flatten()[quarter::4].double()
        assert float(part.mean()) == pytest.approx(1 - share, abs=2 * spread + 2**-16)
    if share in (0.3, 0.9):
        some = kept.flatten().double()
        together = float((some[1:] * some[:-1]).mean())
        assert together == pytest.approx((1 - share) ** 2, abs=2 * spread)


def test_dropout_and_its_gradient_share_a_mask_and_follow_the_seed() -> None:
    x = torch.randn(50, 21, requires_grad=True)
    torch.manual_seed(3)
    out = drop(x, 0.4)
    grad = torch.randn_like(x)
    (below,) = torch.autograd.grad(out, x, grad)
    torch.manual_seed(3)
    kept, factor = keep_mask(x.shape, 0.4)
    torch.testing.assert_close(out, x * kept * factor)
    torch.testing.assert_close(below, grad * kept * factor)
    assert not torch.equal(drop(x, 0.4), out)
    assert drop(x, 0.0) is x


def test_dropout_module() -> None:
    x = torch.randn(30, 40)
    cheap, plain = Dropout(0.5, "auto"), Dropout(0.5, "plain")
    torch.manual_seed(1)
    expected = F.dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(plain(x), expected)
    torch.manual_seed(1)
    assert not torch.equal(cheap(x), expected)
    assert torch.equal(cheap.eval()(x), x)
    assert torch.equal(plain.eval()(x), x)
    assert not Dropout(0.5, "fused").state_dict()


def test_update_drops_and_rescales() -> None:
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(16), nn.Linear(16, 16)
    x, attended, u = torch.randn(3, 40, 16)
    for form in (PLAIN, CPU):
        whole = form.update(x, attended, u, norm, linear, 0.0) - x
        drawn = torch.stack(
            [form.update(x, attended, u, norm, linear, 0.3) - x for _ in range(600)]
        )
        assert drawn.std(dim=0).min() > 0
        assert (drawn.mean(dim=0) - whole).abs().max() < 0.25


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("name", ["hstu", "genrank", "hstu-softmax"])
def test_whole_models_are_equal(name: str, dropout: float) -> None:
    """The same weights from the same seed, the same names, outputs and gradients."""
    batcher = make_batcher(LOG)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    models: list[Any] = [
        make_model(name, LOG, layer=layer, dropout=dropout) for layer in ("plain", "fused")
    ]
    weights = [model.state_dict() for model in models]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    if dropout == 0:
        for model in models:
            model.train()
    losses = [
        candidate_loss(model(batch), batch.labels, ("binary", "regression")) for model in models
    ]
    torch.testing.assert_close(*losses, atol=1e-6, rtol=1e-6)
    grads = [
        torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
        for loss, model in zip(losses, models, strict=True)
    ]
    for mine, other in zip(*grads, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine.to_dense(), other.to_dense(), atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("layer", ["plain", "fused"])
def test_training_is_reproducible_and_drops(layer: str) -> None:
    batcher = make_batcher(LOG)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    model = make_model("hstu", LOG, layer=layer, dropout=0.3).train()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(model(batch))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_attention_dropout() -> None:
    batcher = make_batcher(LOG)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    model: Any = make_model("hstu", LOG, attention={"dropout": 0.5})
    without = make_model("hstu", LOG)
    assert torch.equal(model(batch), without(batch))  # not in evaluation
    model.train()
    outputs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outputs.append(model(batch))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_every_block_and_step_drops_other_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    batcher = make_batcher(LOG)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    model = make_model("hstu", LOG, attention={"dropout": 0.5}).train()
    seeds = []

    def watched(*args: Any, **options: Any) -> Tensor:
        seeds.append(options["seed"])
        return attend(*args, **options)

    monkeypatch.setattr("genrank_cli.models.block.attend", watched)
    model(batch)
    model(batch)
    assert len(set(seeds)) == 4  # two blocks, two steps


def test_which_form_is_taken() -> None:
    assert resolve_layer("auto", "cpu") == "fused"
    assert resolve_layer("auto", "meta") == "plain"
    assert resolve_layer("plain", "cuda") == "plain"
    assert layer_form("plain", torch.device("cpu")) == PLAIN
    assert layer_form("auto", torch.device("cpu")) == CPU
    with pytest.raises(GenrankError, match="layer fused on meta: only CPU and CUDA"):
        resolve_layer("fused", "meta")
    with pytest.raises(GenrankError, match="unknown layer 'fusde'") as caught:
        resolve_layer("fusde", "cpu")
    assert "fused" in caught.value.hint


def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrank_cli.models.layer._has_triton", lambda: False)
    assert resolve_layer("auto", "cuda") == "plain"
    with pytest.raises(GenrankError, match="layer fused on cuda: Triton is not installed"):
        resolve_layer("fused", "cuda")
