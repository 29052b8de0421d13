"""``genrank bench peers``: the same formula, absent ones named, adapters of absent packages."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genrank_cli.__main__ import main
from genrank_cli.attention import attend
from genrank_cli.bench.attention.plan import Shape
from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.peers import meta
from genrank_cli.bench.peers import run as run_module
from genrank_cli.bench.peers.plan import Request, checked
from genrank_cli.bench.peers.registry import PEERS, Peer
from genrank_cli.bench.peers.run import TOLERANCE, difference, run, spec
from genrank_cli.bench.peers.tensors import Tensors
from genrank_cli.bench.record import BenchRecord
from genrank_cli.errors import GenrankError
from genrank_cli.report.bench_peers import absent_table, plot, rows_table, tables

pytestmark = pytest.mark.usefixtures("quick_machine")

SMALL: dict[str, Any] = {
    "seq_lens": (12,), "batch_size": 2, "heads": 2, "width": 8, "threads": 1, "rounds": 2,
}  # fmt: skip
HERE = [name for name in PEERS if "meta" not in name.split("/")[1] or PEERS[name].ours]
HERE = [name for name in HERE if name not in ("attention/flex", "layer/transformers")]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return Tensors(Shape(12, 2, 2, 8, 0), "float32", "cpu")


@cache
def record() -> BenchRecord:
    return run(checked(Request(**SMALL)))


@pytest.mark.parametrize("name", HERE)
def test_a_peer_computes_the_formula_of_its_reference(name: str, tensors: Tensors) -> None:
    peer = PEERS[name]
    assert difference(peer.make(tensors), peer.reference(tensors)) < TOLERANCE["float32"]


def test_the_comparison_of_formulas_can_fail(tensors: Tensors) -> None:
    sdpa, silu = PEERS["attention/sdpa"], PEERS["attention/ours-silu"]
    assert difference(sdpa.make(tensors), silu.reference(tensors)) > 0.1
    off = PEERS["layer/torch"].make(tensors)
    with torch.no_grad():
        off.weights[0].mul_(1.01)
    reference = PEERS["layer/torch"].reference(tensors)
    assert difference(off, reference) > TOLERANCE["float32"]


def test_a_wrong_gradient_alone_is_seen(tensors: Tensors) -> None:
    made = PEERS["attention/sdpa"].make(tensors)
    made.grad[0] *= 1.01
    reference = PEERS["attention/sdpa"].reference(tensors)
    assert difference(made, reference) > TOLERANCE["float32"]


def other_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold SDPA against a formula that it does not compute."""
    sdpa = PEERS["attention/sdpa"]
    other = Peer(sdpa.what, sdpa.make, sdpa.base, PEERS["attention/ours-silu"].reference)
    monkeypatch.setitem(PEERS, "attention/sdpa", other)


def test_a_peer_that_computes_something_else_misses_its_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other_formula(monkeypatch)
    found = run(checked(Request(**SMALL, peers=("attention/sdpa",))))
    verdicts = {x.id: x.verdict for x in found.checks}
    assert verdicts["formula.attention/sdpa"] is Verdict.MISSED
    assert verdicts["formula.attention/ours-softmax"] is Verdict.MET


def test_a_peer_of_another_formula_is_marked_in_the_table_and_in_the_plot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other_formula(monkeypatch)
    found = run(checked(Request(**SMALL, peers=("attention/sdpa",))))
    marks = {row[0]: row[2] for row in rows_table(found).rows}
    assert marks == {"attention/ours-softmax": "+ the same", "attention/sdpa": "x another"}
    drawn = plot(found, tmp_path / "peers.svg")[0].read_text()
    assert "attention/sdpa (x another formula)" in drawn
    assert "attention/ours-softmax (" not in drawn


def test_a_formula_that_cannot_be_compared_loses_no_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(tensors: Tensors) -> Any:
        raise RuntimeError("no such reference")

    sdpa = PEERS["attention/sdpa"]
    monkeypatch.setitem(PEERS, "attention/sdpa", Peer(sdpa.what, sdpa.make, sdpa.base, broken))
    found = run(checked(Request(**SMALL, peers=("attention/sdpa",))))
    check = next(x for x in found.checks if x.id == "formula.attention/sdpa")
    assert (check.verdict, check.reason) == (Verdict.NOT_TESTABLE, "no such reference")
    assert [row[2] for row in rows_table(found).rows] == ["+ the same", "? not compared"]


