"""Ways in which raw files go wrong, each a function of the bytes and a seeded generator."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from random import Random

import polars as pl

Mutation = Callable[[bytes, Random, str], bytes]

CELLS = (
    b"", b" ", b"NaN", b"nan", b"inf", b"-inf", b"null", b"None", b"-1", b"-5", b"0", b"1", b"2",
    b"1e400", b"-1e400", b"99999999999999999999999", b"9223372036854775808",
    b"-9223372036854775809", b"1.5", b"0.1", b"1_000", b"0x1F", b"1,5", b"true", b"False", b"abc",
    b"\xc3\xa9", b"\xff\xfe", b'"', b'"x', b'x"', b'""', b"'", b"\x00", b"1\x002", b"\xd9\xa3",
    b"1714521600", b"1714521600000", b"-1714521600", b"1714521600000000000", b"2024-05-01",
    b"0000-00-00", b"=1+1", b"a" * 50, b"[1,2]", b"1 ", b" 1", b"+1", b"1.", b".5", b"1e3",
    b"007", b"|", b"||", b"\t", b"\\N",
)  # fmt: skip


def _lines(data: bytes) -> list[bytes]:
    return data.split(b"\n")


def _cell(data: bytes, random: Random, separator: str) -> bytes:
    """Another value in one to three cells."""
    lines = _lines(data)
    for _ in range(random.randint(1, 3)):
        row = random.randrange(len(lines))
        cells = lines[row].split(separator.encode())
        cells[random.randrange(len(cells))] = random.choice(CELLS)
        lines[row] = separator.encode().join(cells)
    return b"\n".join(lines)


def _column(data: bytes, random: Random, separator: str) -> bytes:
    """One value in a whole column, header aside."""
    value = random.choice(CELLS)
    return _each_row(
        data, random, separator, lambda cells, at: [*cells[:at], value, *cells[at + 1 :]]
    )


def _each_row(
    data: bytes, random: Random, separator: str, change: Callable[[list[bytes], int], list[bytes]]
) -> bytes:
    lines = _lines(data)
    at = random.randrange(max(1, lines[0].count(separator.encode()) + 1))
    first = random.randint(0, 1)
    joined = separator.encode()
    changed = [
        joined.join(change(line.split(joined), at)) if line else line for line in lines[first:]
    ]
    return b"\n".join(lines[:first] + changed)


def _drop_column(data: bytes, random: Random, separator: str) -> bytes:
    return _each_row(data, random, separator, lambda cells, at: cells[:at] + cells[at + 1 :])


def _double_column(data: bytes, random: Random, separator: str) -> bytes:
    return _each_row(data, random, separator, lambda cells, at: [*cells[: at + 1], *cells[at:]])


def _swap_columns(data: bytes, random: Random, separator: str) -> bytes:
    return _each_row(data, random, separator, lambda cells, at: [*cells[at:], *cells[:at]])


def _short_rows(data: bytes, random: Random, separator: str) -> bytes:
    lines = _lines(data)
    row = random.randrange(len(lines))
    lines[row] = lines[row][: random.randint(0, len(lines[row]))]
    return b"\n".join(lines)


def _rows(data: bytes, random: Random, separator: str) -> bytes:
    """Lines deleted, doubled, moved or emptied."""
    lines = _lines(data)
    row, other = random.randrange(len(lines)), random.randrange(len(lines))
    ways: list[Callable[[], object]] = [
        lambda: lines.pop(row),
        lambda: lines.insert(other, lines[row]),
        lambda: lines.insert(other, b""),
        lambda: lines.reverse(),
        lambda: lines.__delitem__(slice(row, None)),
        lambda: lines.__setitem__(slice(1, None), []),
    ]
    random.choice(ways)()
    return b"\n".join(lines)


def _truncate(data: bytes, random: Random, separator: str) -> bytes:
    return data[: random.randint(0, len(data))]


def _recode(data: bytes, random: Random, separator: str) -> bytes:
    text = data.decode("utf-8", errors="replace") + random.choice(["", "é", "漢字\n"])
    name = random.choice(
        ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "utf-7"]
    )
    return text.encode(name, errors="replace")


def _mark(data: bytes, random: Random, separator: str) -> bytes:
    return random.choice([codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE]) + data


def _ends(data: bytes, random: Random, separator: str) -> bytes:
    return data.replace(
        b"\n", random.choice([b"\r\n", b"\r", b"\r\r\n", b"\n\n", b"\n\r", b"\x0b"])
    )


def _flip(data: bytes, random: Random, separator: str) -> bytes:
    changed = bytearray(data)
    for _ in range(random.randint(1, 8)):
        if changed:
            changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _insert(data: bytes, random: Random, separator: str) -> bytes:
    at = random.randint(0, len(data))
    pieces = [b'"', b"\x00", b"\n", b"\r", separator.encode(), b"\xff", b"'", random.randbytes(20)]
    return data[:at] + random.choice(pieces) * random.randint(1, 3) + data[at:]


def _huge(data: bytes, random: Random, separator: str) -> bytes:
    at = random.randint(0, len(data))
    return data[:at] + random.choice([b"9", b"a", b'"', b" ", b"\n"]) * 200_000 + data[at:]


def _noise(data: bytes, random: Random, separator: str) -> bytes:
    return random.randbytes(random.choice([0, 1, 4, 100, 5_000]))


def _separator(data: bytes, random: Random, separator: str) -> bytes:
    return data.replace(separator.encode(), random.choice([b";", b",", b"\t", b"|", b" ", b"::"]))


def _quotes(data: bytes, random: Random, separator: str) -> bytes:
    """A quote at the start or the end of a cell, without its partner."""
    lines = _lines(data)
    row = random.randrange(len(lines))
    cells = lines[row].split(separator.encode())
    at = random.randrange(len(cells))
    cells[at] = random.choice([b'"' + cells[at], cells[at] + b'"', b'"' + cells[at] + b'"x'])
    lines[row] = separator.encode().join(cells)
    return b"\n".join(lines)


#: What goes wrong in a file of any kind.
BYTES: tuple[Mutation, ...] = (_truncate, _flip, _insert, _huge, _noise, _mark)
#: What goes wrong in a text file; cells, the most telling, more often.
TEXT: tuple[Mutation, ...] = (
    *BYTES, _cell, _cell, _cell, _cell, _column, _drop_column, _double_column, _swap_columns,
    _short_rows, _rows, _recode, _ends, _separator, _quotes,
)  # fmt: skip


def mutate_text(data: bytes, random: Random, separator: str) -> bytes:
    """One mutation, now and then two."""
    for _ in range(random.choice([1, 1, 1, 2])):
        data = random.choice(TEXT)(data, random, separator)
    return data


def mutate_bytes(data: bytes, random: Random) -> bytes:
    return random.choice(BYTES)(data, random, ",")


def mutate_frame(frame: pl.DataFrame, random: Random) -> pl.DataFrame:
    """A column of another type, with other values, doubled under another's name, or gone."""
    name = random.choice(frame.columns)
    column = frame[name]
    rows = len(frame)
    values: list[object] = [None, 0, 1, -1, 2**62, -(2**62), 5, 1_714_521_600]
    floats = [float("nan"), float("inf"), -1.0, 1e300, 0.5, None]
    ways: list[Callable[[], pl.DataFrame]] = [
        lambda: frame.drop(name),
        lambda: frame.with_columns(pl.lit(None).alias(name)),
        lambda: frame.with_columns(pl.col(name).cast(pl.String)),
        lambda: frame.with_columns(pl.col(name).cast(pl.String).cast(pl.Categorical)),
        lambda: frame.with_columns(pl.col(name).cast(pl.String).cast(pl.Binary)),
        lambda: frame.with_columns(pl.concat_list(name)),
        lambda: frame.with_columns(pl.struct(name).alias(name)),
        lambda: frame.with_columns(pl.Series(name, [random.choice(values) for _ in range(rows)])),
        lambda: frame.with_columns(
            pl.Series(name, [random.choice(floats) for _ in range(rows)], dtype=pl.Float64)
        ),
        lambda: frame.with_columns(pl.Series(name, ["", "x", "é\x00"] * rows).head(rows)),
        lambda: frame.with_columns(pl.Series(name, [2**64 - 1] * rows, dtype=pl.UInt64)),
        lambda: frame.with_columns(pl.Series(name, [True, False] * rows).head(rows)),
        lambda: frame.with_columns(
            pl.Series(name, [random.randint(-(2**40), 2**50) for _ in range(rows)]).cast(
                random.choice([pl.Datetime("us"), pl.Datetime("ns"), pl.Datetime("us", "UTC")])
            )
        ),
        lambda: frame.with_columns(pl.Series(name, range(rows)).cast(pl.Date)),
        lambda: frame.with_columns(pl.Series(name, range(rows)).cast(pl.Duration("ms"))),
        lambda: frame.with_columns(pl.Series(name, range(rows)).cast(pl.Decimal(20, 3))),
        lambda: frame.with_columns(column.shuffle(seed=1).alias(random.choice(frame.columns))),
        lambda: frame.head(random.choice([0, 1, 2])),
        lambda: pl.concat([frame, frame]),
        lambda: frame.rename({name: f"{name} "}),
        lambda: frame.with_columns(
            pl.when(pl.int_range(pl.len()) == random.randrange(rows))
            .then(None)
            .otherwise(pl.col(name))
            .alias(name)
        ),
    ]
    return random.choice(ways)()
