"""The ``[split]`` of a card: which split, and where its parts begin.

====================  ======================================================================
split                 keys
====================  ======================================================================
``temporal``          shares; or ``valid_from`` and ``test_from`` as moments
``date``              shares; or ``valid_from`` and ``test_from`` as days; ``utc_offset_hours``
``user-temporal``     shares
``user``              shares
``leave-one-out``     none
====================  ======================================================================

Shares are ``train``, ``valid`` and ``test``, 0.8, 0.1 and 0.1 where a card gives neither shares nor
bounds. A moment is a number of seconds since 1970 or a date-time with its offset; a date-time
without one is read in ``utc_offset_hours``, where the card gives that.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Annotated, Any

from pydantic import Field
from pydantic import model_validator as validator

from genrank_cli.data.declare import Frozen
from genrank_cli.errors import one_of, unknown_name

log = logging.getLogger(__name__)

SHARES = ("train", "valid", "test")
BOUNDS = ("valid_from", "test_from")
OFFSET = "utc_offset_hours"
DEFAULT_SHARES = {"train": 0.8, "valid": 0.1, "test": 0.1}
#: split → the keys it takes
KEYS: dict[str, tuple[str, ...]] = {
    "temporal": (*SHARES, *BOUNDS, OFFSET),
    "date": (*SHARES, *BOUNDS, OFFSET),
    "user-temporal": SHARES,
    "user": SHARES,
    "leave-one-out": (),
}
_LATEST = 4_102_444_800.0  # 2100-01-01 in seconds since 1970

Share = Annotated[float, Field(gt=0, lt=1)]


class SplitSpec(Frozen):
    """A split by name, and either the shares of events or the bounds of its parts.

    Moments are kept as ISO date-times in UTC, days as ISO dates. Without ``valid_from`` beside
    ``test_from`` there is no valid part. Raises `ValueError` for a key that the split does not
    take, and for shares or bounds that contradict each other.
    """

    name: str
    train: Share | None = None
    valid: Annotated[float, Field(ge=0, lt=1)] | None = None
    test: Share | None = None
    valid_from: str | None = None
    test_from: str | None = None
    utc_offset_hours: Annotated[float, Field(ge=-14, le=14)] | None = None

    @validator(mode="before")
    @classmethod
    def _resolve(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            return given
        name = one_of("split", given["name"], KEYS)
        fields = {key: value for key, value in given.items() if value is not None}
        _refuse_foreign(name, fields)
        bounds = [key for key in BOUNDS if key in fields]
        if bounds and any(key in fields for key in SHARES):
            raise ValueError(f"give either shares or {' and '.join(bounds)}, not both")
        if bounds == ["valid_from"]:
            raise ValueError("valid_from needs test_from, where the test part begins")
        for key in bounds:
            fields[key] = _bound(name, key, fields[key], fields.get(OFFSET))
        if not bounds and "train" in KEYS[name]:
            fields = DEFAULT_SHARES | fields
        if name == "date":
            fields.setdefault(OFFSET, 0.0)
        return fields

    @validator(mode="after")
    def _check(self) -> SplitSpec:
        shares = [share for share in (self.train, self.valid, self.test) if share is not None]
        if shares and not math.isclose(sum(shares), 1.0, abs_tol=1e-9):
            raise ValueError(f"train + valid + test must be 1, found {sum(shares):g}")
        bounds = self.bounds
        if len(bounds) == 2 and bounds[0] >= bounds[1]:
            raise ValueError(
                f"valid_from ({self.valid_from}) must be earlier than test_from ({self.test_from})"
            )
        return self

    def named(self, name: str) -> SplitSpec:
        """The split ``name`` with those of these keys that it takes too; defaults for the rest.

        Bounds are never taken over: a day is not a moment. Raises `GenrankError` (2) for an
        unknown name.
        """
        if name == self.name:
            return self
        other = SplitSpec(**carried_over(self.model_dump(), name))
        if self.test_from is not None:
            log.info("split %s does not use the bounds of split %s", name, self.name)
        return other

    @property
    def bounds(self) -> tuple[float, ...]:
        """Where valid (if there is one) and test begin, seconds since 1970; () with shares."""
        given = [bound for bound in (self.valid_from, self.test_from) if bound is not None]
        if self.name == "date":
            return tuple(_midnight(day, self.utc_offset_hours or 0.0) for day in given)
        return tuple(datetime.fromisoformat(moment).timestamp() for moment in given)

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, valid and test; raises `ValueError` where bounds take their place."""
        if self.train is None or self.valid is None or self.test is None:
            raise ValueError(f"split {self.name} is not given by shares")
        return self.train, self.valid, self.test

    @property
    def wants_valid(self) -> bool:
        """Whether there is to be a valid part."""
        return len(self.bounds) != 1 and self.valid != 0


