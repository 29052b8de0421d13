"""`genrank models`: what it prints, draws and refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from genrank_cli.models.bias_picture import bias_picture
from genrank_cli.models.describe import drawn_batch
from genrank_cli.models.example import made_up_schema
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.presets import PRESETS, preset
from genrank_cli.models.trace import shape_model
from tests.cli.test_main import WATCHED, python
from tests.conftest import Cli


def test_models_list(cli: Cli) -> None:
    done = cli("models", "list", "--json")
    rows = json.loads(done.out)["rows"]
    assert [row["name"] for row in rows] == list(PRESETS)
    changes = {row["name"]: row["changes"] for row in rows}
    assert "organization=action" in changes["genrank"]
    assert "attention.bias=alibi" in changes["genrank"]


def test_models_describe(cli: Cli) -> None:
    done = cli("models", "describe", "genrank", "--events", "20", "--candidates", "4")
    assert done.code == 0, done.err
    assert "x1+a1 x2+a2 x3+a3 c1+M c2+M" in done.out
    assert "| c2+M    |          3 | ███·█  |" in done.out
    assert "n = 20 history events, m = 4 candidates, T = 24 tokens" in done.out
    assert "the closed form gives the same" in done.out
    assert "attention.bias" in done.out
    assert "next: genrank train --model genrank" in done.err


def test_models_describe_as_json(cli: Cli) -> None:
    options = ("--seq-len", "40", "--set", "model.blocks=4", "--set", "model.width=32")
    done = cli("models", "describe", "hstu", *options, "--json")
    record = json.loads(done.out)
    assert record["config"]["blocks"] == 4
    assert record["load"]["history"] == 20
    assert record["load"]["tokens"] == 50
    assert record["tokens"][:2] == ["x1", "a1"]
    assert record["closed_form_equals_counter"] is True
    assert record["total"]["dense"] == record["torch_counter"]["forward"]
    assert record["parts"]["projections"]["forward_flops"] == 4 * 2 * 50 * 5 * 32**2


def test_models_describe_without_tokens(cli: Cli) -> None:
    assert "target attention" not in cli("models", "describe", "rates").out
    done = cli("models", "describe", "dlrm")
    assert done.code == 0
    assert "Tokens" not in done.out
    assert "2·m·50·" in done.out


def test_models_describe_as_csv_is_the_table_of_parts(cli: Cli) -> None:
    done = cli("models", "describe", "genrank", "--format", "csv")
    assert done.out.splitlines()[0].startswith("part,parameters,forward_flops")


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_mask_is_drawn(cli: Cli, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"mask{suffix}"
    files = [file, tmp_path / f"again{suffix}"]
    for each in files:
        assert cli("models", "describe", "hstu", "--plot", str(each)).code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert len(file.read_bytes()) > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("genrnak",), "did you mean 'genrank'?"),
        (("genrank", "--events", "5", "--seq-len", "10"), "--events and --seq-len say the same"),
        (("genrank", "--requests", "11"), "--requests 11: only 10 candidates and 240 events"),
        (("genrank", "--set", "model.block=hsut"), "did you mean 'hstu'?"),
        (("dlrm", "--plot", "mask.png"), "this model has no tokens and no mask"),
        (("genrank", "--data", "ml-100kk"), "ml-100k"),
        (("genrank", "--plot", "nowhere/mask.png"), "the folder nowhere does not exist"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_errors_name_the_nearest(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    done = cli("models", "describe", *arguments)
    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    "arguments",
    [("models", "list"), ("models", "--help"), ("models", "describe", "--help")],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = python(WATCHED, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_bias_picture_has_a_number_for_each_visible_pair(cli: Cli, tmp_path: Path) -> None:
    files = {}
    for name, pairs in (("hstu", 2 * 35), ("genrank", 14)):
        file = tmp_path / f"{name}.svg"
        done = cli("models", "describe", name, "--plot-bias", str(file), "--json")
        assert done.code == 0, done.err
        files[name] = file.read_text()
        numbers = re.findall(r"<!-- (\d+(?:\.\d+)?) -->", files[name])
        assert len(numbers) == pairs
    assert "bucket" in files["hstu"]
    done = cli("models", "describe", "dlrm", "--plot-bias", str(tmp_path / "x.svg"))
    assert done.code == 2
    assert "no attention bias" in done.err


def test_bias_picture_shows_the_places_that_the_kernels_read() -> None:
    config = preset("hstu", "tiny")
    schema = made_up_schema(20)
    model = shape_model(config, schema)
    assert isinstance(model, GenerativeRanker)
    found = bias_picture(model, drawn_batch(2, schema))
    assert found is not None
    places, buckets = found.codes
    # x1 a1 x2 a2 x3 a3 c1 c2; c1 stands after the first event, c2 after all; an hour is bucket 27.
    assert places[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 2, 6]
    assert buckets[:, 0].tolist() == [0, 0, 27, 27, 29, 29, 27, 30]
    assert torch.equal(places, -places.T)


def test_the_weight_of_an_unknown_task_is_refused(cli: Cli) -> None:
    done = cli("models", "describe", "genrank", "--set", "training.task_weights.foo=2")
    assert done.code == 2
    assert "foo" in done.err