def test_rounds_that_took_much_longer_are_told() -> None:
    case = record().cases[0]
    row = case.rows[0].model_copy(update={"outliers": 2})
    made = record().model_copy(update={"cases": [case.model_copy(update={"rows": [row]})]})
    notes = rows_table(made).notes
    assert any(f"over 1.5× their median, kept: {row.name} 2" in note for note in notes)


def test_what_cannot_be_imported_is_named_and_no_failure() -> None:
    found = record()
    reasons = {left.name: left.reason for left in found.cases[0].left_out}
    if "layer/meta" in reasons:
        assert "No module named" in reasons["layer/meta"]
    assert not found.failures
    ran = {row.name for row in found.cases[0].rows}
    assert ran | {*reasons} == {*PEERS}
    assert ran >= {*HERE}
    if reasons:
        assert [row[1] for row in absent_table(found).rows] == [*reasons]


def test_one_of_ours_that_cannot_run_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tensors: Tensors) -> Any:
        raise RuntimeError("no such kernel")

    ours = PEERS["attention/ours-softmax"]
    monkeypatch.setitem(
        PEERS, "attention/ours-softmax",
        Peer(ours.what, broken, ours.base, ours.reference, ours=True),
    )  # fmt: skip
    found = run(checked(Request(**SMALL, peers=("attention/sdpa",))))
    assert [x.name for x in found.failures] == ["attention/ours-softmax"]


def fake_attention(**given: Any) -> Tensor:
    """What Meta's operator promises, by our reference."""
    from genrank_cli.attention import packed_mask

    offsets = given["seq_offsets"]
    lengths, none = offsets.diff(), torch.zeros(0, dtype=torch.int64)
    return attend(
        given["q"], given["k"], given["v"], offsets=offsets, bias=None, activation="silu",
        mask=packed_mask(lengths, torch.zeros_like(lengths), none, none), scale=given["alpha"],
        norm=given["max_seq_len"], backend="reference",
    )  # fmt: skip


