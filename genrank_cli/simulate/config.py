"""The parameters of the synthetic feed: one frozen tree, every effect with its own strength.

A strength is on the logit scale of a click; 0 removes the term. An infinite half-life means that a
state never fades. The formulas are in the docstring of `genrank_cli.simulate`.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

DURATIONS_S = (7, 15, 30, 45, 60, 90, 150, 300)
"""Item durations in seconds; each is one value of the item field `duration`."""

SURFACES = ("home", "related", "following")
"""Values of the context column `surface`, most frequent first."""

SURFACE_SHARE = (0.5, 0.3, 0.2)

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Real = Annotated[float, Field(allow_inf_nan=False)]
Strength = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Hours = Annotated[float, Field(gt=0)]
Days = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Part(BaseModel):
    """Base of the tree: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Taste(Part):
    """Standing taste over topics; `segment_share` of its variance is the user segment's."""

    strength: Strength = 0.25
    segments: Count = 4
    segment_share: Share = 0.5


class Interest(Part):
    """Drifting interest in topics: raised by 1 a click and `like_gain` more a like; it fades."""

    strength: Strength = 2.0
    half_life_h: Hours = 48.0
    like_gain: Strength = 0.5


class Mood(Part):
    """Inclination to click anything: raised by clicks, lowered by exposures without; it fades."""

    strength: Strength = 1.7
    half_life_h: Hours = 3.0


class Fatigue(Part):
    """Topic fatigue: raised by 1 an exposure of the topic; it fades."""

    strength: Strength = 0.4
    half_life_h: Hours = 2.0


class Content(Part):
    """The part of an item's appeal that its content vector reveals, and that vector's shape."""

    strength: Strength = 0.12
    width: Annotated[int, Field(ge=0)] = 16
    noise: Strength = 0.3


class PopularityDrift(Part):
    """Every item's appeal swings over the calendar, each with a phase of its own."""

    strength: Strength = 0.1
    period_days: Days = 8.0


class Like(Part):
    """Likes given a click: `rate` where the click probability is average; `slope` of affinity."""

    rate: Rate = 0.25
    slope: Real = 0.7


class Dwell(Part):
    """Seconds given a click: share watched where the click probability is average, its slope in
    affinity, and the standard deviation of the logarithm around it."""

    completion: Rate = 0.5
    slope: Real = 0.6
    noise: Strength = 0.5


class FeedConfig(Part):
    """A world and how much of it is shown.

    `requests` is the mean number of requests per user, spread log-normally by `activity_spread`;
    `session_requests` the mean of a session; a request shows `candidates[0]` to `candidates[1]`
    items. Items are shown in log-normal proportions of `exposure_spread`; share `new_items` of
    them arrives over the days. Whichever effects are on, the mean click probability is
    `click_rate`. `start` is the moment 0 in seconds since 1970.

    The defaults make about 230,000 exposures, most of whose reachable lift depends on what the
    user did in the hours before.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    users: Count = 1800
    items: Count = 1000
    requests: Annotated[float, Field(ge=2, allow_inf_nan=False)] = 16.0
    days: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 10.0
    start: Annotated[float, Field(ge=0, le=1e10)] = 1_700_000_000.0
    topics: Count = 8
    authors: Count = 120
    candidates: tuple[int, int] = (4, 12)
    activity_spread: Strength = 0.5
    session_requests: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 5.0
    exposure_spread: Strength = 0.5

    click_rate: Rate = 0.3
    user_bias: Strength = 0.15
    author: Strength = 0.25
    duration: Strength = 0.25
    quality: Strength = 0.1
    context: Strength = 0.25
    new_items: Annotated[float, Field(ge=0, le=0.9)] = 0.3
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
        at_start = self.items - self.arriving_items
        if at_start < 4 * most:
            raise ValueError(
                f"items = {self.items} leaves {at_start} at the start; requests of up to {most} "
                f"candidates need at least {4 * most}"
            )
        if self.authors < self.topics:
            raise ValueError(f"authors = {self.authors} are too few for {self.topics} topics")
        return self

    @property
    def arriving_items(self) -> int:
        """Items that are born after the start."""
        return round(self.items * self.new_items)
