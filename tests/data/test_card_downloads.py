"""What a card may say about downloads."""

from __future__ import annotations

from typing import Any

import pytest

from tests.data.raw import movielens_card


@pytest.mark.parametrize(
    ("download_", "reason"),
    [
        ({"url": "ftp://x/a.zip"}, "url"),
        ({"url": "http://x/"}, "url"),
        ({"url": "http://x/a.rar"}, r"'a.rar' is no archive \(.zip, .tar.gz, .tgz\); a plain file"),
        ({"url": "http://x/a.csv", "file": "none"}, "no file 'none': ratings, items, users"),
        ({"url": "http://x/a.zip", "md5": "abc"}, "md5"),
        ({"url": "http://x/a.zip", "bytes": 0}, "bytes"),
        ({"url": "http://x/..", "file": "users"}, "ends in no file name"),
    ],
)
def test_downloads_that_a_card_refuses(download_: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        movielens_card("100k", downloads=[download_])


def test_more_that_a_card_refuses() -> None:
    one, two = {"url": "http://x/1/a.zip"}, {"url": "http://x/2/a.zip"}
    with pytest.raises(ValueError, match="two downloads have one name"):
        movielens_card("100k", downloads=[one, two])
    for path in ("/etc/u.data", "../u.data"):
        with pytest.raises(ValueError, match="lies in the dataset's own folder"):
            movielens_card("100k", downloads=[one], files={"ratings": {"path": path}})