class FakeLayer(nn.Module):
    """A layer with the names and shapes of Meta's, by its published formula."""

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        d, heads = config.embedding_dim, config.num_heads
        inner = heads * config.hidden_dim
        self.config = config
        shapes = {
            "_uvqk_weight": (d, 2 * inner + 2 * heads * config.attention_dim),
            "_uvqk_beta": (2 * inner + 2 * heads * config.attention_dim,),
            "_input_norm_weight": (d,), "_input_norm_bias": (d,), "_output_weight": (3 * inner, d),
            "_output_norm_weight": (inner,), "_output_norm_bias": (inner,),
        }  # fmt: skip
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))

    def set_hammer_kernel(self, kernel: str) -> None:
        assert kernel == "PYTORCH"

    def forward(self, x: Tensor, x_offsets: Tensor, max_seq_len: int, **_: Any) -> Tensor:
        p = dict(self.named_parameters())
        norm = nn.functional.layer_norm
        d = (x.shape[1],)
        normed = norm(x, d, p["_input_norm_weight"], p["_input_norm_bias"], 1e-6)
        u, v, q, k = (normed @ p["_uvqk_weight"] + p["_uvqk_beta"]).chunk(4, -1)
        u = nn.functional.silu(u)
        split = (y.unflatten(-1, (self.config.num_heads, -1)) for y in (q, k, v))
        q, k, v = split
        a = fake_attention(
            q=q, k=k, v=v, seq_offsets=x_offsets, alpha=q.shape[-1] ** -0.5, max_seq_len=max_seq_len
        ).flatten(1)
        y = norm(a, d, p["_output_norm_weight"], p["_output_norm_bias"], 1e-6) * u
        return x + torch.cat((u, a, y), -1) @ p["_output_weight"]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages that the adapters import, with the entry points that they use."""
    modules: dict[str, dict[str, Any]] = {
        "fbgemm_gpu": {},
        "generative_recommenders": {},
        "generative_recommenders.common": {
            "HammerKernel": SimpleNamespace(PYTORCH="PYTORCH", TRITON="TRITON")
        },
        "generative_recommenders.ops": {},
        "generative_recommenders.ops.hstu_attention": {"hstu_mha": fake_attention},
        "generative_recommenders.modules": {},
        "generative_recommenders.modules.stu": {
            "STULayerConfig": SimpleNamespace, "STULayer": FakeLayer,
        },
    }  # fmt: skip
    for name, entries in modules.items():
        module = ModuleType(name)
        vars(module).update(entries)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["attention/meta", "layer/meta"])
def test_the_adapters_of_metas_package_give_it_our_numbers(name: str, tensors: Tensors) -> None:
    peer = PEERS[name]
    assert difference(peer.make(tensors), peer.reference(tensors)) < TOLERANCE["float32"]


@pytest.mark.usefixtures("installed")
def test_metas_triton_kernels_run_on_cuda_only(tensors: Tensors) -> None:
    assert meta._kernel(tensors) == "PYTORCH"
    on_cuda = SimpleNamespace(device="cuda:0")
    assert meta._kernel(on_cuda) == "TRITON"  # type: ignore[arg-type]


def test_flops_are_the_formulas(tensors: Tensors) -> None:
    cells = 2 * 12 * 13 // 2
    assert spec("attention/sdpa", PEERS["attention/sdpa"], tensors).flops == {
        "forward": 4 * cells * 16, "backward": 8 * cells * 16,
    }  # fmt: skip
    layer = spec("layer/torch", PEERS["layer/torch"], tensors).flops
    assert layer["forward"] == 4 * cells * 16 + 2 * 24 * 12 * 16**2
    assert layer["backward"] == 2 * layer["forward"]


def test_every_peer_is_held_against_one_of_ours() -> None:
    for peer in PEERS.values():
        assert PEERS[peer.base].ours
        assert PEERS[peer.base].block == peer.block
    chosen = checked(Request(**SMALL, peers=("layer/torch",))).chosen()
    assert chosen == ("layer/ours-transformer", "layer/torch")


def test_the_record_and_its_tables_read() -> None:
    found = record()
    again = BenchRecord.model_validate_json(found.model_dump_json())
    assert again.model_dump_json() == found.model_dump_json()
    rows = {row[0]: row for row in rows_table(found).rows}
    assert rows["layer/torch"][-1] == "layer/ours-transformer"
    assert [x.id for x in found.checks] == [f"formula.{row.name}" for row in found.cases[0].rows]
    assert len(tables(found)) == (3 if found.cases[0].left_out else 2)


def test_the_command_writes_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "peers.json"
    options = "--peer attention/sdpa --seq-len 8 --batch-size 1 --heads 1 --width 8 --rounds 2"
    assert main(["bench", "peers", *options.split(), "--threads", "1", "-o", str(file)]) == 0
    assert json.loads(file.read_text())["bench"] == "peers"
    assert main(["bench", "show", str(file), "--plot", str(tmp_path / "p")]) == 0
    assert "Same formula?" in capsys.readouterr().out
    assert main(["bench", "peers", "--dry-run", "--format", "csv"]) == 0
    assert "layer/transformers" in capsys.readouterr().out


def test_unknown_names_are_refused() -> None:
    with pytest.raises(GenrankError, match="unknown --peer"):
        checked(Request(peers=("attention/spda",)))
    with pytest.raises(GenrankError, match="unknown --dtype"):
        checked(Request(dtype="float64"))


def test_nothing_that_runs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tensors: Tensors) -> Any:
        raise RuntimeError("no such kernel")

    for name in ("attention/ours-softmax", "attention/sdpa"):
        own = PEERS[name]
        monkeypatch.setitem(PEERS, name, Peer(own.what, broken, own.base, own.reference))
    with pytest.raises(GenrankError, match=r"nothing could run: .* no such kernel"):
        run_module.run(checked(Request(**SMALL, peers=("attention/sdpa",))))
