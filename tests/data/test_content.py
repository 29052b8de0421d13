"""Content vectors: the right vector for the right item, and errors that say where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction import FeatureHasher

from genrank_cli.data import content
from genrank_cli.data.card import Card, FileSpec
from genrank_cli.data.content import content_vectors
from genrank_cli.data.declare import ContentSpec
from genrank_cli.errors import GenrankError
from tests.data.raw import plain_card

IDS = pl.Series([3, 5, 8, 13])
SPORT = ["决赛进球集锦", "足球比赛进球", "篮球比赛集锦"]
FOOD = ["红烧肉的家常做法", "家常菜的做法教程", "学会红烧肉的做法"]


def card(kind: str, file: str, *, ids: str | None = None, **spec: Any) -> Card:
    files = {"content": FileSpec(path=file)}
    if ids is not None:
        files["ids"] = FileSpec(path=ids)
        spec["ids"] = "ids"
    described = ContentSpec(kind=kind, file="content", **spec)
    return plain_card().model_copy(update={"files": files, "content": described})


def vectors_of(rows: list[list[float] | None], tmp_path: Path, ids: list[Any]) -> np.ndarray:
    frame = pl.DataFrame({"item": ids, "vector": rows}, strict=False)
    frame.write_parquet(tmp_path / "v.parquet")
    return content_vectors(card("column", "v.parquet", column="vector"), tmp_path, IDS)


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_npy_rows_belong_to_the_listed_ids(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "CHUNK", chunk)
    array = np.arange(12.0).reshape(4, 3) + 0.5
    np.save(tmp_path / "v.npy", array)
    (tmp_path / "ids.txt").write_text("8\n99\n3\n13\n")
    found = content_vectors(card("npy", "v.npy", ids="ids.txt"), tmp_path, IDS)
    assert found.dtype == np.float32
    assert found.tolist() == [array[2].tolist(), [0, 0, 0], array[0].tolist(), array[3].tolist()]


def test_npy_without_ids_takes_the_raw_id_as_the_row(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(18, dtype=np.int16).reshape(9, 2))
    found = content_vectors(card("npy", "v.npy"), tmp_path, IDS)
    assert found.tolist() == [[6, 7], [10, 11], [16, 17], [0, 0]]


def test_parquet_lists_and_their_gaps(tmp_path: Path) -> None:
    found = vectors_of([[1.0, 2], None, [5, 6], [7, 8]], tmp_path, [5, 3, 77, 8])
    assert found.tolist() == [[0, 0], [1, 2], [7, 8], [0, 0]]


def test_parquet_with_text_ids(tmp_path: Path) -> None:
    frame = pl.DataFrame({"sku": ["b", "a"], "e": [[1.0], [2.0]]})
    frame.cast({"e": pl.Array(pl.Float32, 1)}).write_parquet(tmp_path / "v.parquet")
    described = card("column", "v.parquet", column="e", id="sku")
    assert content_vectors(described, tmp_path, pl.Series(["a", "b"])).tolist() == [[2], [1]]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_hashed_categories_are_those_of_the_item(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame(
        {
            "item": [5, 3, 99, 8],
            "brand": ["acme", None, "x", "acme"],
            "kind": ["shoe,red", "hat", "y", None],
        }
    )
    if name.endswith("parquet"):
        frame.write_parquet(tmp_path / name)
    else:
        frame.write_csv(tmp_path / name, separator="\t" if name.endswith("tsv") else ",")
    described = card("hash", name, columns=("brand", "kind"), width=16)
    found = content_vectors(described, tmp_path, IDS)
    tokens = [["kind=hat"], ["brand=acme", "kind=shoe,red"], ["brand=acme"], []]
    expected = FeatureHasher(16, input_type="string").transform(tokens).toarray()
    assert np.array_equal(found, expected)
    assert found[3].tolist() == [0] * 16


def test_lists_of_categories_count_one_by_one(tmp_path: Path) -> None:
    frame = pl.DataFrame({"item": [3, 5], "tag": [["a", "b"], ["b"]]})
    frame.write_parquet(tmp_path / "t.parquet")
    found = content_vectors(card("hash", "t.parquet", columns=("tag",)), tmp_path, IDS)
    assert np.abs(found).sum(axis=1).tolist() == [2, 1, 0, 0]


def captions(tmp_path: Path) -> Card:
    rows = [f'{i},"{text}"' for i, text in enumerate(SPORT + FOOD)]
    (tmp_path / "t.csv").write_text("\n".join(["item,caption", *rows, "77,其他", '6,""']) + "\n")
    return card("tfidf", "t.csv", columns=("caption",), width=5)


def test_similar_captions_get_similar_vectors(tmp_path: Path) -> None:
    found = content_vectors(captions(tmp_path), tmp_path, pl.Series(range(8)))
    assert found.shape == (8, 5)
    assert found.dtype == np.float32
    assert not found[6:].any()  # an empty caption, and an item that the file lacks
    norm = found[:6] / np.linalg.norm(found[:6], axis=1, keepdims=True)
    alike = norm @ norm.T
    assert alike[:3, :3].min() > alike[:3, 3:].max()
    assert alike[3:, 3:].min() > alike[:3, 3:].max()


def test_tfidf_is_the_same_again_and_in_any_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    described = captions(tmp_path)
    whole = content_vectors(described, tmp_path, pl.Series(range(8)))
    assert np.array_equal(whole, content_vectors(described, tmp_path, pl.Series(range(8))))
    monkeypatch.setattr(content, "CHUNK", 2)
    pieces = content_vectors(described, tmp_path, pl.Series(range(8)))
    assert np.allclose(whole, pieces, atol=1e-6)


def test_fewer_texts_than_directions_leave_zeros(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("item,caption\n3,abc\n5,abd\n")
    described = card("tfidf", "t.csv", columns=("caption",), width=8)
    found = content_vectors(described, tmp_path, IDS)
    assert found[:2, 0].all()
    assert not found[:, 2:].any()


def refused(described: Card, tmp_path: Path, ids: pl.Series = IDS) -> str:
    with pytest.raises(GenrankError) as caught:
        content_vectors(described, tmp_path, ids)
    assert caught.value.exit_code == 5
    return caught.value.message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_npy_value_that_is_no_single_precision_number(tmp_path: Path, value: float) -> None:
    array = np.zeros((9, 2))
    array[5, 1] = value
    array[4, 0] = np.nan  # of an item that is not in the data
    np.save(tmp_path / "v.npy", array)
    assert f"v.npy, row 6, place 2 of the vector: {value}" in refused(
        card("npy", "v.npy"), tmp_path
    )


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(4), "float64 (4,)"),
        (np.zeros((4, 0)), "width 0"),
        (np.array([["a"]]), "<U1 (1, 1)"),
        (np.array([[None]]), "is not an .npy array"),
    ],
    ids=["flat", "no-width", "text", "objects"],
)
def test_npy_of_another_shape_or_type(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    assert words in refused(card("npy", "v.npy"), tmp_path)


def test_npy_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "v.npy").write_bytes(b"\x93NUMPY")
    assert "is not an .npy array" in refused(card("npy", "v.npy"), tmp_path)
    (tmp_path / "v.npy").write_bytes(b"")
    assert "is not an .npy array" in refused(card("npy", "v.npy"), tmp_path)


def test_npy_and_ids_of_different_lengths(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((3, 2)))
    (tmp_path / "ids.txt").write_text("3\n5\n")
    assert "3 rows, but" in refused(card("npy", "v.npy", ids="ids.txt"), tmp_path)


def test_an_item_listed_twice(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.zeros((3, 2)))
    (tmp_path / "ids.txt").write_text("5\n3\n5\n")
    message = refused(card("npy", "v.npy", ids="ids.txt"), tmp_path)
    assert "ids.txt: item 5 is listed twice, in rows 1 and 3" in message
    (tmp_path / "t.csv").write_text("item,c\n5,a\n3,b\n5,c\n")
    message = refused(card("hash", "t.csv", columns=("c",)), tmp_path)
    assert "t.csv: item 5 is listed twice, in rows 1 and 3" in message


def test_parquet_vectors_of_another_width(tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match=r"row 3: a vector of width 1, those before have 2"):
        vectors_of([[1, 2], [3, 4], [5]], tmp_path, [3, 5, 8])


@pytest.mark.parametrize("gap", [None, float("nan")])
def test_parquet_vector_with_a_gap(tmp_path: Path, gap: float | None) -> None:
    with pytest.raises(GenrankError, match=r"v.parquet, row 2, place 1 of the vector: nan"):
        vectors_of([[1.0, 2], [gap, 4]], tmp_path, [3, 5])  # type: ignore[list-item]


def test_parquet_without_the_column_or_with_another_type(tmp_path: Path) -> None:
    pl.DataFrame({"item": [3], "vec": ["1 2"]}).write_parquet(tmp_path / "v.parquet")
    message = refused(card("column", "v.parquet", column="vector"), tmp_path)
    assert "no column 'vector'" in message
    message = refused(card("column", "v.parquet", column="vec"), tmp_path)
    assert "column 'vec' holds String, not lists of numbers" in message
    (tmp_path / "v.parquet").write_bytes(b"PAR1")
    assert "cannot be read" in refused(card("column", "v.parquet", column="vec"), tmp_path)


@pytest.mark.parametrize("kind", ["hash", "tfidf"])
def test_text_file_with_other_columns_items_or_bad_lines(tmp_path: Path, kind: str) -> None:
    (tmp_path / "t.csv").write_text("item,c\n5,a\n")
    assert "no column 'd'" in refused(card(kind, "t.csv", columns=("d",)), tmp_path)
    assert "content.columns" in refused(card(kind, "t.csv"), tmp_path)
    absent = refused(card(kind, "t.csv", columns=("c",)), tmp_path, pl.Series([1]))
    assert "none of its items" in absent
    (tmp_path / "t.csv").write_text("item,c\n5,a\n3,b,c\n")
    assert "line 3" in refused(card(kind, "t.csv", columns=("c",)), tmp_path)


@pytest.mark.parametrize("kind", ["hash", "tfidf"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_row_with_an_empty_id_is_refused(tmp_path: Path, name: str, kind: str) -> None:
    frame = pl.DataFrame({"item": ["3", None, "5"], "caption": ["ab", "cd", "ef"]})
    if name.endswith("parquet"):
        frame.write_parquet(tmp_path / name)
    else:
        frame.write_csv(tmp_path / name)
    with pytest.raises(GenrankError) as caught:
        content_vectors(card(kind, name, columns=["caption"], width=4), tmp_path, IDS)
    place = "row 2" if name.endswith("parquet") else "line 3"
    assert f"{tmp_path / name}, {place}: item is empty" in str(caught.value)


def test_text_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("item,c\n5,\n3,\n")
    assert "no item of the data has a text in c" in refused(
        card("tfidf", "t.csv", columns=("c",)), tmp_path
    )


def test_absent_file_and_unknown_key(tmp_path: Path) -> None:
    described = card("npy", "v.npy")
    optional = {"content": FileSpec(path="v.npy", optional=True)}
    message = refused(described.model_copy(update={"files": optional}), tmp_path)
    assert "content is made from v.npy, which is absent" in message
    message = refused(described.model_copy(update={"files": {}}), tmp_path)
    assert "the card has no file 'content'" in message
