"""``genrank bench``: options, wrong input, files, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer

from genrank_cli.bench.attention import run as run_module
from genrank_cli.bench.attention.plan import Request
from genrank_cli.bench.record import BenchRecord, LeftOut, Memory, read_record
from genrank_cli.cli.bench.arguments import parse_seconds, parse_share, parse_sizes
from genrank_cli.errors import ExitCode
from tests.bench.small import small_record
from tests.cli.test_main import WATCHED, python
from tests.conftest import Cli

SMALL = (
    *("bench", "attention", "--seq-len", "24", "--batch-size", "2", "--heads", "2"),
    *("--width", "16", "--candidates", "4", "--dtype", "float32", "--rounds", "1"),
    *("--backend", "blockwise,sdpa", "--bias", "none,alibi", "--threads", "1"),
)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """Requests that would have been measured; each gets a record that was measured before."""
    asked: list[Request] = []

    def answer(request: Request, watch: Any) -> BenchRecord:
        asked.append(request)
        watch.warming("case", "row")
        watch.round_done("case", 1, 0.1)
        watch.memory("row")
        return small_record()

    monkeypatch.setattr(run_module, "run", answer)
    return asked


def test_a_real_measurement(cli: Cli, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    done = cli(*SMALL, "-o", str(tmp_path / "r.json"), "--plot", str(tmp_path / "p.svg"))
    torch.set_num_threads(threads)
    assert done.code == 0, done.err
    assert done.out == ""
    record = read_record(tmp_path / "r.json")
    names = [row.name for row in record.cases[0].rows]
    assert names == ["blockwise/none/float32", "blockwise/alibi/float32", "sdpa/float32"]
    assert record.settings["threads"] == 1
    assert (tmp_path / "p.svg").read_text().startswith("<?xml")
    shown = cli("bench", "show", str(tmp_path / "r.json"))
    assert shown.code == 0
    assert "blockwise/alibi/float32" in shown.out
    again = cli("bench", "show", str(tmp_path / "r.json"), "--json")
    assert json.loads(again.out) == json.loads((tmp_path / "r.json").read_text())


def test_options_reach_the_request(cli: Cli, measured: list[Request]) -> None:
    done = cli(
        *("bench", "attention", "--seq-len", "240,480", "--batch-size", "3", "--heads", "4"),
        *("--width", "64,96", "--candidates", "7", "--dtype", "bfloat16", "--bias", "none,rab"),
        *("--backend", "blockwise", "--activation", "softmax", "--rounds", "9"),
        *("--precision", "1%", "--budget", "2m", "--memory", "--memory-len", "512"),
        *("--device", "cpu", "--threads", "2"),
    )
    assert done.code == 0, done.err
    assert measured == [
        Request(
            seq_lens=(240, 480),
            batch_size=3,
            heads=4,
            widths=(64, 96),
            candidates=7,
            dtypes=("bfloat16",),
            biases=("none", "rab"),
            backends=("blockwise",),
            activation="softmax",
            device="cpu",
            threads=2,
            rounds=9,
            precision=0.01,
            budget_s=120.0,
            memory=True,
            memory_len=512,
        )
    ]


@pytest.mark.usefixtures("measured")
def test_the_tables_of_a_pipe_are_markdown(cli: Cli) -> None:
    done = cli("bench", "attention")
    assert done.out.startswith("### Attention: forward and backward")
    assert "| blockwise/rab/float32" in done.out


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("to_file", [False, True], ids=["stdout", "file"])
@pytest.mark.parametrize("form", ["table", "md", "latex", "csv"])
def test_all_tables_or_a_word_of_those_left_out(
    form: str, to_file: bool, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Memory(name="blockwise/none/float32", labels={}, peak_bytes=2**20)
    record = small_record().model_copy(update={"memory": [row], "memory_case": "L24"})
    monkeypatch.setattr(run_module, "run", lambda request, watch: record)
    file = tmp_path / "r.out"
    place = ("-o", str(file)) if to_file else ()
    done = cli("bench", "attention", "--format", form, *place)
    assert done.code == 0, done.err
    text = file.read_text() if to_file else done.out
    assert ("Peak extra memory" in text) == (form != "csv")
    assert ("left out: Peak extra memory" in done.err) == (form == "csv")
    if form == "csv":
        assert len({line.count(",") for line in text.splitlines()}) == 1


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("suffix", ["md", "csv", "tex", "json", "txt"])
def test_every_kind_of_file(suffix: str, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / f"r.{suffix}"
    done = cli("bench", "attention", "-o", str(file))
    assert done.code == 0, done.err
    assert "blockwise/rab/float32" in file.read_text()
    assert f"wrote {file}" in done.err
    assert done.out == ""


WRONG = [
    (("--seq-len", "0"), "'--seq-len': '0' is no whole number above 0"),
    (("--seq-len", "480,,960"), "'' is no whole number"),
    (("--seq-len", "10"), "--candidates 10 leaves no history in 10 tokens"),
    (("--width", "x"), "'x' is no whole number"),
    (("--bias", "rap"), "unknown --bias 'rap'"),
    (("--bias", "rab,rab"), "repeated name"),
    (("--dtype", "float8"), "unknown --dtype"),
    (("--backend", "nativ"), "unknown --backend 'nativ'"),
    (("--activation", "relu"), "'relu'"),
    (("--rounds", "0"), "'--rounds'"),
    (("--precision", "150%"), "no share between 0 and 1"),
    (("--budget", "soon"), "'--budget': 'soon' is no duration"),
    (("--device", "tpu"), "unknown device 'tpu'"),
    (("--json", "--format", "md"), "contradict each other"),
    (("-o", "nowhere/r.json"), "does not exist"),
    (("-o", "r.doc"), "unknown file suffix '.doc'"),
    (("--plot", "nowhere/p.png"), "--plot nowhere/p.png: the folder nowhere does not exist"),
    (("--plot", "p.pdf"), "unknown --plot suffix '.pdf'"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_input_is_refused_at_once(
    arguments: tuple[str, ...], said: str, cli: Cli, measured: list[Request]
) -> None:
    done = cli("bench", "attention", *arguments)
    assert done.code == ExitCode.USAGE
    assert said in done.err
    assert done.out == ""
    assert measured == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there(cli: Cli, measured: list[Request]) -> None:
    done = cli("bench", "attention", "--device", "cuda")
    assert done.code == ExitCode.USAGE
    assert "hint: use --device cpu" in done.err
    assert measured == []


def test_a_dry_run_measures_nothing(cli: Cli, measured: list[Request]) -> None:
    done = cli(*SMALL, "--dry-run", "--memory", "--format", "csv")
    assert done.code == 0
    assert measured == []
    lines = done.out.splitlines()
    assert lines[0] == "case,row,activation,base,model_gflops"
    assert lines[2].startswith("L24-B2-H2-D16-C4,blockwise/alibi/float32,silu,blockwise/none/float")
    assert len(lines) == 4


def test_failed_rows_are_a_partial_result(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    record = small_record()
    left = LeftOut(name="native/rab/float32", reason="it broke", expected=False)
    case = record.cases[0].model_copy(update={"left_out": [left]})
    broken = record.model_copy(update={"cases": [case]})
    monkeypatch.setattr(run_module, "run", lambda request, watch: broken)
    done = cli("bench", "attention")
    assert done.code == ExitCode.PARTIAL
    assert "x L24-B2-H2-D16-C4: native/rab/float32 was left out: it broke" in done.out
    assert "1 rows failed: native/rab/float32: it broke" in done.err


def test_ctrl_c_writes_what_was_finished(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stopped = small_record().model_copy(update={"interrupted": True})
    monkeypatch.setattr(run_module, "run", lambda request, watch: stopped)
    done = cli("bench", "attention", "-o", str(tmp_path / "r.json"))
    assert done.code == ExitCode.INTERRUPTED
    assert "interrupted; what was finished is kept" in done.err
    assert read_record(tmp_path / "r.json").interrupted
    assert "! interrupted" in cli("bench", "show", str(tmp_path / "r.json")).out


def test_ctrl_c_before_anything_was_finished(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(request: Request, watch: Any) -> BenchRecord:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run", stop)
    done = cli("bench", "attention")
    assert done.code == ExitCode.INTERRUPTED
    assert "nothing is kept" in done.err
    assert done.out == ""


def test_show_refuses_what_is_no_record(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = cli("bench", "show", str(tmp_path / "x.json"))
    assert done.code == ExitCode.DATA
    assert "no bench record" in done.err


@pytest.mark.parametrize("changes", [{}, {"cases": []}], ids=["no-over", "no-cases"])
def test_show_names_what_a_damaged_record_lacks(
    changes: dict[str, Any], cli: Cli, tmp_path: Path
) -> None:
    fields = small_record().model_dump(mode="json") | {"bench": "sweep"} | changes
    file = tmp_path / "x.json"
    file.write_text(json.dumps(fields))
    for options in ((), ("--plot", str(tmp_path / "p.svg"))):
        done = cli("bench", "show", str(file), *options)
        assert done.code == ExitCode.DATA
        assert "record of bench 'sweep' is damaged" in done.err


@pytest.mark.parametrize(
    "arguments", [("bench", "--help"), ("bench", "attention", "--help")], ids=" ".join
)
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = python(WATCHED, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_completion_imports_nothing_heavy() -> None:
    words = {"COMP_WORDS": "genrank bench att", "COMP_CWORD": "2"}
    done = python(WATCHED, _GENRANK_COMPLETE="complete_bash", **words)
    assert done.stdout.split() == ["attention"]
    assert done.stderr.splitlines()[-1] == "heavy:"


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1h", 3600)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize(("text", "share"), [("3%", 0.03), ("0.03", 0.03), (".5", 0.5)])
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "0", "-1s", "1d", "0s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="no duration"):
        parse_seconds(text)


def test_sizes_are_given_once_and_print_as_typed() -> None:
    assert parse_sizes("480, 240,480") == (480, 240)
    assert (str(parse_sizes("480,240")), str(parse_seconds("2m")), str(parse_share("3%"))) == (
        "480,240",
        "120s",
        "3%",
    )
