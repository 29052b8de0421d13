"""What a column probably is, from its name and its values. The user has the last word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from genrank_cli.data.init.look import Look, Seen
from genrank_cli.data.sources.moment import EARLIEST, LATEST, SCALES, UNITS

CATEGORIES = 1000  # a text column with more values is no context
USUAL = 0.9  # share of the times that must fit a unit, for the others to be mistakes
WHOLE_CATEGORIES = 50  # the same for integers: more values are a quantity
YES = ("true", "yes", "y", "t")
NO = ("false", "no", "n", "f")

_USER = r"(user|uid|visitor|customer|member|account|viewer|client|buyer|reader|person)s?"
_ITEM = (
    r"(item|iid|video|movie|film|product|article|ad|creative|doc|document|news|photo|song|track"
    r"|sku|asin|post|content|listing|restaurant|hotel|book|note|aid)s?"
)
_ID = r"(_?(id|idx|index|key|no|nr|uuid|hash))?"
_TIME = r"(^|_)(time|timestamp|ts|date|datetime|created|epoch|unix|when)(_|$)|_at$|time$"
_REQUEST = r"(request|req|impression|slate|search|query|page_?view|list)" + _ID
_LABEL = (
    r"click|like|follow|share|comment|forward|hate|buy|bought|purchas|order|cart|conver|view|watch"
    r"|play|finish|complet|label|target|skip|save|fav|subscri|reply|install|download|engag|enter"
    r"|react|response|dismiss|read|seen|open"
)
_EVENT = r"(^|_)(event|action|behaviou?r|interaction|activity|feedback)(_|$)"
_APART = r"(^|_)(rand|random|randomi[sz]ed|explor(e|ation))(_|$)"
_RATING = r"(^|_)(rating|stars|score|grade)(_|$)"
_AFTER = (
    r"(watch|dwell|play|stay|view|read|listen)(ed|ing)?_?(time|ms|s|sec|seconds|duration|ratio)"
)


@dataclass(frozen=True)
class Guess:
    """``role``: user, item, timestamp, request, apart, action, context, number, or empty.

    ``value``: what stands on the card behind the key, as TOML means it (a text or a table);
    ``note``: a few words for the reader.
    """

    seen: Seen
    role: str
    value: str | dict[str, object] = ""
    note: str = ""
    name: str = ""  # what it is called on the card, if not like the column

    @property
    def key(self) -> str:
        """Its name on the card."""
        bare = self.seen.name.removeprefix("is_") if self.role == "action" else self.seen.name
        return self.name or key_of(bare) or "column"


def guess(look: Look) -> list[Guess]:
    """A guess for every column, in the order of the file."""
    user = _best(look.columns, _USER)
    item = _best((seen for seen in look.columns if seen is not user), _ITEM)
    time = _best_time([seen for seen in look.columns if seen not in (user, item)], look)
    found = []
    for seen in look.columns:
        if seen is user or seen is item:
            found.append(_id_guess(seen, "user" if seen is user else "item"))
        elif seen is time:
            found.append(Guess(seen, "timestamp", *_time_value(seen, look)))
        else:
            found += _kinds_of_event(seen) or [_other(seen, look.rows)]
    return found


def named(seen: Seen, role: str) -> bool:
    """Whether the column's name points to the user, item, timestamp or an action."""
    if role in ("user", "item"):
        return _named(seen, _USER if role == "user" else _ITEM) > 0
    return bool(re.search(_TIME if role == "timestamp" else _LABEL, plain(seen.name)))


