"""What `attend` promises apart from its numbers: isolation, invariance, memory, errors."""

from __future__ import annotations

import gc
import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from genrank_cli.attention import (
    BACKEND_NAMES,
    Alibi,
    Mask,
    RelativeBias,
    attend,
    backends,
    resolve_backend,
)
from genrank_cli.attention.blockwise import _PLANS
from genrank_cli.attention.plan import Plan
from genrank_cli.errors import GenrankError
from tests.attention.cases import BIASES, HEADS, NORM, POSITIONS, WIDTH, Case, make_case, run
from tests.attention.test_parity import ACTIVATIONS, MASKS, RAGGED

Options = dict[str, Any]


def call(
    case: Case, mask: Mask, *, bias: Any = None, activation: str = "silu", **change: Any
) -> Any:
    """`attend` in float32, with some arguments changed."""
    arguments: Options = {
        "offsets": case.offsets, "mask": mask, "bias": bias, "activation": activation,
        "scale": WIDTH**-0.5, "norm": NORM, "backend": "blockwise",
    }  # fmt: skip
    q, k, v = (change.pop(name, getattr(case, name).float()) for name in "qkv")
    return attend(q, k, v, **(arguments | change))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("mask", MASKS)
def test_hidden_keys_move_nothing_not_one_bit(mask: str, activation: str) -> None:
    case = make_case(RAGGED)
    visible = torch.block_diag(
        *(case.mask(**MASKS[mask]).dense(case.offsets, s).float() for s in range(len(RAGGED)))
    ).bool()  # [T, T]
    before = call(case, case.mask(**MASKS[mask]), activation=activation)
    for key in range(0, len(visible), 7):
        k, v = case.k.float(), case.v.float()
        k[key], v[key] = 9.0, -7.0
        after = call(case, case.mask(**MASKS[mask]), activation=activation, k=k, v=v)
        moved = (after != before).flatten(1).any(1)  # [T]
        assert torch.equal(moved, visible[:, key]), f"key {key}"


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("mask", MASKS)
def test_hidden_keys_get_no_gradient(mask: str, activation: str) -> None:
    case = make_case(RAGGED)
    row = 20  # a history row of the first sequence
    seen = case.mask(**MASKS[mask]).dense(case.offsets, 0)[row]
    case.grad.zero_()[row] = 1.0
    _, _, dk, dv = run(case, case.mask(**MASKS[mask]), None, activation, dtype=torch.float32)
    for gradient in (dk, dv):
        touched = gradient.flatten(1).any(1)
        assert torch.equal(touched[: len(seen)], seen)
        assert not touched[len(seen) :].any()


