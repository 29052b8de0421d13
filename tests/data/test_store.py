"""An opened store: mapped without copies, refused when incomplete, tampering found."""

from __future__ import annotations

import io
import json
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrank_cli.data.card import canonical_hash
from genrank_cli.data.declare import WindowSpec
from genrank_cli.data.invariants import CHECKS, check
from genrank_cli.data.store import FileRecord, Manifest, Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.conftest import BuildTables
from tests.data.raw import events, plain_card


@pytest.fixture
def store(build_tables: BuildTables) -> Store:
    items = pl.DataFrame(
        {
            "item": [1, 2, 3, 4],
            "field.kind": ["x", "y", "x", None],
            "number.length": [0.5, None, 2.0, 3.0],
            "content": [[1.0, 2.0]] * 4,
        },
        schema_overrides={"content": pl.Array(pl.Float32, 2)},
    )
    raw = events(
        **{
            "action.a": [0, 1] * 4,
            "truth.like": [0.25] * 8,
            "context.tab": ["p", "q"] * 4,
            "number.n": [0.5, None] * 4,
            "apart": [False] * 7 + [True],
        }
    )
    windows = WindowSpec(spans=("1h",), keys=("user",))
    return build_tables(raw, items=items, card=plain_card(windows=windows))


def test_columns_have_the_promised_types(store: Store) -> None:
    types = {name: store.column(name).dtype for name in store.columns}
    u32, f32 = np.dtype(np.uint32), np.dtype(np.float32)
    assert types == {
        "user": u32,
        "item": u32,
        "request": u32,
        "actions": u32,
        "context.tab": u32,
        "timestamp": np.dtype(np.float64),
        "task.like": f32,
        "truth.like": f32,
        "number.n": f32,
        "apart": np.dtype(np.uint8),
        "window.user_1h_count": f32,
        "window.user_1h_like": f32,
    }
    assert store.user_offsets.tolist() == [0, 4, 8]
    assert store.user_offsets.dtype == store.request_offsets.dtype == np.int64
    assert store.manifest.truth
    assert store.manifest.content_width == 2


def test_columns_are_read_only(store: Store) -> None:
    with pytest.raises(ValueError, match="read-only"):
        store.column("item")[0] = 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_columns_are_views_of_the_mapped_files(store: Store) -> None:
    for name in store.columns:
        column = store.column(name)
        assert not column.flags.owndata
        address = column.__array_interface__["data"][0]
        file = str((store.path / "events" / f"{name}.npy").resolve())
        bounds = [
            tuple(int(part, 16) for part in line.split()[0].split("-"))
            for line in Path("/proc/self/maps").read_text().splitlines()
            if line.endswith(file)
        ]
        assert any(low <= address < high for low, high in bounds), name
        assert store.column(name) is column


def test_a_store_travels_to_another_process(store: Store) -> None:
    _ = store.column("item"), store.items
    copy = pickle.loads(pickle.dumps(Store(store.path, store.manifest)))
    assert (copy.column("item") == store.column("item")).all()


def test_absent_store(home: Path) -> None:
    with pytest.raises(GenrankError, match="dataset 'ml-1m' is not built") as caught:
        Store.open(home / "ml-1m")
    assert caught.value.hint == "run: genrank data build ml-1m"
    assert caught.value.exit_code == ExitCode.DATA


def _edit(path: Path, change: Callable[[dict[str, object]], None], sign: bool) -> None:
    fields = json.loads((path / "manifest.json").read_text())
    del_checksum = fields.pop("checksum")
    change(fields)
    fields["checksum"] = canonical_hash(fields) if sign else del_checksum
    (path / "manifest.json").write_text(json.dumps(fields))


def test_edited_manifest(store: Store) -> None:
    _edit(store.path, lambda fields: fields.update(actions=["b"]), sign=False)
    with pytest.raises(GenrankError, match="was edited after the build") as caught:
        Store.open(store.path)
    assert caught.value.hint == "run: genrank data build plain --force"


def test_other_build_version(store: Store) -> None:
    _edit(store.path, lambda fields: fields.update(build_version=0), sign=True)
    with pytest.raises(GenrankError, match="has build version 0; this genrank reads 2"):
        Store.open(store.path)


