"""What a paper reports of a variant, as a study file declares it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.errors import GenrankError
from genrank_cli.studies.statement import Bound, Direction, EffectKind, Statement

Slice = Literal["all", "cold-items"]
Metric = Literal[
    "gauc_user",
    "gauc_request",
    "ne",
    "parameters",
    "flops.attention",
    "flops.projections",
    "auc",
    "speed",
]

#: Metrics of a row's configuration: exact, the same for every seed.
EXACT: tuple[Metric, ...] = ("parameters", "flops.attention", "flops.projections")


class Versus(Frozen):
    """The gain that a claim compares its own gain with: `times` × (variant − base)."""

    variant: str
    base: str
    slice: Slice = "all"
    times: float = Field(1.0, gt=0, allow_inf_nan=False)

    def __str__(self) -> str:
        times = "" if self.times == 1 else f"{self.times:g} × "
        where = "" if self.slice == "all" else f" on {self.slice}"
        return f"{times}({self.variant} − {self.base}{where})"


class Claim(Frozen):
    """One published statement about a variant, relative to a base.

    * an effect: `reported`, its size;
    * "by more than": `reported` with bound = "at_least";
    * equality ("nearly unchanged", "comparable"): `reported` with a `tolerance` within which it
      holds;
    * "nearly no loss": the same with bound = "no_loss", so that a gain does not speak against it;
    * a direction without a number ("higher"): `direction`;
    * one of these about two gains, with `versus`: (variant − base) − times × (versus.variant −
      versus.base). "At least twice the gain" has times = 2 and direction "up";
    * nothing that can be measured here: `untestable`, the reason, and no variant.
    """

    id: str
    variant: str = ""
    base: str = Field("", description="row that the variant is compared with; none = the study's")
    metric: Metric = "auc"
    kind: EffectKind = "difference"
    task: Literal["main", "others"] = Field(
        "main", description="others: the mean over all binary tasks but the main one"
    )
    slice: Slice = Field("all", description="test events that count")
    versus: Versus | None = None
    reported: float | None = Field(
        None,
        allow_inf_nan=False,
        description="variant − base, or variant / base: a speed-up of 25 % is 1.25",
    )
    direction: Direction | None = Field(None, description="where no number is reported")
    tolerance: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="deviation that still counts as equal; of a ratio, 0.05 is a factor of 1.05",
    )
    bound: Bound = Field(
        "size", description="at_least: larger than reported; no_loss: not below it by the tolerance"
    )
    untestable: str = Field("", description="why no run of this toolkit can tell")
    paper: str = Field("", description="what is reported, where a number does not say it")
    source: str
    note: str = ""

    @model_validator(mode="after")
    def _is_about_something(self) -> Claim:
        if bool(self.variant) == bool(self.untestable):
            raise ValueError("give either variant or untestable, the reason why there is none")
        if self.untestable:
            return self
        if (self.reported is None) == (self.direction is None):
            raise ValueError("give either reported, a number, or direction")
        if self.versus is not None and self.kind == "ratio":
            raise ValueError("versus compares differences: kind must be difference")
        if self.slice != "all" and self.metric != "auc":
            raise ValueError(f"of a slice only auc is measured, not {self.metric}")
        if self.slice != "all" and self.task != "main":
            raise ValueError("of a slice only the main task is measured: leave task out")
        if self.task != "main" and self.metric in (*EXACT, "speed"):
            raise ValueError(f"{self.metric} belongs to no task: leave task out")
        return self

    @model_validator(mode="after")
    def _can_be_judged(self) -> Claim:
        if self.variant:
            try:
                self.judged()
            except GenrankError as error:
                raise ValueError(error.message) from None
        return self

    def judged(self) -> Statement:
        """What is to be tested, of a claim about a variant; raises `GenrankError` as that does."""
        return Statement(self.kind, self.reported, self.direction, self.tolerance, self.bound)

    def rows(self, study_base: str) -> tuple[str, ...]:
        """The rows of the study that the claim compares, its variant first."""
        if self.untestable:
            return ()
        own = (self.variant, self.base or study_base)
        return own if self.versus is None else (*own, self.versus.variant, self.versus.base)

    @property
    def statement(self) -> str:
        """What is reported, as a short text: ``+0.0009``, ``1.25×``, ``higher``."""
        if self.paper:
            return self.paper
        if self.reported is None:
            return {"up": "higher", "down": "lower", None: "–"}[self.direction]
        if self.kind == "ratio":
            return f"{self.reported:.3g}×"
        return f"{self.reported:+.4f}" if self.reported else "unchanged"
