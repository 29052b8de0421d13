"""What a broken or missing KuaiRand file is told: its name, the line and the reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genrank_cli.data.sources.widths import uneven
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.kuairand_raw import (
    ITEM_FILE,
    ITEMS,
    LOG,
    LOG_1,
    LOG_2,
    RANDOM_LOG,
    STATISTIC_FILE,
    USER_FILE,
    USERS,
    Row,
    build_kuairand,
    read_kuairand,
    write_categories,
    write_kuairand,
    write_table,
)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The made-up files of KuaiRand-Pure."""
    return write_kuairand(tmp_path / "raw")


def test_one_standard_log_is_needed(raw: Path, home: Path) -> None:
    for file in (LOG_1, LOG_2):
        (raw / file).unlink()
    with pytest.raises(GenrankError, match="none of the standard logs is in") as found:
        build_kuairand(raw)
    assert LOG_1 in found.value.message
    assert found.value.exit_code == ExitCode.DATA
    assert found.value.hint.endswith("https://kuairand.com")


def test_statistics_that_are_asked_for_must_be_there(raw: Path) -> None:
    (raw / STATISTIC_FILE).unlink()
    with pytest.raises(GenrankError, match=rf"no file {STATISTIC_FILE}") as found:
        read_kuairand(raw, statistics=True)
    assert "options.statistics" in found.value.hint


@pytest.mark.parametrize("file", [USER_FILE, ITEM_FILE])
def test_feature_files_are_needed(file: str, raw: Path, home: Path) -> None:
    (raw / file).unlink()
    with pytest.raises(GenrankError, match=f"no file {file} in"):
        build_kuairand(raw)


BAD_CELLS = [
    ("user_id", "x", "user_id 'x' is not a whole number"),
    ("user_id", "-1", "user_id -1 is outside 0 to"),
    ("video_id", "", "video_id '' is not a whole number"),
    ("time_ms", "-5", "time_ms -5 is outside 0 to"),
    ("time_ms", "1649563200000000", "time_ms 1649563200000000 is outside 0 to 4102444800000"),
    ("time_ms", "99999999999999999999", "time_ms 99999999999999999999 is outside"),
    ("time_ms", "1.5e12", "time_ms '1.5e12' is not a whole number"),
    ("is_click", "2", "is_click 2 is outside 0 to 1"),
    ("is_hate", "NaN", "is_hate 'NaN' is not a whole number"),
    ("is_profile_enter", "", "is_profile_enter '' is not a whole number"),
    ("play_time_ms", "NaN", "play_time_ms 'NaN' is not a number"),
    ("play_time_ms", "", "play_time_ms '' is not a number"),
    ("play_time_ms", "-1", "play_time_ms -1 is outside 0 to 2147483647"),
    ("play_time_ms", "1e300", "play_time_ms 1e300 is outside"),
    ("play_time_ms", "inf", "play_time_ms 'inf' is not a number"),
    ("duration_ms", "-20", "duration_ms -20 is outside"),
    ("duration_ms", "long", "duration_ms 'long' is not a number"),
    ("is_rand", "3", "is_rand 3 is outside 0 to 1"),
    ("tab", "1.5", "tab '1.5' is not a whole number"),
    ("tab", "1,1", "expected 19 fields separated by ',', found 20"),
    ("hourmin", "2500", "hourmin 2500 is outside 0 to 2359"),
    ("date", "10", "date 10 is outside"),
]


@pytest.mark.parametrize(
    ("column", "text", "reason"), BAD_CELLS, ids=[f"{c}={t}" for c, t, _ in BAD_CELLS]
)
@pytest.mark.parametrize("file", [LOG_1, LOG_2, RANDOM_LOG])
def test_bad_cell_is_named_by_file_line_and_reason(
    column: str, text: str, reason: str, file: str, raw: Path, home: Path
) -> None:
    lines = (raw / file).read_text().splitlines()
    cells = lines[2].split(",")
    cells[LOG.index(column)] = text
    lines[2] = ",".join(cells)
    (raw / file).write_text("\n".join(lines) + "\n")
    with pytest.raises(GenrankError) as caught:
        build_kuairand(raw)
    assert caught.value.message.startswith(f"{raw / file}, line 3: {reason}")
    assert caught.value.exit_code == ExitCode.DATA
    assert caught.value.hint
    assert not (home / "kuairand-pure").exists()


@pytest.mark.parametrize("file", [LOG_2, USER_FILE, ITEM_FILE])
def test_short_row_is_named(file: str, raw: Path, home: Path) -> None:
    text = (raw / file).read_text().rstrip("\n")
    width = len(text.split("\n")[0].split(","))
    (raw / file).write_text(text.rpartition(",")[0] + "\n")
    number = len(text.split("\n"))
    with pytest.raises(GenrankError) as caught:
        build_kuairand(raw)
    reason = f"expected {width} fields separated by ',', found {width - 1}"
    assert caught.value.message == f"{raw / file}, line {number}: {reason}"


