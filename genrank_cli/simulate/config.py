"""The parameters of the synthetic feed: one frozen tree, every effect with its own strength.

Strengths are standard deviations or steps on the logit scale of a click; 0 removes the term. The
formulas are in the docstring of `genrank_cli.simulate`.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DURATIONS_S = (7, 15, 30, 45, 60, 90, 150, 300)
"""Item durations in seconds; each is one value of the item field `duration`."""

SURFACES = ("home", "related", "following")
"""Values of the context column `surface`, most frequent first."""

SURFACE_SHARE = (0.5, 0.3, 0.2)

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Taste(_Part):
    """Standing taste over topics. `segment_share`: its variance that users of a segment share."""

    strength: float = Field(0.25, ge=0)
    segments: int = Field(4, ge=1)
    segment_share: float = Field(0.5, ge=0, le=1)


class Interest(_Part):
    """Drifting interest: raised by clicks and, `like_gain` times more, by likes; it fades."""

    strength: float = Field(2.4, ge=0)
    half_life_h: float = Field(48.0, gt=0)
    like_gain: float = Field(0.5, ge=0)


class Mood(_Part):
    """How inclined the user is to click at all: raised by clicks, lowered by the rest; it fades."""

    strength: float = Field(1.0, ge=0)
    half_life_h: float = Field(5.0, gt=0)


class Fatigue(_Part):
    """Topic fatigue: every exposure of a topic lowers it, time restores it."""

    strength: float = Field(0.3, ge=0)
    half_life_h: float = Field(2.0, gt=0)


class Content(_Part):
    """The part of an item's appeal that its content vector reveals, and that vector's shape."""

    strength: float = Field(0.12, ge=0)
    width: int = Field(16, ge=0)
    noise: float = Field(0.3, ge=0)


class PopularityDrift(_Part):
    """Every item's appeal swings over the calendar with a phase of its own."""

    strength: float = Field(0.1, ge=0)
    period_days: float = Field(8.0, gt=0)


class Like(_Part):
    """Likes given a click: `rate` at an exposure of average click logit; `slope` of affinity."""

    rate: float = Field(0.25, gt=0, lt=1)
    slope: float = Field(0.7)


class Dwell(_Part):
    """Seconds given a click: `completion` at an average logit; `noise`: log standard deviation."""

    completion: float = Field(0.5, gt=0, lt=1)
    slope: float = Field(0.6)
    noise: float = Field(0.5, ge=0)


class FeedConfig(_Part):
    """A world and how much of it is shown. Sizes, then base rate, then effects.

    `requests` is the mean number of requests per user, spread log-normally by `activity_spread`;
    a request shows `candidates[0]` to `candidates[1]` items. The click intercept is calibrated so
    that the mean click probability is `click_rate` whichever effects are on.
    """

    seed: int = Field(0, ge=0)
    users: int = Field(1800, ge=1)
    items: int = Field(1000, ge=1)
    requests: float = Field(16.0, ge=2)
    days: float = Field(10.0, ge=1)
    start: float = Field(1_700_000_000.0, ge=0)
    topics: int = Field(8, ge=1)
    authors: int = Field(120, ge=1)
    candidates: tuple[int, int] = (4, 12)
    activity_spread: float = Field(0.5, ge=0)
    session_requests: float = Field(5.0, ge=1)
    exposure_spread: float = Field(0.5, ge=0)

    click_rate: float = Field(0.3, gt=0, lt=1)
    user_bias: float = Field(0.15, ge=0)
    author: float = Field(0.25, ge=0)
    duration: float = Field(0.25, ge=0)
    quality: float = Field(0.1, ge=0)
    context: float = Field(0.25, ge=0)
    new_items: float = Field(0.3, ge=0, le=0.9)
    taste: Taste = Taste()
    interest: Interest = Interest()
    mood: Mood = Mood()
    fatigue: Fatigue = Fatigue()
    content: Content = Content()
    popularity_drift: PopularityDrift = PopularityDrift()
    like: Like = Like()
    dwell: Dwell = Dwell()

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        fewest, most = self.candidates
        if not 1 <= fewest <= most:
            raise ValueError(f"candidates must be 1 ≤ fewest ≤ most, got {list(self.candidates)}")
        at_start = int(self.items * (1 - self.new_items))
        if at_start < 4 * most:
            raise ValueError(
                f"items = {self.items} leaves {at_start} items at the start; requests of up to "
                f"{most} candidates need at least {4 * most}"
            )
        return self
