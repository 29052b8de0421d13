"""What a paper reports of a variant, as a study file declares it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from genrank_cli.data.declare import Frozen

EffectKind = Literal["difference", "ratio"]
Direction = Literal["up", "down"]
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
    * equality ("nearly unchanged", "comparable"): `reported` with a `tolerance` within which it
      holds;
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
        return self

    @model_validator(mode="after")
    def _has_something_to_judge(self) -> Claim:
        if self.reported is None:
            return self
        if self.kind == "ratio" and self.reported <= 0:
            raise ValueError(f"a ratio must be positive, found {self.reported:g}")
        no_effect = 1.0 if self.kind == "ratio" else 0.0
        if self.reported == no_effect and self.tolerance is None:
            raise ValueError("a claim of no effect needs a tolerance within which it holds")
        return self

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