def carried_over(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The keys of ``fields`` that split ``name`` takes as they are, and that name.

    Raises `GenrankError` (2) for an unknown name.
    """
    if name not in KEYS:
        raise unknown_name("split", name, KEYS)
    kept = set(KEYS[name]) - (set(BOUNDS) if name != fields.get("name") else set())
    return {key: value for key, value in fields.items() if key in kept} | {"name": name}


def changed(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` of a split with ``changes`` laid over them; what these contradict is left out.

    Another name drops what that split does not take, a share drops the bounds, a bound the shares.
    """
    kept = carried_over(fields, str(changes["name"])) if "name" in changes else dict(fields)
    for given, dropped in ((SHARES, BOUNDS), (BOUNDS, SHARES)):
        if any(key in changes for key in given):
            kept = {key: value for key, value in kept.items() if key not in dropped}
    return kept | dict(changes)


def _refuse_foreign(name: str, fields: Mapping[str, Any]) -> None:
    known = {key for keys in KEYS.values() for key in keys}
    foreign = [key for key in fields if key in known and key not in KEYS[name]]
    if foreign:
        takes = ", ".join(KEYS[name]) or "no key but its name"
        raise ValueError(f"split {name} takes no {foreign[0]}; it takes {takes}")


def _bound(name: str, key: str, value: Any, offset: Any) -> str:
    """A day for ``date``, a moment in UTC for ``temporal``; raises `ValueError`."""
    value = _parsed(key, value)
    is_day = isinstance(value, date) and not isinstance(value, datetime)
    if name == "date":
        if not is_day:
            raise ValueError(f"{key}: split date takes days, such as 2022-05-07, not {value}")
        return str(value.isoformat())
    if is_day:
        raise ValueError(
            f"{key}: {value} is a day; split temporal takes a moment, such as "
            f"{value}T00:00:00+08:00 (or take split date)"
        )
    if isinstance(value, float):
        value = datetime.fromtimestamp(value, UTC)
    elif value.tzinfo is None:
        if not isinstance(offset, int | float):
            raise ValueError(
                f"{key}: {value.isoformat()} has no UTC offset; write {value.isoformat()}Z or "
                f"{value.isoformat()}+08:00, or give utc_offset_hours"
            )
        value = value.replace(tzinfo=timezone(timedelta(hours=offset)))
    if not 0 <= value.timestamp() <= _LATEST:
        raise ValueError(f"{key}: {value.isoformat()} is not between 1970 and 2100")
    return str(value.astimezone(UTC).isoformat())


def _parsed(key: str, value: Any) -> Any:
    """``value`` as a day, a date-time or seconds since 1970."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value) if len(value) == 10 else datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{key}: {value!r} is neither an ISO date nor a date-time") from None
    if isinstance(value, date):  # a date-time is one, too
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key}: {value!r} is neither a date, a date-time nor seconds since 1970")
    if not 0 <= value <= _LATEST:
        reason = f"{key}: {value:.15g} is not between 1970 and 2100 in seconds since 1970"
        looks_so = 0 <= value / 1000 <= _LATEST
        raise ValueError(reason + ("; this looks like milliseconds" if looks_so else ""))
    return float(value)


def _midnight(day: str, offset_hours: float) -> float:
    zone = timezone(timedelta(hours=offset_hours))
    return datetime.combine(date.fromisoformat(day), time(), zone).timestamp()