@pytest.mark.parametrize("text", ["", "[1]", "{", "\xff"])
def test_unreadable_manifest(text: str, store: Store) -> None:
    (store.path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(GenrankError, match=r"manifest\.json is not readable"):
        Store.open(store.path)


@pytest.mark.parametrize("file", ["events/item.npy", "users.arrow", "content.npy"])
def test_missing_and_truncated_files(file: str, store: Store) -> None:
    whole = (store.path / file).read_bytes()
    (store.path / file).write_bytes(whole[:-1])
    with pytest.raises(GenrankError, match=f"has {len(whole) - 1} bytes; the manifest says"):
        Store.open(store.path)
    (store.path / file).unlink()
    with pytest.raises(GenrankError, match=f"{file} is missing"):
        Store.open(store.path)


def test_an_intact_store_passes_every_check(store: Store) -> None:
    findings = list(check(store))
    assert [finding.invariant for finding in findings] == list(CHECKS)
    assert not any(finding.detail for finding in findings)


def _set(column: str, row: int, value: float) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        file = path / "events" / f"{column}.npy"
        values = np.load(file)
        values[row] = value
        np.save(file, values)

    return change


def _content(path: Path) -> None:
    content = np.load(path / "content.npy")
    content[0, 0] = np.inf
    np.save(path / "content.npy", content)


def _side(name: str, values: list[object]) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        file = path / "items.arrow"
        table = pl.read_ipc(io.BytesIO(file.read_bytes()))
        changed = pl.Series(name, values, dtype=table[name].dtype)
        table.with_columns(changed).write_ipc(file, compression="uncompressed")

    return change


TAMPERINGS = [
    (_set("user", 5, 0), "users sorted and dense"),
    (_set("user", 7, 2), "users sorted and dense"),
    (_set("item", 0, 4), "items dense"),
    (_set("timestamp", 2, 0.5), "time"),
    (_set("timestamp", 2, np.nan), "time"),
    (_set("timestamp", 7, 1e12), "time"),
    (_set("timestamp", 3, 1e9 + 31), "file hashes"),
    (_set("request", 1, 0), "requests"),
    (_set("request", 4, 3), "requests"),
    (_set("request", 0, 1), "requests"),
    (_set("actions", 0, 2), "actions"),
    (_set("actions", 0, 1), "file hashes"),
    (_set("task.like", 0, 0.5), "labels"),
    (_set("task.like", 0, 1), "file hashes"),
    (_set("truth.like", 0, 2), "truth"),
    (_set("context.tab", 0, 3), "context"),
    (_set("number.n", 0, np.inf), "numbers"),
    (_set("number.n", 0, np.nan), "file hashes"),
    (_set("apart", 0, 2), "apart"),
    (_set("apart", 0, 1), "file hashes"),
    (_set("window.user_1h_count", 7, np.nan), "windows"),
    (_set("window.user_1h_like", 0, -0.5), "windows"),
    (_set("window.user_1h_count", 7, 9), "file hashes"),
    (_content, "content"),
    (_side("id", ["1", "2", "2", "4"]), "side tables"),
    (_side("field.kind", [1, 2, 3, 0]), "side tables"),
    (_side("field.kind", [1, 2, 2, 0]), "file hashes"),
    (_side("number.length", [0.5, np.inf, 2.0, 3.0]), "side tables"),
    (_side("number.length", [0.5, np.nan, 2.0, 4.0]), "file hashes"),
]


@pytest.mark.parametrize(("change", "invariant"), TAMPERINGS)
def test_tampering_is_found_and_named(
    change: Callable[[Path], None], invariant: str, store: Store
) -> None:
    change(store.path)
    # Not opened anew: that would find the other size of a rewritten file.
    broken = [finding for finding in check(store) if finding.detail]
    assert broken[0].invariant == invariant
    assert broken[0].detail


def test_side_tables_are_compared_by_value_not_by_bytes(store: Store) -> None:
    _side("number.length", [0.5, np.nan, 2.0, 3.0])(store.path)
    broken = [finding for finding in check(Store(store.path, store.manifest)) if finding.detail]
    assert broken == []


def test_layout_is_checked_first(store: Store) -> None:
    file = store.path / "events" / "item.npy"
    np.save(file, np.load(file).astype(np.int32))
    findings = list(check(Store.open(store.path)))
    assert len(findings) == 1
    assert findings[0].detail == "events/item.npy holds int32 [8], not uint32 [8]"


def test_a_manifest_signed_again_does_not_hide_a_change(store: Store) -> None:
    _set("actions", 0, 1)(store.path)
    manifest = Store.open(store.path).manifest
    file = "events/actions.npy"
    record = FileRecord(bytes=manifest.files[file].bytes, sha256="0" * 64)
    changed = manifest.model_copy(update={"files": manifest.files | {file: record}})
    changed.write(store.path)
    broken = [finding.invariant for finding in check(Store.open(store.path)) if finding.detail]
    assert broken == ["file hashes", "content hash"]


def test_manifest_survives_the_round_trip(store: Store) -> None:
    fields = json.loads((store.path / "manifest.json").read_text())
    fields.pop("checksum")
    assert Manifest.model_validate(fields) == store.manifest