@pytest.mark.parametrize("bias", ["rab", "alibi-time"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_sequence_alone_equals_it_in_a_batch(activation: str, bias: str) -> None:
    case, module = make_case(RAGGED), BIASES[bias]()
    assert module is not None
    together = call(case, case.mask(), bias=module(case.position, case.time), activation=activation)
    counts = case.shown.cumsum(0).tolist()
    for s, (first, last) in enumerate(itertools.pairwise(case.offsets.tolist())):
        own = slice(counts[s] - int(case.shown[s]), counts[s])
        alone = Case(
            torch.tensor([0, last - first]), case.history[s : s + 1], case.shown[s : s + 1],
            case.prefix[own], case.group[own],
            *(x[first:last] for x in (case.position, case.time, case.q, case.k, case.v, case.grad)),
        )  # fmt: skip
        places = module(alone.position, alone.time)
        got = call(alone, alone.mask(), bias=places, activation=activation)
        torch.testing.assert_close(got, together[first:last], rtol=0, atol=1e-5)


@pytest.mark.parametrize("candidates", ["isolated", "visible"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_packed_request_equals_it_alone(activation: str, candidates: str) -> None:
    """A request of a packed sample, cut out with the history before it: a grouped sample."""
    case, module = make_case([(50, 21)], per_request=3), RelativeBias(POSITIONS)
    packed = call(
        case, case.mask(candidates=candidates), activation=activation,
        bias=module(case.position, case.time),
    )  # fmt: skip
    for first in range(0, 21, 3):
        prefix = int(case.prefix[first])
        tokens = torch.cat((torch.arange(prefix), torch.arange(50 + first, 53 + first)))
        alone = Case(
            torch.tensor([0, prefix + 3]), torch.tensor([prefix]), torch.tensor([3]),
            case.prefix[first : first + 3], case.group[first : first + 3],
            *(x[tokens] for x in (case.position, case.time, case.q, case.k, case.v, case.grad)),
        )  # fmt: skip
        places = module(alone.position, alone.time)
        mask = alone.mask(candidates=candidates)
        got = call(alone, mask, bias=places, activation=activation)
        torch.testing.assert_close(got, packed[tokens], rtol=0, atol=1e-5)


def test_slices_of_one_projection_need_no_copy_to_be_right() -> None:
    case = make_case(RAGGED)
    wide = torch.cat([x.flatten(1) for x in (case.v, case.v, case.q, case.k)], dim=1).float()
    _, v, q, k = (x.unflatten(-1, (HEADS, -1)) for x in wide.chunk(4, dim=-1))
    assert not q.is_contiguous()
    assert torch.equal(call(case, case.mask(), q=q, k=k, v=v), call(case, case.mask()))
    transposed = q.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(call(case, case.mask(), q=transposed), call(case, case.mask()))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_expanded_gradient(activation: str) -> None:
    case = make_case([(300, 2), (5, 1)])
    v = case.v.float().requires_grad_()
    call(case, case.mask(), v=v, activation=activation).sum().backward()
    case.grad.fill_(1.0)
    right = run(case, case.mask(), None, activation, backend="reference")[3]
    torch.testing.assert_close(v.grad, right.float(), rtol=1e-4, atol=1e-5)


def test_two_runs_are_equal_bit_for_bit() -> None:
    case, module = make_case(RAGGED), BIASES["rab"]()
    first, second = (run(case, case.mask(), module, dtype=torch.float32) for _ in range(2))
    assert all(map(torch.equal, first, second))


def test_layers_of_a_batch_share_one_plan_and_its_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    for name in ("__init__", "remember"):
        monkeypatch.setattr(Plan, name, _counted(getattr(Plan, name), made))
    case = make_case([(300, 10), (3, 2)])
    mask, layers = case.mask(), [RelativeBias(POSITIONS), RelativeBias(POSITIONS)]
    counts = []
    for module in layers:
        call(case, mask, bias=module(case.position, case.time)).sum().backward()
        counts.append(len(made))
    assert counts[0] == counts[1] > 1
    gc.collect()  # those of other tests
    plans = len(_PLANS)
    del mask
    gc.collect()
    assert len(_PLANS) == plans - 1


def _counted(function: Any, calls: list[int]) -> Any:
    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return function(*arguments)

    return counted


@pytest.mark.parametrize("bias", ["rab", "rab-materialized"])
def test_tensors_that_were_written_to_are_read_again(bias: str) -> None:
    case, module = make_case([(20, 0)]), BIASES[bias]()
    assert module is not None
    mask, made = case.mask(), module.double()(case.position, case.time)
    for change in (lambda: mask.stop.fill_(20), lambda: case.time.mul_(50)):
        call(case, mask, bias=made)
        change()
        right = call(case, mask, bias=made, backend="reference")
        torch.testing.assert_close(call(case, mask, bias=made), right, atol=1e-5, rtol=1e-5)


def test_codes_of_other_places_are_not_reused() -> None:
    case, module = make_case(RAGGED), RelativeBias(POSITIONS)
    mask = case.mask()
    call(case, mask, bias=module(case.position, case.time))
    moved = module(case.position + torch.arange(len(case.position)) % 3, case.time)
    right = call(case, mask, bias=moved, backend="reference")
    torch.testing.assert_close(call(case, mask, bias=moved), right, rtol=0, atol=1e-5)


class _Largest(TorchDispatchMode):
    """The most elements of any tensor made."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.elements = max(self.elements, result.numel())
        return result


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_no_tensor_of_length_squared(activation: str) -> None:
    case, module = make_case([(2_000, 10)]), RelativeBias(POSITIONS)
    with _Largest() as largest:
        run(case, case.mask(), module, activation, dtype=torch.float32)
    assert largest.elements <= 300_000 < 2_010**2 / 13


def test_auto_needs_a_compiler_to_be_native(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, name in ((True, "native"), (False, "blockwise")):
        monkeypatch.setattr(backends, "native_available", lambda found=found: found)
        assert resolve_backend("auto") == name in BACKEND_NAMES


def test_unknown_names_are_refused() -> None:
    case = make_case([(3, 1)])
    with pytest.raises(GenrankError, match="unknown attention backend 'blockwize'"):
        call(case, case.mask(), backend="blockwize")
    with pytest.raises(GenrankError, match="unknown activation 'relu'"):
        call(case, case.mask(), activation="relu")
    with pytest.raises(GenrankError, match="norm 0"):
        call(case, case.mask(), norm=0)


def test_arguments_that_do_not_fit_are_refused() -> None:
    case = make_case([(3, 1)])
    case.prefix.fill_(3)
    mask = case.mask()
    with pytest.raises(ValueError, match="one dtype"):
        call(case, mask, k=case.k)
    with pytest.raises(ValueError, match=r"not torch\.int32"):
        call(case, mask, **{name: getattr(case, name).int() for name in "qkv"})
    with pytest.raises(ValueError, match="must be \\[tokens, heads, width\\]"):
        call(case, mask, k=case.k.float()[:2])
    with pytest.raises(ValueError, match="offsets end at 3"):
        call(case, mask, offsets=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="describe the 4 rows, 4 keys and 2 heads"):
        call(case, make_case([(2, 1)]).mask())
    with pytest.raises(ValueError, match="row 3 reaches beyond"):
        call(case, replace(mask, peer_stop=mask.peer_stop + 1))
    with pytest.raises(ValueError, match="row 3 of the mask overlap"):
        call(case, replace(mask, stop=mask.stop + 1))
    with pytest.raises(ValueError, match="row 0 of the mask overlap"):
        call(case, replace(mask, context=mask.context + 1))
    with pytest.raises(ValueError, match="same tokens"):
        call(case, mask, q=case.q.float()[:2])
    with pytest.raises(ValueError, match="describe the 2 rows"):
        call(case, mask, q=case.q.float()[:2], row_offsets=torch.tensor([0, 2]))
    with pytest.raises(ValueError, match="row_offsets end at 2"):
        call(case, mask, row_offsets=torch.tensor([0, 2]))
    with pytest.raises(GenrankError, match="dropout 1"):
        call(case, mask, dropout=1.0)


@pytest.mark.parametrize("backend", ["blockwise", "reference"])
@pytest.mark.parametrize(
    "wrong", ["time", "row_position", "row_time", "position", "slopes", "stop", "values"]
)
def test_tensors_too_short_are_refused(wrong: str, backend: str) -> None:
    """Kernels would read beyond them."""
    case = make_case([(4, 0)])
    bias = Alibi(HEADS)(case.position, case.time, torch.arange(4))
    mask, v = case.mask(), case.v
    if wrong == "slopes":
        bias = replace(bias, tensors=(torch.ones(HEADS + 1),))
    elif wrong == "stop":
        mask = replace(mask, stop=mask.stop[:3])
    elif wrong == "values":
        v = v[:, :, 0]
    else:
        bias = replace(bias, **{wrong: getattr(bias, wrong)[:3]})
    with pytest.raises(ValueError, match=r"must (describe|be)"):
        attend(
            case.q, case.k, v, offsets=case.offsets, mask=mask, bias=bias,
            activation="silu", scale=1.0, norm=1, backend=backend,
        )  # fmt: skip