def plain(name: str) -> str:
    """``userId`` and ``User ID`` as ``user_id``."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def key_of(name: str) -> str:
    """The name as the card writes it: letters, digits and underscores, a letter first."""
    key = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return key if not key or key[0].isalpha() else f"c_{key}"


def time_unit(seen: Seen) -> str | None:
    """The unit in which all values lie between 1990 and 2100, if there is one."""
    if seen.kind not in ("integer", "number") or seen.low is None or seen.high is None:
        return None
    fits = (u for u, s in SCALES.items() if seen.low / s >= EARLIEST and seen.high / s <= LATEST)
    return next(fits, None)


def _best(columns: Iterable[Seen], pattern: str) -> Seen | None:
    """The column whose name says most clearly that it is such an id."""
    ranked = [(_clarity(seen, pattern), seen) for seen in columns]
    best = max(ranked, key=lambda pair: pair[0], default=(0, None))
    return best[1] if best[0] else None


def _clarity(seen: Seen, pattern: str) -> int:
    if seen.kind not in ("integer", "text", "number") or seen.distinct < 2 or seen.missing:
        return 0
    return _named(seen, pattern)


def _named(seen: Seen, pattern: str) -> int:
    name = plain(seen.name)
    if re.fullmatch(pattern + _ID.rstrip("?"), name):
        return 3
    if re.fullmatch(pattern, name):
        return 2
    return 1 if re.search(rf"(^|_){pattern}_(id|uuid|hash|key)$", name) else 0


def _id_guess(seen: Seen, role: str) -> Guess:
    """Whole numbers that int64 does not hold, such as unsigned hashes, are names."""
    bound = max(abs(seen.low or 0), abs(seen.high or 0))
    if bound >= (2.0**63 if seen.kind == "integer" else 1e18):
        note = "too large for a whole number: kept as text"
        return Guess(seen, role, {"column": seen.name, "type": "text"}, note)
    return Guess(seen, role, seen.name)


def _best_time(columns: list[Seen], look: Look) -> Seen | None:
    names = [seen for seen in columns if named(seen, "timestamp") and not seen.missing]
    tests: tuple[Callable[[Seen], bool], ...] = (
        lambda seen: seen in names and time_unit(seen) is not None,
        lambda seen: seen.kind == "date" and not seen.missing,
        lambda seen: time_unit(seen) is not None and not seen.missing,
        lambda seen: seen in names and _usual_unit(seen, look) is not None,
        lambda seen: seen in names and seen.kind == "integer" and (seen.low or 0) >= 0,
    )
    found = (seen for test in tests for seen in columns if test(seen))
    return next(found, None)


def _usual_unit(seen: Seen, look: Look) -> tuple[str, int] | None:
    """The unit of nearly all values, where there is one, and the first row that does not fit."""
    if seen.kind not in ("integer", "number"):
        return None
    values = look.frame[seen.name].cast(pl.Float64, strict=False).to_numpy()
    for unit, scale in SCALES.items():
        fits = (values >= EARLIEST * scale) & (values <= LATEST * scale)
        if USUAL <= fits.mean() < 1:
            return unit, int(fits.argmin())
    return None


def _time_value(seen: Seen, look: Look) -> tuple[str | dict[str, object], str]:
    if seen.kind == "date":
        return {"column": seen.name, "unit": "iso"}, "dates; without a zone they are UTC"
    unit = time_unit(seen)
    if unit is None and (usual := _usual_unit(seen, look)):
        unit, row = usual
        value = look.frame[seen.name][row]
        note = f"{UNITS[unit]}, but not in row {row + 1:,}: {value}. Correct the file"
        return {"column": seen.name, "unit": unit}, note
    if unit is None:
        note = "not between 1990 and 2100 in any unit: taken as seconds from some start"
        return {"column": seen.name, "unit": "s", "relative": True}, note
    first, last = (_day((bound or 0) / SCALES[unit]) for bound in (seen.low, seen.high))
    return {"column": seen.name, "unit": unit}, f"{UNITS[unit]}: {first} to {last}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def _kinds_of_event(seen: Seen) -> list[Guess]:
    """An action for each kind of event, where the log has a row for each that happened."""
    if seen.kind != "text" or not re.search(_EVENT, plain(seen.name)):
        return []
    kinds = [value for value in seen.values if re.search(_LABEL, plain(value)) and "'" not in value]
    note = "a row for each event, one kind of them"
    return [
        Guess(seen, "action", f"{seen.name} == '{kind}'", note, name=key_of(kind)) for kind in kinds
    ]


def _other(seen: Seen, rows: int) -> Guess:
    name = plain(seen.name)
    if seen.kind == "other":
        return Guess(seen, "", note="of a type that cannot be used")
    if seen.distinct <= 1 and seen.kind != "list":
        return Guess(seen, "", note="one value only")
    if (test := _zero_one(seen)) is not None:
        return _flag(seen, name, test)
    if seen.missing and re.search(_LABEL, name) and _zero_one(replace(seen, missing=0.0)):
        return Guess(seen, "", note="a label? Some cells are empty, and a label is never missing")
    if re.fullmatch(_REQUEST, name) and not seen.missing and seen.distinct > 1:
        return Guess(seen, "request", seen.name)
    if re.search(_RATING, name) and seen.low is not None and seen.distinct <= 101:
        at = 4.0 if (seen.high or 0) <= 5 else 0.7 * (seen.high or 0)
        note = "a rating: liked from there on"
        return Guess(seen, "action", f"{seen.name} >= {at:g}", note, name="like")
    if re.search(_AFTER, name):
        return Guess(seen, "", note="known only afterwards: a regression task?")
    return _feature(seen, rows)


def _feature(seen: Seen, rows: int) -> Guess:
    name = plain(seen.name)
    if seen.kind == "date" or time_unit(seen) is not None or re.search(_TIME, name):
        return Guess(seen, "", note="another time")
    if seen.kind == "list":
        return Guess(seen, "", note="a list: fit for a table of users or items")
    if re.search(r"(^|_)(id|uuid|hash)$", name) and seen.distinct > CATEGORIES:
        return Guess(seen, "", note="an id of something else")
    if seen.kind == "number" or (seen.kind == "integer" and seen.distinct > WHOLE_CATEGORIES):
        return Guess(seen, "number", seen.name)
    if seen.distinct <= CATEGORIES and seen.distinct <= max(2, rows / 2):
        return Guess(seen, "context", seen.name)
    return Guess(seen, "", note="too many values for a category")


def _zero_one(seen: Seen) -> str | None:
    """The rule by which the column is 1, if it has two such values and no missing ones."""
    if seen.missing or seen.distinct != 2:
        return None
    if seen.kind == "boolean" or set(seen.values) == {"0", "1"}:
        return seen.name
    low = {value.lower(): value for value in seen.values}
    yes = next((low[word] for word in YES if word in low), None)
    no = next((low[word] for word in NO if word in low), None)
    return f"{seen.name} == '{yes}'" if yes is not None and no is not None else None


def _flag(seen: Seen, name: str, test: str) -> Guess:
    if re.search(_APART, name):
        return Guess(seen, "apart", test, "shown at random: evaluated apart, never trained on")
    if re.search(_LABEL, name):
        return Guess(seen, "action", test)
    return Guess(seen, "", test, "0 or 1, but is it a label or known before?")