def test_width_of_rows(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    for text, expected in (
        ('a,b,c\n1,,\n"x,y",2,"[1,2)"\n', False),
        ("a,b,c\r\n1,2,3\r\n", False),
        ("a,b,c\n1,2\n1,2,3\n", True),
        ("a,b,c\n1,2,3,4\n", True),
        ("a,b,c\n\n1,2,3\n", False),
    ):
        file.write_text(text, newline="")
        assert uneven(file, 3) == expected


def test_line_end_inside_quotes_is_no_short_row(raw: Path) -> None:
    text = (raw / USER_FILE).read_text()
    (raw / USER_FILE).write_text(text.replace("full_active", '"full\nactive"'))
    users = read_kuairand(raw).users
    assert users is not None
    assert users.collect().sort("user")["field.user_active_degree"].to_list() == [
        "full\nactive",
        None,
    ]


@pytest.mark.parametrize(
    ("file", "row", "reason"),
    [
        (USER_FILE, USERS[0] | {"user_id": "x"}, "user_id 'x' is not a whole number"),
        (USER_FILE, USERS[0] | {"onehot_feat3": "1.5"}, "onehot_feat3 1.5 is not a multiple of 1"),
        (USER_FILE, USERS[0] | {"fans_user_num": "many"}, "fans_user_num 'many' is not a number"),
        (USER_FILE, USERS[0] | {"fans_user_num": "1e99"}, "fans_user_num 1e99 is outside"),
        (ITEM_FILE, ITEMS[0] | {"video_id": ""}, "video_id '' is not a whole number"),
        (ITEM_FILE, ITEMS[0] | {"author_id": "me"}, "author_id 'me' is not a number"),
        (ITEM_FILE, ITEMS[0] | {"video_duration": "inf"}, "video_duration 'inf' is not a number"),
    ],
)
def test_bad_feature_is_named(file: str, row: Row, reason: str, raw: Path) -> None:
    rows = (USERS if file == USER_FILE else ITEMS)[1:]
    write_table(raw / file, [*rows, row])
    with pytest.raises(GenrankError) as caught:
        read_kuairand(raw)
    assert caught.value.message.startswith(f"{raw / file}, line {len(rows) + 2}: {reason}")


def test_twice_listed_video_is_named(raw: Path, home: Path) -> None:
    write_table(raw / ITEM_FILE, [*ITEMS, ITEMS[0]])
    with pytest.raises(GenrankError, match="item 10 is listed twice"):
        build_kuairand(raw)


def test_bad_statistic_and_category_are_named(raw: Path) -> None:
    write_categories(raw)
    file = raw / "kuairand_video_categories.csv"
    file.write_text(file.read_text().replace("1056.0", "sport"))
    reason = "line 2: third_level_category_id 'sport' is not a number"
    with pytest.raises(GenrankError, match=reason):
        read_kuairand(raw)
    file.unlink()
    statistics = raw / STATISTIC_FILE
    statistics.write_text(statistics.read_text().replace("2.5", "inf"))
    with pytest.raises(GenrankError, match="line 3: show_cnt 'inf' is not a number"):
        read_kuairand(raw, statistics=True)


@pytest.mark.parametrize("file", [LOG_1, RANDOM_LOG, USER_FILE, ITEM_FILE])
def test_bytes_that_are_no_text_are_named(file: str, raw: Path, home: Path) -> None:
    with (raw / file).open("ab") as stream:
        stream.write(b"1,\xff\xfe\n")
    with pytest.raises(GenrankError, match=rf"{file}, line \d+: not UTF-8 text"):
        build_kuairand(raw)


@pytest.mark.parametrize("file", [LOG_1, RANDOM_LOG, USER_FILE, ITEM_FILE])
@pytest.mark.parametrize("damage", ["missing", "doubled", "empty"])
def test_bad_header_is_named(file: str, damage: str, raw: Path, home: Path) -> None:
    path = raw / file
    text = path.read_text()
    name = "time_ms" if "log" in file else "onehot_feat3" if "user" in file else "tag"
    other = "hourmin" if "log" in file else "onehot_feat2" if "user" in file else "author_id"
    if damage == "missing":
        path.write_text(text.replace(name, "colour", 1))
        reason = f"line 1: no column '{name}'"
    elif damage == "doubled":
        path.write_text(text.replace(other, name, 1))
        reason = f"line 1: (no column '{other}'|the column '{name}' stands there twice)"
    else:
        path.write_text("")
        reason = "is empty"
    with pytest.raises(GenrankError, match=f"{re.escape(str(path))},? {reason}") as caught:
        build_kuairand(raw)
    assert caught.value.exit_code == ExitCode.DATA


def test_log_without_rows(raw: Path, home: Path) -> None:
    for file in (LOG_1, LOG_2, RANDOM_LOG):
        (raw / file).write_text(",".join(LOG) + "\n")
    with pytest.raises(GenrankError, match="the source holds no events"):
        build_kuairand(raw)


def test_unknown_option_lists_the_known(raw: Path) -> None:
    with pytest.raises(GenrankError, match="options of dataset kuairand-pure: videos") as found:
        read_kuairand(raw, videos=True)
    assert found.value.hint == "options of source 'kuairand': statistics, music"
